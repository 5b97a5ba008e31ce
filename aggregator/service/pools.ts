/**
 * Tells guests what they have: after each plan, to those whose agent can take it, when it has changed. Input: snapshots;
 * output: pool frames to hosts. A guest that missed one gets the next; once in a while all are told again.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { poolOf } from '../core/notify/pool.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';

/** A guest that restarted knows nothing: told again this often, changed or not. */
const REPEAT_MS = 60_000;

export interface PoolsOptions {
  send: (host: HostId, frame: FrameOf<'pool'>) => boolean;
  /** This host agent passes pools on, and a guest agent is connected to it. */
  takes: (host: HostId, vm: VmId) => boolean;
}

export class Pools {
  readonly #options: PoolsOptions;
  #told = new Map<VmId, { text: string; atMs: number }>();

  constructor(options: PoolsOptions) {
    this.#options = options;
  }

  tell({ vms, nowMs }: FleetSnapshot, policy: FleetPolicy): void {
    const told = new Map<VmId, { text: string; atMs: number }>();
    for (const vm of vms) {
      if (vm.state !== 'ready' || !this.#options.takes(vm.host, vm.id)) continue;
      const entries = poolOf(vm, policy);
      const text = JSON.stringify(entries);
      const before = this.#told.get(vm.id);
      if (before?.text === text && nowMs - before.atMs < REPEAT_MS) told.set(vm.id, before);
      else if (this.#options.send(vm.host, { type: 'pool', vm: vm.id, atMs: nowMs, entries })) told.set(vm.id, { text, atMs: nowMs });
    }
    this.#told = told;
  }
}
