/**
 * Puts the guest's vCPUs back where nobody is there to ask for it: at the agent's start (one before it may have died), at its
 * end, and when its host has been silent for a while. Input: what the connection does; output: calls of the guest's CPUs.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { GuestCpus } from '../guest-cpus.ts';

/** A host agent that is renewed is back within seconds; one that is not by then has stopped for good. */
export const SILENT_HOST_MS = 180_000;

export interface CpuKeeper {
  connected(): void;
  disconnected(): void;
  /** Now, whatever the reason. */
  putBack(why: string): void;
  stop(): void;
}

export function createCpuKeeper(clock: Clock, cpus: GuestCpus | null, log: Logger): CpuKeeper {
  let timer: Timer | undefined;
  const putBack = (why: string): void => {
    if (cpus?.held !== true) return;
    try {
      log.info('vCPUs put back', { online: cpus.restore(), why });
    } catch (error) {
      log.error('vCPUs could not be put back', { why, error: errorText(error) });
    }
  };
  const cancel = (): void => {
    timer?.cancel();
    timer = undefined;
  };
  const wait = (): void => {
    timer = clock.setTimeout(() => {
      putBack('the host has been silent');
      // One that the kernel refused is tried again.
      if (cpus?.held === true) wait();
      else timer = undefined;
    }, SILENT_HOST_MS);
  };
  putBack('left by an agent before this one');
  return {
    connected: cancel,
    disconnected() {
      if (timer === undefined && cpus !== null) wait();
    },
    putBack,
    stop() {
      cancel();
      putBack('the agent stops');
    },
  };
}
