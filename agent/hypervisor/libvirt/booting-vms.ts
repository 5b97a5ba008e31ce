/**
 * Remembers which guests boot. From a reset until its balloon driver is loaded again a guest has all its boot memory, but
 * QEMU and libvirt go on reporting the balloon's size from before. Pure, events and time come in: after a reset the size is
 * not believed until the balloon moves, or its driver has reported since.
 */
import type { VmId } from '../../../shared/ids.ts';

/** Driver reports carry whole seconds of the guest's host: within this of the reset they may be from before it. */
const REPORT_SLACK_SECONDS = 1;

export interface BootingVms {
  /** Started or reset. */
  reset(id: VmId, wallMs: number): void;
  /** The balloon moved: its driver is there. */
  moved(id: VmId): void;
  gone(id: VmId): void;
  /** The memory the guest has, given the size reported and the size at boot. */
  sizeMiB(id: VmId, reportedMiB: number, bootMiB: number, lastUpdateSeconds?: number): number;
}

export function createBootingVms(): BootingVms {
  const resetAtSeconds = new Map<VmId, number>();
  return {
    reset: (id, wallMs) => void resetAtSeconds.set(id, wallMs / 1000),
    moved: (id) => void resetAtSeconds.delete(id),
    gone: (id) => void resetAtSeconds.delete(id),
    sizeMiB(id, reportedMiB, bootMiB, lastUpdateSeconds = 0) {
      const resetAt = resetAtSeconds.get(id);
      if (resetAt === undefined) return reportedMiB;
      if (lastUpdateSeconds > resetAt + REPORT_SLACK_SECONDS) {
        resetAtSeconds.delete(id);
        return reportedMiB;
      }
      return Math.max(reportedMiB, bootMiB);
    },
  };
}
