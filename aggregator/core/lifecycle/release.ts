/** What a VM's change of state gives back, in words for ledger and people. States and the host's word in, a sentence out. */
import type { VmState } from '../../../shared/resources.ts';

const RELEASED: Partial<Record<VmState, string>> = {
  stopped: 'its CPU, memory, network and disk are released',
  error: 'its CPU, memory, network and disk are released',
  paused: 'its CPU, network and disk are released; its memory stays its own until the host has it back',
};

/** `cause`: what the host told of it last, empty = nothing. */
export function stateWords(name: string, before: VmState, after: VmState, cause: string): string {
  const released = RELEASED[after];
  const because = after === 'stopped' || after === 'error' || after === 'paused' ? cause : '';
  return `${name} was ${before} and is ${after}${because && ` (${because})`}${released === undefined ? '' : `: ${released}`}`;
}
