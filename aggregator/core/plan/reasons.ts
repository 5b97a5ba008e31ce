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
  const lifted = subject.capToLift ? ' and no cap but its own' : '';
  const held = notes.length > 0 ? `; ${notes.join(', ')}` : '';
  return `${what} from ${from} to ${amountWords(resource, after)}${lifted} at ${timeWords(nowMs)} because ${because}${held}`;
}
