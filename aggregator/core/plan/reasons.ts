/** Why, in one sentence a person understands, with numbers. Input: a proposal and what would be written; output: text. */
import type { Setting } from '../../../shared/resources.ts';
import { amountOf } from './amounts.ts';
import type { Proposal } from './planning.ts';
import { amountNumber, amountWords, RESOURCE_WORDS, timeWords } from './words.ts';

export function reasonFor(proposal: Proposal, to: Setting, nowMs: number): string {
  const { subject, need, notes, direction } = proposal;
  const because = direction === 'shrink' ? need.holdBecause : need.because;
  const { resource, form, vm, amount } = subject;
  const after = amountOf(to, vm, form);
  const what = resource === 'cpu' && form === 'weight' ? 'CPU weight' : RESOURCE_WORDS[resource];
  const from = amount === Number.POSITIVE_INFINITY ? 'no limit' : amountNumber(resource, amount);
  const held = notes.length > 0 ? `; ${notes.join(', ')}` : '';
  const change = `${what} from ${from} to ${amountWords(resource, after)}`;
  if (subject.capToLift) return `${liftWords(proposal, nowMs)}; ${change}${held}`;
  return `${change} at ${timeWords(nowMs)} because ${because}${held}`;
}

function liftWords({ subject }: Proposal, nowMs: number): string {
  const { current, policy, host } = subject;
  const cap = current.resource === 'cpu' && current.capCores !== null ? amountWords('cpu', current.capCores) : 'no limit';
  const why = policy.cpuEnforcement === 'weight' ? 'the policy enforces CPU by weight' : `the CPU of host ${host.id} is not contended`;
  return `CPU cap of ${cap} lifted at ${timeWords(nowMs)} because ${why}`;
}
