/**
 * Records that VMs lack, told a few at a time. Input: what each lacks, the clock; output: names for the next frame, and a call when other names
 * are due.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import { SUPPLIED_MAX } from '../../shared/protocol/suspend-frames.ts';
import { LackingTurns } from '../core/lacking-turns.ts';

export class LackingToTell {
  readonly #clock: Clock;
  readonly #lackingOf: (vm: VmId) => readonly string[];
  readonly #due: () => void;
  /** Of VMs that lack some. */
  #turns = new Map<VmId, LackingTurns>();
  #timer: Timer | null = null;
  #stopped = false;

  constructor(clock: Clock, lackingOf: (vm: VmId) => readonly string[], due: () => void) {
    this.#clock = clock;
    this.#lackingOf = lackingOf;
    this.#due = due;
  }

  now(vms: readonly VmId[]): Map<VmId, string[]> {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#turns;
    this.#turns = new Map();
    const told = new Map<VmId, string[]>();
    let dueMs = Number.POSITIVE_INFINITY;
    for (const vm of vms) {
      const lacking = this.#lackingOf(vm);
      if (lacking.length === 0) continue;
      const turns = before.get(vm) ?? new LackingTurns(SUPPLIED_MAX);
      this.#turns.set(vm, turns);
      const { names, nextAtMs } = turns.at(lacking, nowMs);
      told.set(vm, names);
      dueMs = Math.min(dueMs, nextAtMs ?? dueMs);
    }
    this.#timer?.cancel();
    this.#timer = dueMs === Number.POSITIVE_INFINITY || this.#stopped ? null : this.#clock.setTimeout(this.#due, dueMs - nowMs);
    return told;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
