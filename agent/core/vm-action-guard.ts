/**
 * The last word before a VM is cut off, let back or restarted: decides on what this host itself knows. Input: the action, the VM
 * as known here, how long ago the frame came; output: go on, or an outcome with its reason. It trusts nobody. Pure.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome } from '../../shared/resources.ts';

export type VmActionAsked = FrameOf<'vm-action'>;
export type VmActionResult = FrameOf<'vm-action-result'>;

export interface ActedVm {
  running: boolean;
  /** Its administrator lets it only grow (quorum services): losing one member may lose the service. */
  growOnly: boolean;
  isolated: boolean;
  jobActive: boolean;
  /** Why nothing may be done to this VM or host. */
  killed: string | null;
}

export type ActionVerdict = { kind: 'go' } | { kind: 'no'; outcome: Extract<Outcome, 'skipped' | 'refused' | 'applied'>; reason: string };

const refuse = (reason: string): ActionVerdict => ({ kind: 'no', outcome: 'refused', reason });
const skip = (reason: string): ActionVerdict => ({ kind: 'no', outcome: 'skipped', reason });

/** `leaseEpoch`: of the lease in force on this host, 0 without one. `waitedMs`: since receipt, by the clock leases run on. */
export function guardVmAction(asked: VmActionAsked, vm: ActedVm, leaseEpoch: number, waitedMs: number): ActionVerdict {
  const { action, epoch, leaseMs, forMs } = asked;
  if (epoch < leaseEpoch) return refuse(`epoch ${epoch} is below ${leaseEpoch}, whose lease is in force here`);
  if (waitedMs > leaseMs || leaseMs <= 0) return refuse(`its lease of ${leaseMs} ms ran out before it could be carried out`);
  if (action === 'release') {
    // Giving back what was taken is never refused by a kill switch.
    return vm.isolated ? { kind: 'go' } : { kind: 'no', outcome: 'applied', reason: 'it is not isolated' };
  }
  if (vm.killed !== null) return refuse(`kill switch: ${vm.killed}`);
  if (vm.growOnly) return refuse('VMs of class "cluster" are neither isolated nor restarted');
  if (action === 'isolate' && !(forMs > 0)) return refuse('an isolation without an end');
  if (!vm.running) return skip('the VM is not running');
  return vm.jobActive ? skip('the VM has a job (migration, backup or save) under way') : { kind: 'go' };
}
