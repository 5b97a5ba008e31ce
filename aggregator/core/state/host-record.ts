/**
 * What is known of one host: its inventory, its newest figures, what its fast guard was granted. Inventory, rows and grants
 * in; a HostSnapshot out. Ages by our monotonic clock.
 */
import type { HostId } from '../../../shared/ids.ts';
import type { FrameOf } from '../../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import type { HostGrant, HostSnapshot } from '../plan/plan.ts';
import { cell, fieldPlan } from './field-plan.ts';
import { HostSkew } from './host-skew.ts';

/** Swap traffic below this is old pages coming home one by one. */
const SWAPPING_MIB_PER_SECOND_MIN = 0.1;
/** A host that swapped counts as swapping for so long. */
const SWAPPING_HELD_MS = 30_000;
/** One-second figures jump; this remembers about ten of them. */
const SMOOTHING = 0.1;

const hostColumns = fieldPlan((fields) => ({
  available: fields.indexOf('host_memory.availableMiB'),
  usage: fields.indexOf('host_cpu.usageCores'),
  pressure: fields.indexOf('host_pressure.cpuSomeFraction'),
  swapIn: fields.indexOf('host_memory.swapInMiBPerSecond'),
  swapOut: fields.indexOf('host_memory.swapOutMiBPerSecond'),
}));

type GuardReserve = HostSnapshot['guardReserve'];

export class HostRecord {
  readonly id: HostId;
  readonly skew: HostSkew;
  connected = false;
  /** Highest epoch this host ever accepted: ours must not be below. */
  highestEpoch = 0;
  #facts: FrameOf<'inventory'>['host'] | null = null;
  #sampleMonoMs = Number.NEGATIVE_INFINITY;
  #availableMiB: number | null = null;
  #usageCores: number | null = null;
  #cpuPressure: number | null = null;
  #swappedMonoMs = Number.NEGATIVE_INFINITY;
  #grants: ({ monoMs: number } & GuardReserve)[] = [];
  /** No lease was sent on this connection yet, and its agent did not say what its guard has: it may be any reserve of an earlier lease. */
  #reserveUnknown = true;
  #toldReserve: GuardReserve | null = null;

  constructor(id: HostId, skewToleranceMs: number) {
    this.id = id;
    this.skew = new HostSkew(skewToleranceMs);
  }

  /** What its agent says its guard still has, as it comes; null = it does not say. */
  tellReserve(reserve: GuardReserve | null): void {
    this.#toldReserve = reserve;
  }

  setConnected(connected: boolean, nowMonoMs: number): void {
    this.connected = connected;
    if (!connected) return;
    this.#reserveUnknown = this.#toldReserve === null;
    // No lease of an earlier connection can still arrive: what the agent has is all there is.
    if (this.#toldReserve !== null) this.#grants = [{ monoMs: nowMonoMs, ...this.#toldReserve }];
    this.#toldReserve = null;
  }

  /** Connected, and its guard has nothing to hand out, or nobody knows of anything. */
  get unguarded(): boolean {
    return this.connected && this.#grants.every(({ cores, memoryMiB }) => cores === 0 && memoryMiB === 0);
  }

  setFacts(facts: FrameOf<'inventory'>['host']): void {
    this.#facts = facts;
  }

  get facts(): FrameOf<'inventory'>['host'] | null {
    return this.#facts;
  }

  /** A block about the host itself. */
  addRow(block: TelemetryBlock, nowMonoMs: number): void {
    const rows = block.timesMs.length;
    if (rows === 0) return;
    this.#sampleMonoMs = Math.max(this.#sampleMonoMs, nowMonoMs);
    const { available, usage, pressure, swapIn, swapOut } = hostColumns(block.fields);
    const width = block.fields.length;
    for (let rowAt = 0; rowAt < rows * width; rowAt += width) {
      const availableMiB = cell(block.values, rowAt, available);
      if (!Number.isNaN(availableMiB)) this.#availableMiB = availableMiB;
      this.#usageCores = smoothed(this.#usageCores, cell(block.values, rowAt, usage));
      this.#cpuPressure = smoothed(this.#cpuPressure, cell(block.values, rowAt, pressure));
      const swap = Math.max(orZero(cell(block.values, rowAt, swapIn)), orZero(cell(block.values, rowAt, swapOut)));
      if (swap >= SWAPPING_MIB_PER_SECOND_MIN) this.#swappedMonoMs = nowMonoMs;
    }
  }

  /** A lease went out: its reserve may be used until a later one is surely in force. */
  noteGrant(grant: HostGrant, nowMonoMs: number): void {
    this.#reserveUnknown = false;
    this.#grants.push({ monoMs: nowMonoMs, cores: grant.reserveCores, memoryMiB: grant.reserveMiB });
  }

  /** Null = unknown. */
  get availableMiB(): number | null {
    return this.#availableMiB;
  }

  snapshot(ownEpoch: number, leaseMs: number, nowMonoMs: number): HostSnapshot | null {
    const facts = this.#facts;
    if (facts === null) return null;
    // Any of the leases of the last lease's length may be the one in force there; what came last stays in force until another comes.
    this.#grants = this.#grants.filter(({ monoMs }, i, { length }) => i === length - 1 || nowMonoMs - monoMs < leaseMs);
    return {
      id: this.id,
      connected: this.connected && facts.hypervisorConnected,
      ageMs: nowMonoMs - this.#sampleMonoMs,
      cpuCores: facts.cpuCores,
      usageCores: this.#usageCores,
      cpuPressureFraction: this.#cpuPressure,
      memoryMiB: facts.memoryMiB,
      availableMiB: this.#availableMiB,
      swapping: nowMonoMs - this.#swappedMonoMs < SWAPPING_HELD_MS,
      numaNodes: facts.numaNodes,
      balloonManager: facts.balloonManager,
      killSwitch: facts.killSwitch,
      epoch: Math.max(ownEpoch, this.highestEpoch),
      guardReserve: {
        cores: Math.max(0, ...this.#grants.map(({ cores }) => cores)),
        memoryMiB: this.#reserveUnknown ? facts.memoryMiB : Math.max(0, ...this.#grants.map(({ memoryMiB }) => memoryMiB)),
      },
    };
  }
}

function smoothed(before: number | null, value: number): number | null {
  if (Number.isNaN(value)) return before;
  return before === null ? value : before + SMOOTHING * (value - before);
}

function orZero(value: number): number {
  return Number.isNaN(value) ? 0 : value;
}
