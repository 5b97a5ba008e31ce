/**
 * Which kind of work a VM does: from what it is called, what runs in it, and how it uses what it has. Input: those facts;
 * output: a class, how sure it is, and why. A class set by hand (label `class`) is taken as it is. Claimed signals (processes
 * that a guest reports) decide nothing but where a young VM borrows its first forecasts from.
 */
import type { UsageShape } from './usage-shape.ts';
import {
  type Classification,
  type Evidence,
  isWorkloadClass,
  nameEvidence,
  type ProcessUse,
  processEvidence,
  WORKLOAD_CLASSES,
} from './workload-class.ts';

export const CLASS_LABEL = 'class';
export const TEMPLATE_LABEL = 'template';
/** Labels that describe a VM; others (owners, cost centres) say nothing of its work. */
const TELLING_LABELS = [TEMPLATE_LABEL, 'role', 'app', 'application', 'purpose', 'service'];
const REASONS_MAX = 3;

export interface VmFacts {
  name: string;
  labels: Readonly<Record<string, string>>;
  vcpus: number;
  processes: readonly ProcessUse[];
  /** People logged in, null = unknown. */
  sessions: number | null;
  shape: UsageShape;
}

export function classify({ name, labels, vcpus, processes, sessions, shape }: VmFacts): Classification {
  const label = labels[CLASS_LABEL];
  if (isWorkloadClass(label)) return { class: label, confidence: 1, setByHand: true, reasons: [`the label "${CLASS_LABEL}" says so`] };
  const evidence: Evidence[] = [
    ...nameEvidence(name, 'its name is'),
    ...TELLING_LABELS.flatMap((key) => nameEvidence(labels[key] ?? '', `its label ${key} is`)),
    ...processEvidence(processes),
    ...shape.evidence(vcpus),
  ];
  if (sessions !== null && sessions > 0) evidence.push({ class: 'desktop', weight: 0.7, words: `${sessions} people are logged in` });
  const none: Classification = { class: null, confidence: 0, setByHand: false, reasons: [] };
  if (evidence.length === 0) return none;
  const odds = WORKLOAD_CLASSES.map((one) => Math.exp(evidence.reduce((sum, sign) => sum + (sign.class === one ? sign.weight : 0), 0)));
  const total = odds.reduce((sum, odd) => sum + odd, 0);
  const best = odds.indexOf(Math.max(...odds));
  const found = WORKLOAD_CLASSES[best]!;
  const reasons = evidence
    .filter((sign) => sign.class === found)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, REASONS_MAX)
    .map(({ words }) => words);
  return { class: found, confidence: odds[best]! / total, setByHand: false, reasons };
}
