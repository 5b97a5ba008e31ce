/**
 * The state a VM is reported in. Input: the hypervisor's word, how long it has run, whether its guest agent speaks and what
 * its application says where that is asked for; output:
 * one of the states everyone uses. Pure.
 */
import type { VmState } from '../../shared/resources.ts';
import type { Probe } from './readiness.ts';

export interface StateEvidence {
  power: 'running' | 'paused' | 'shutdown' | 'shutoff' | 'crashed' | 'suspended' | 'unknown';
  guestAgent: boolean;
  /** This host saw it serve; absent = nobody looked. */
  serves?: boolean;
  /** How long the guest has lived, ms. */
  runningMs: number;
  /** What the application says of itself; absent = nobody asks it. */
  probe?: Probe;
  /** A guest that never had an agent is taken as ready after this long. */
  bootDeadlineMs: number;
}

export function vmState({ power, guestAgent, serves, probe, runningMs, bootDeadlineMs }: StateEvidence): VmState {
  switch (power) {
    case 'running':
      // Asked for, the application's own word is what counts, however long it takes.
      if (probe !== undefined) return guestAgent && probe === true ? 'ready' : 'launching';
      return guestAgent || serves === true || runningMs >= bootDeadlineMs ? 'ready' : 'launching';
    case 'paused':
    case 'suspended':
      return 'paused';
    case 'shutoff':
      return 'stopped';
    case 'crashed':
      return 'error';
    case 'shutdown': // on its way down: it holds its memory until it is off, and nothing should be given to it
    case 'unknown':
      return 'unknown';
  }
}
