/**
 * Remembers of which guests the balloon's reported size is not to be believed. QEMU and libvirt report what a driver said last: from a
 * reset on a guest has all its boot memory, and a new driver that finds nothing to do, because the balloon was given back meanwhile,
 * never says so: the old size would be reported for good. Pure, events, reports and time come in: after a reset the size is that at boot
 * until the balloon moves, or the guest's own total, which leaves ballooned pages out, shows that it cannot be.
 */
import type { VmId } from '../../../shared/ids.ts';

/**
 * Driver reports carry whole seconds of the guest's host, and QEMU tells of a balloon that moves once a second: within this of the reset
 * both may be from before it.
 */
const SLACK_SECONDS = 1;
/**
 * Of its memory a kernel keeps less than this share to itself, crash kernels of small guests included: a total that lacks more shows
 * that the balloon has come.
 */
const KERNEL_SHARE_MAX = 0.4;

/** What a guest's driver told. */
export interface DriverReport {
  reportedMiB: number;
  bootMiB: number;
  /** Absent: it never told, or not when. */
  lastUpdateSeconds?: number | undefined;
  /** MemTotal of the guest; absent: an older driver. */
  totalMiB?: number | undefined;
}

export interface BootingVms {
  /** Started or reset. */
  reset(id: VmId, wallMs: number): void;
  /** The balloon moved: its driver is there. */
  moved(id: VmId, wallMs: number): void;
  gone(id: VmId): void;
  /** Events may have been missed: who runs is judged by its next report. */
  reconnected(): void;
  told(id: VmId, report: DriverReport): void;
  /** The memory the guest has, given the size reported and the size at boot. */
  sizeMiB(id: VmId, reportedMiB: number, bootMiB: number): number;
}

export function createBootingVms(): BootingVms {
  /** When it was reset; never = it was found so after events may have been missed. */
  const atBoot = new Map<VmId, number>();
  const judged = new Set<VmId>();
  const isFromBefore = (id: VmId, seconds: number): boolean => seconds <= (atBoot.get(id) ?? Number.NEGATIVE_INFINITY) + SLACK_SECONDS;
  const settle = (id: VmId): void => {
    atBoot.delete(id);
    judged.add(id);
  };
  return {
    reset: (id, wallMs) => void atBoot.set(id, wallMs / 1000),
    moved(id, wallMs) {
      if (!isFromBefore(id, wallMs / 1000)) settle(id);
    },
    gone(id) {
      atBoot.delete(id);
      judged.delete(id);
    },
    reconnected: () => judged.clear(),
    told(id, { reportedMiB, bootMiB, lastUpdateSeconds, totalMiB }) {
      const resetAt = atBoot.get(id);
      if (lastUpdateSeconds === undefined || isFromBefore(id, lastUpdateSeconds)) return;
      if (resetAt === undefined && judged.has(id)) return;
      if (totalMiB === undefined) settle(id);
      else if (totalMiB > reportedMiB) atBoot.set(id, resetAt ?? Number.NEGATIVE_INFINITY);
      else if (resetAt === undefined || totalMiB < bootMiB * (1 - KERNEL_SHARE_MAX)) settle(id);
    },
    sizeMiB: (id, reportedMiB, bootMiB) => (atBoot.has(id) ? Math.max(reportedMiB, bootMiB) : reportedMiB),
  };
}
