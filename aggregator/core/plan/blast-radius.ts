/**
 * How many VMs may be changed: per plan, per host and plan, and per sliding window. Input: limits and what earlier plans
 * changed; output: a place for a VM, or the limit that is used up, in words. A VM counts once, however many resources.
 */
import { spokenDuration } from './durations.ts';
import type { FleetSnapshot, VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';

export class BlastRadius {
  readonly #limits: FleetPolicy['blastRadius'];
  readonly #inPlan = new Set<string>();
  readonly #onHost = new Map<string, number>();
  readonly #inWindow: Set<string>;

  constructor(snapshot: FleetSnapshot, limits: FleetPolicy['blastRadius']) {
    this.#limits = limits;
    const sinceMs = snapshot.nowMs - limits.windowMs;
    this.#inWindow = new Set(snapshot.recentChanges.filter((change) => change.atMs > sinceMs).map((change) => change.vm));
  }

  /** Null: there is a place. */
  refusal(vm: VmSnapshot): string | null {
    const { vmsPerPlan, vmsPerHostPerPlan, vmsPerWindow, windowMs } = this.#limits;
    if (this.#inPlan.has(vm.id)) return null;
    if (this.#inPlan.size >= vmsPerPlan) return `${vmsPerPlan} VMs are changed in this plan, which is the limit`;
    if ((this.#onHost.get(vm.host) ?? 0) >= vmsPerHostPerPlan) {
      return `${vmsPerHostPerPlan} VMs of host ${vm.host} are changed in this plan, which is the limit`;
    }
    if (!this.#inWindow.has(vm.id) && this.#inWindow.size >= vmsPerWindow) {
      return `${vmsPerWindow} VMs were changed in the last ${spokenDuration(windowMs)}, which is the limit`;
    }
    return null;
  }

  take(vm: VmSnapshot): void {
    if (this.#inPlan.has(vm.id)) return;
    this.#inPlan.add(vm.id);
    this.#inWindow.add(vm.id);
    this.#onHost.set(vm.host, (this.#onHost.get(vm.host) ?? 0) + 1);
  }

  get vms(): number {
    return this.#inPlan.size;
  }
}
