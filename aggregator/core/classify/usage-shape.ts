/**
 * The shape of a VM's first hours and after: how busy, how evenly, with how much network and disk beside its CPU. Finished
 * steps in, a few fading means out; what they say of the kind of work.
 */
import type { Evidence } from './workload-class.ts';

export interface ShapeStep {
  /** CPU demand as a share of its vCPUs, 0..1. */
  cpuShare: number;
  /** Memory demand as a share of its memory, null = unknown. */
  memoryShare: number | null;
  networkBytesPerSecond: number | null;
  diskBytesPerSecond: number | null;
}

/** Steps that count in full before old ones fade: two days of five minutes. */
const MEMORY_STEPS = 576;
/** Below this a VM rests, above that it is at work with all it has. */
const RESTS_SHARE = 0.03;
const BUSY_SHARE = 0.6;
/** Less has come: a shape is not told yet. An hour of five-minute steps. */
export const SHAPE_STEPS_MIN = 12;
/** Steps after which it says all it can. */
const SHAPE_STEPS_FULL = 144;
/** More bytes a core-second than this is moving data rather than computing on it. */
const NETWORK_HEAVY = 2e6;
const DISK_HEAVY = 5e6;

const F = { steps: 0, rests: 1, busy: 2, cpu: 3, memory: 4, memorySteps: 5, network: 6, disk: 7, run: 8, longest: 9 } as const;

export class UsageShape {
  readonly #f = new Float64Array(10);

  get steps(): number {
    return this.#f[F.steps]!;
  }

  add({ cpuShare, memoryShare, networkBytesPerSecond, diskBytesPerSecond }: ShapeStep): void {
    const f = this.#f;
    f[F.steps]!++;
    const rate = 1 / Math.min(MEMORY_STEPS, f[F.steps]!);
    const learn = (at: number, value: number, by = rate): void => {
      f[at]! += by * (value - f[at]!);
    };
    learn(F.rests, cpuShare < RESTS_SHARE ? 1 : 0);
    learn(F.busy, cpuShare > BUSY_SHARE ? 1 : 0);
    learn(F.cpu, cpuShare);
    if (networkBytesPerSecond !== null) learn(F.network, networkBytesPerSecond);
    if (diskBytesPerSecond !== null) learn(F.disk, diskBytesPerSecond);
    if (memoryShare !== null) {
      f[F.memorySteps]!++;
      learn(F.memory, memoryShare, 1 / Math.min(MEMORY_STEPS, f[F.memorySteps]!));
    }
    f[F.run] = cpuShare > BUSY_SHARE ? f[F.run]! + 1 : 0;
    f[F.longest] = Math.max(f[F.longest]!, f[F.run]!);
  }

  /** `vcpus`: to tell how much is moved a core-second. Empty while too little has come. */
  evidence(vcpus: number): Evidence[] {
    const f = this.#f;
    if (f[F.steps]! < SHAPE_STEPS_MIN) return [];
    const sure = Math.min(1, f[F.steps]! / SHAPE_STEPS_FULL);
    const evidence: Evidence[] = [];
    const say = (one: Evidence['class'], weight: number, words: string): void => {
      evidence.push({ class: one, weight: weight * sure, words });
    };
    const percent = (share: number): string => `${Math.round(100 * share)} %`;
    const [rests, busy] = [f[F.rests]!, f[F.busy]!];
    if (rests > 0.9) say('idle', 6 * (rests - 0.5), `it rests ${percent(rests)} of the time`);
    // At work with all it has for long, and then not at all: jobs.
    if (busy > 0.1 && f[F.longest]! >= 6) say('batch', 1 + busy + rests, `it works with all it has for ${f[F.longest]} steps at a stretch`);
    const coreSeconds = Math.max(0.01, f[F.cpu]! * vcpus);
    if (rests < 0.9 && f[F.network]! / coreSeconds > NETWORK_HEAVY)
      say('web', 1, 'it moves much data over its network for the CPU it takes');
    if (rests < 0.9 && f[F.disk]! / coreSeconds > DISK_HEAVY)
      say('database', 0.7, 'it moves much data to and from its disks for the CPU it takes');
    if (f[F.memorySteps]! > 0 && f[F.memory]! > 0.7 && f[F.cpu]! < 0.3)
      say('database', 0.7, `it holds ${percent(f[F.memory]!)} of its memory and computes little`);
    return evidence;
  }

  toJSON(): number[] {
    return Array.from(this.#f);
  }

  /** What toJSON gave; anything else leaves it as it is. */
  restore(values: readonly number[]): void {
    if (values.length === this.#f.length && values.every(Number.isFinite)) this.#f.set(values);
  }
}
