/**
 * Remembers which VMs do not answer, so that they are asked seldom: each call to a stuck VM holds one of the daemon's few
 * workers for half a minute or for good. Pure, time comes in. A VM is asked again after a growing pause, or at once when
 * bulk statistics show that it answers.
 */
import type { VmId } from '../../../shared/ids.ts';

/** First pause: the time libvirt's own wait for a VM's job takes (30 s); then doubled up to the longest. */
const PAUSE_MS_MIN = 30_000;
const PAUSE_MS_MAX = 600_000;

export interface StuckVms {
  /** A call ran out of time. */
  silent(id: VmId, nowMs: number): void;
  answered(id: VmId): void;
  /** May it be asked now? */
  mayAsk(id: VmId, nowMs: number): boolean;
}

export function createStuckVms(): StuckVms {
  const silentSince = new Map<VmId, { pauseMs: number; askAgainMs: number }>();
  return {
    silent(id, nowMs) {
      const pauseMs = Math.min(PAUSE_MS_MAX, (silentSince.get(id)?.pauseMs ?? PAUSE_MS_MIN / 2) * 2);
      silentSince.set(id, { pauseMs, askAgainMs: nowMs + pauseMs });
    },
    answered(id) {
      silentSince.delete(id);
    },
    mayAsk: (id, nowMs) => nowMs >= (silentSince.get(id)?.askAgainMs ?? Number.NEGATIVE_INFINITY),
  };
}
