/**
 * The words of incidents: what went wrong with a VM from when to when, why it is believed, and what it probably was.
 * Plain data; times are UTC ms.
 */
import type { Contributor } from './detector.ts';

export const VM_METRICS = ['cpu', 'memory', 'steal', 'pressure', 'disk', 'network'] as const;
export type VmMetric = (typeof VM_METRICS)[number];

/** One instant of a VM. An absent or NaN metric did not come; null everywhere is silence. */
export interface VmPoint {
  timeMs: number;
  /** Metrics that rest on the guest's own word; absent = none. */
  claimed?: ReadonlySet<VmMetric>;
  values: Readonly<Partial<Record<VmMetric, number>>>;
}

export const INCIDENT_KINDS = [
  'spike',
  'level shift',
  'leak',
  'saturation',
  'silence',
  'noisy neighbour',
  'runaway process',
  'stuck',
  'unusual',
] as const;
export type IncidentKind = (typeof INCIDENT_KINDS)[number];

/** `page` wakes someone, `warning` waits for the morning, `info` is for the record. */
export type Severity = 'info' | 'warning' | 'page';

export interface Incident {
  vm: string;
  host: string;
  kind: IncidentKind;
  severity: Severity;
  startMs: number;
  peakMs: number;
  /** Null while it goes on. */
  endMs: number | null;
  /** 0..1 at the peak. */
  likelihood: number;
  /** What matters most first: evidence, by how much of the VM it is about. Three at most. */
  contributors: readonly Contributor[];
  /** Likely cause, for people. */
  cause: string;
  /** The host itself saw most of it; otherwise it rests on the guest's word, and nobody acts on it. */
  vouched: boolean;
  /** Why nobody is alerted: our own resize, a deployment, a storm. Null = it counts. */
  explainedBy: string | null;
}
