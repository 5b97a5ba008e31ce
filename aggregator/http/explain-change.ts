/**
 * What became of the last change of a resource, and what would change what it has, in sentences. Input: a resource's view;
 * output: text for people. The planner says which rule bound it; this says what lies behind that rule and who could move it.
 */
import type { Constraint } from '../core/plan/plan.ts';
import { amountText } from './amounts.ts';
import type { ResourceView, VcpuView } from './service.ts';

const VERDICT_WORDS = {
  helped: 'helped',
  harmed: 'did harm and is taken back',
  nothing: 'did nothing',
  unknown: 'cannot be judged',
} as const;

export function verdictsOf(name: string, { lastVerdict, coolUntilMs, infeasible, unit }: ResourceView): string[] {
  const sentences: string[] = [];
  if (lastVerdict !== null) {
    const { direction, changedAtMs, verdict, reason } = lastVerdict;
    const what = direction === 'grow' ? 'growth' : 'shrink';
    sentences.push(`The ${what} of ${name} at ${timeText(changedAtMs)} ${VERDICT_WORDS[verdict]}: ${reason}.`);
  }
  if (coolUntilMs !== null) sentences.push(`${name} is not shrunk before ${timeText(coolUntilMs)}: the last shrink did harm.`);
  if (infeasible !== null) {
    const { direction, target, reason, untilMs } = infeasible;
    const far = direction === 'shrink' ? 'or less' : 'or more';
    sentences.push(
      `${amountText(target, unit)} of ${name} ${far} was tried and not reached (${reason}): not tried again before ${timeText(untilMs)}.`,
    );
  }
  return sentences;
}

/** The same of how many vCPUs are online. */
export function vcpuVerdictsOf({ lastVerdict, coolUntilMs, infeasible }: VcpuView): string[] {
  const sentences: string[] = [];
  if (lastVerdict !== undefined) {
    const { from, to, changedAtMs, verdict, reason } = lastVerdict;
    const what = to > from ? `Bringing ${to - from} of its vCPUs online` : `Taking ${from - to} of its vCPUs offline`;
    sentences.push(`${what} at ${timeText(changedAtMs)} ${VERDICT_WORDS[verdict]}: ${reason}.`);
  }
  if (coolUntilMs !== undefined)
    sentences.push(`None of its vCPUs is taken offline before ${timeText(coolUntilMs)}: the last time did harm.`);
  if (infeasible !== undefined) {
    const { target, reason, untilMs } = infeasible;
    sentences.push(
      `${target} of its vCPUs online were tried and not reached (${reason}): so few are not tried before ${timeText(untilMs)}.`,
    );
  }
  return sentences;
}

/** By the rule that bound the last decision; rules that name their own way out in the reason are left out. */
const WOULD_CHANGE: Partial<Record<Constraint, string>> = {
  floor: 'a lower floor in the policy would let it have less',
  ceiling: 'a higher ceiling in the policy would let it have more',
  'step-limit': 'it goes on with the next plans; a larger step limit in the policy would make it faster',
  hysteresis:
    'a forecast further from what it has would change it; a smaller deadBandFraction in the policy would let smaller changes through',
  capacity: 'room on its host would change it: other VMs shrink, are moved away, or the policy lets it borrow',
  'blast-radius': 'its turn comes with a later plan; a wider blastRadius in the policy would let more VMs change at once',
  canary: 'it may change once the canaries have shown that they are well',
  'freeze-window': 'it may change when the freeze window is over',
  maintenance: 'it may change when its suspension is over',
  'kill-switch': 'releasing the kill switch would let it change',
  hold: 'it may change when the hold is over or lifted (headroom-agent lift)',
  stale: 'it may change once fresh samples come',
  unknown: 'it may change once that is known',
  state: 'it may change once the VM is ready',
  job: 'it may change once the job has ended',
  'low-confidence': 'it may change once the forecast has seen more',
  guaranteed: 'a larger oversubscribedFraction in the policy would let more of it be lent out',
  'working-set': 'it may have less once it works with less',
  'in-use': 'it may have less once it wants less',
  'host-pressure': 'it may shrink once its host is out of need',
  unconfirmed: 'it may shrink further once the host sees the last shrink',
  claimed: 'it may change on what the host itself sees',
  infeasible: 'it is tried again then',
  cooldown: 'it may change after that rest',
};

export function wayOut(name: string, { lastDecision: last }: ResourceView): string | null {
  if (last === null || (last.done && last.constraint !== 'step-limit' && last.constraint !== 'ceiling' && last.constraint !== 'capacity'))
    return null;
  const words = WOULD_CHANGE[last.constraint as Constraint];
  return words === undefined ? null : `What would change ${name}: ${words}.`;
}

/** In seconds, UTC. */
export function timeText(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('.000Z', 'Z')
    .replace(/\.\d+Z$/, 'Z');
}
