/**
 * The last word before a VM of this host is suspended, made ready or brought back: decides on what this host itself knows. Input: the
 * order, the VM as known here, how long ago it came; output: null to go on, or an outcome with its reason. It trusts nobody. Pure.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { SuspendPhase } from '../../shared/protocol/suspend-frames.ts';
import type { Outcome } from '../../shared/resources.ts';

export type SuspendAsked = FrameOf<'suspend'>;
export type SuspendResult = FrameOf<'suspend-result'>;

export interface SuspendGround {
  /** Highest epoch this host has met. */
  epoch: number;
  waitedMs: number;
  killed: string | null;
  /** Null: this host does not know or does not manage it. */
  vm: { running: boolean; persistent: boolean; passthrough: readonly string[]; growOnly: boolean; jobActive: boolean } | null;
  phase: SuspendPhase | null;
  /** Memory the host has for it beyond what it keeps for itself, MiB; null = unknown. */
  freeMiB: number | null;
  /** What a resume will take at least, as it was suspended, MiB. */
  heldMiB: number;
}

export interface SuspendRefusal {
  outcome: Extract<Outcome, 'refused' | 'skipped'>;
  reason: string;
}

const refuse = (reason: string): SuspendRefusal => ({ outcome: 'refused', reason });
const skip = (reason: string): SuspendRefusal => ({ outcome: 'skipped', reason });

export function refusalOfSuspend({ epoch, leaseMs, order }: SuspendAsked, ground: SuspendGround): SuspendRefusal | null {
  if (epoch < ground.epoch) return refuse(`epoch ${epoch} is below ${ground.epoch}, which this host has met`);
  if (ground.waitedMs > leaseMs || leaseMs <= 0) return refuse(`its lease of ${leaseMs} ms ran out before it could be carried out`);
  // Bringing back what was taken, and looking, are never refused by a kill switch.
  const takes = order.action === 'suspend' || order.action === 'prefetch' || order.action === 'collect';
  if (takes && ground.killed !== null) return refuse(`kill switch: ${ground.killed}`);
  if (order.action === 'suspend') return objectionToSuspend(ground);
  // One that comes from another host is not known here before it is asked for there.
  const fromElsewhere = (order.action === 'resume' || order.action === 'prefetch') && order.from !== undefined;
  const here = fromElsewhere && ground.phase === null ? { ...ground, phase: 'suspended' as const } : ground;
  if (order.action === 'prefetch' || order.action === 'resume') return objectionToReturn(here, order.roomMiB ?? null);
  return null;
}

function objectionToSuspend({ vm, phase }: SuspendGround): SuspendRefusal | null {
  if (phase === 'suspended' || phase === 'prepared') return null;
  if (vm === null) return refuse('it is not on this host or not managed by it');
  if (!vm.running) return skip('the VM is not running');
  if (!vm.persistent) return refuse('its definition is not persistent: it would be gone with the VM');
  if (vm.passthrough.length > 0)
    return refuse(`devices of the host passed through to it have states nobody can save: ${vm.passthrough.join(', ')}`);
  if (vm.growOnly) return refuse('VMs of class "cluster" are not suspended: losing one member may lose the service');
  return vm.jobActive ? skip('the VM has a job (migration, backup or save) under way') : null;
}

function objectionToReturn({ phase, freeMiB, heldMiB }: SuspendGround, roomMiB: number | null): SuspendRefusal | null {
  if (phase === 'running') return null;
  // `going`: it could not be set going when it was asked for before, and holds its memory.
  const ready = phase === 'prepared' || phase === 'going';
  if (phase !== 'suspended' && !ready) return skip('the VM is not suspended on this host');
  const neededMiB = ready ? 0 : Math.max(heldMiB, roomMiB ?? 0);
  if (freeMiB === null || neededMiB <= freeMiB) return null;
  return refuse(`it will need ${Math.ceil(neededMiB)} MiB, and this host has ${Math.max(0, Math.floor(freeMiB))} MiB free for VMs`);
}
