/**
 * A guest that was brought back goes on at the time at which it stood still: certificates, tickets and schedules in it are wrong until
 * somebody sets its clock. Input: the seam to the hypervisor, the clock, how long it stood; output: none, or words for the user. Never
 * in the way of the resume itself.
 */
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';

/** What every clock drifts; nobody is told of it. */
const STOOD_MS_MIN = 2000;
/** A guest's agent is heard of some time after it runs again. */
const TRIES = 5;
const AGAIN_MS = 1000;

export interface GuestClockParts {
  snapshotter: Pick<VmSnapshotter, 'setClock'>;
  clock: Clock;
  tell(vm: VmId, words: string): void;
  /** It may have been suspended again meanwhile. */
  wanted(): boolean;
}

export async function setGuestClock({ snapshotter, clock, tell, wanted }: GuestClockParts, vm: VmId, stoodMs: number): Promise<void> {
  if (stoodMs < STOOD_MS_MIN) return;
  for (let tries = 1; wanted(); tries++) {
    try {
      await snapshotter.setClock(vm, clock.wallMs());
      return;
    } catch (error) {
      if (tries < TRIES) await sleep(clock, AGAIN_MS);
      else {
        const seconds = Math.round(stoodMs / 1000);
        tell(vm, `its clock is ${seconds} s behind unless it sets it by itself, and could not be set: ${errorText(error)}`);
        return;
      }
    }
  }
}
