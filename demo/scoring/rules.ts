/**
 * What a run must show to pass. Input: scores per guest and resource, and what became of the commands; output: each rule
 * that failed, in words; an empty list is a pass. Pure.
 */
import type { Role } from '../workload/pattern.ts';
import type { Score } from './score.ts';

export type ScoredResource = 'cpu' | 'memory';

export interface GuestScore extends Score {
  name: string;
  role: Role;
  resource: ScoredResource;
}

export interface CommandCounts {
  sent: number;
  applied: number;
  /** Of those applied: the value in force afterwards was read back through the hypervisor and told. */
  readBack: number;
}

/** Share of rises that must be led. */
const LED_SHARE_MIN = 0.8;
/** The forecast must at least halve what the control leaves unmet, at the control's cost or hardly more. */
const UNMET_OF_CONTROL_MAX = 0.5;
/** A ten-thousandth of what was wanted: nobody notices less, and a control that comes to nothing leaves no half of it to ask for. */
const UNMET_NEGLIGIBLE = 1e-4;
const ALLOCATION_OF_CONTROL_MAX = 1.05;
/** A verdict needs to have seen the run: with more seconds unknown than this the figures are not trusted. */
const KNOWN_SHARE_MIN = 0.9;
/** Rounding of sums of seconds; far below any figure that is shown. */
const EPSILON = 1e-9;

const percent = (share: number | null): string => (share === null ? 'unknown' : `${(share * 100).toFixed(2)} %`);
const UNIT: Record<ScoredResource, string> = { cpu: 'cores', memory: 'MiB' };
const amount = (value: number | null, resource: ScoredResource): string =>
  value === null ? 'unknown' : `${value.toFixed(resource === 'cpu' ? 3 : 0)} ${UNIT[resource]}`;

function leadRule(score: GuestScore): string[] {
  if (score.rises === 0) return [`${score.name} ${score.resource}: no rise was seen, so none can have been led`];
  if (score.led >= LED_SHARE_MIN * score.rises - EPSILON) return [];
  return [`${score.name} ${score.resource}: ${score.led} of ${score.rises} rises were led; at least ${LED_SHARE_MIN * 100} % must be`];
}

function controlRule(web: GuestScore, control: GuestScore): string[] {
  const broken: string[] = [];
  const { resource } = web;
  const unmetMax = control.unmetShare === null ? null : Math.max(UNMET_NEGLIGIBLE, UNMET_OF_CONTROL_MAX * control.unmetShare) + EPSILON;
  if (web.unmetShare === null || unmetMax === null || web.unmetShare > unmetMax) {
    broken.push(
      `${web.name} ${resource}: unmet demand ${percent(web.unmetShare)} is not at most half of the control's ${percent(control.unmetShare)}`,
    );
  }
  const limit = control.meanAllocation === null ? null : ALLOCATION_OF_CONTROL_MAX * control.meanAllocation;
  if (web.meanAllocation === null || limit === null || web.meanAllocation > limit + EPSILON) {
    broken.push(
      `${web.name} ${resource}: mean allocation ${amount(web.meanAllocation, resource)} is more than ${ALLOCATION_OF_CONTROL_MAX} × the control's ${amount(control.meanAllocation, resource)}`,
    );
  }
  return broken;
}

/** A static grant of the peak leaves nothing unmet and costs the peak all the time. */
function idleRule(idle: GuestScore): string[] {
  const broken: string[] = [];
  if (idle.unmetShare === null || idle.unmetShare > EPSILON) {
    broken.push(`${idle.name} ${idle.resource}: unmet demand ${percent(idle.unmetShare)}; a static grant of its peak would leave none`);
  }
  if (idle.meanAllocation === null || idle.peakOffered === null || idle.meanAllocation > idle.peakOffered + EPSILON) {
    broken.push(
      `${idle.name} ${idle.resource}: mean allocation ${amount(idle.meanAllocation, idle.resource)} is more than a static grant of its peak, ${amount(idle.peakOffered, idle.resource)}`,
    );
  }
  return broken;
}

export function brokenRules(scores: readonly GuestScore[], commands: CommandCounts): string[] {
  const broken: string[] = [];
  for (const resource of ['cpu', 'memory'] as const) {
    const of = (role: Role): GuestScore | undefined => scores.find((score) => score.role === role && score.resource === resource);
    const [web, batch, idle, control] = [of('web'), of('batch'), of('idle'), of('control')];
    if (!web || !batch || !idle || !control) {
      broken.push(`${resource}: a guest has no score`);
      continue;
    }
    for (const score of [web, batch, idle, control]) {
      if (score.knownShare < KNOWN_SHARE_MIN) {
        broken.push(`${score.name} ${resource}: load and allocation are known for only ${percent(score.knownShare)} of the time`);
      }
    }
    broken.push(...leadRule(web), ...leadRule(batch), ...controlRule(web, control), ...idleRule(idle));
  }
  if (commands.applied === 0) broken.push('no command was applied');
  if (commands.readBack !== commands.applied) {
    broken.push(`${commands.applied} commands were applied, but only ${commands.readBack} of them were read back through libvirt`);
  }
  return broken;
}
