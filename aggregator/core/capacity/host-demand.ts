/**
 * What the VMs of one host want together, learnt step by step: a joint forecaster each for CPU and memory. Finished steps of
 * its VMs in, quantiles of their common demand out; bytes for checkpoints.
 */
import type { Forecast, ForecasterFactory, ForecasterOptions } from '../forecast/forecaster.ts';
import { JointForecaster } from '../forecast/joint-forecaster.ts';

/** Those that can be sold. */
export const SOLD_RESOURCES = ['cpu', 'memory'] as const;
export type SoldResource = (typeof SOLD_RESOURCES)[number];

/** Demand of one VM in a step, cores and MiB; NaN = not known. */
export interface MemberDemand {
  vm: string;
  cpu: number;
  memory: number;
}

export class HostDemand {
  readonly #joint: Readonly<Record<SoldResource, JointForecaster>>;
  /** Members and their demand in the newest step. */
  #latest: readonly MemberDemand[] = [];

  constructor(options: ForecasterOptions, factory: ForecasterFactory) {
    this.#joint = { cpu: new JointForecaster(options, factory), memory: new JointForecaster(options, factory) };
  }

  /** Start of the newest step, -Infinity before the first. */
  get lastMs(): number {
    return this.#joint.cpu.lastMs;
  }

  /** Steps in ascending time; one at or before the last is ignored. */
  observe(startMs: number, members: readonly MemberDemand[]): void {
    if (startMs <= this.lastMs) return;
    this.#latest = members;
    for (const resource of SOLD_RESOURCES) this.#joint[resource].observe(startMs, new Map(members.map((one) => [one.vm, one[resource]])));
  }

  /** Known demand of the newest step, summed; null = of none is any known. */
  now(resource: SoldResource): number | null {
    const known = this.#latest.map((one) => one[resource]).filter((value) => !Number.isNaN(value));
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
  }

  /** What its VMs usually want together. */
  usual(resource: SoldResource): number {
    return this.#joint[resource].usual;
  }

  /** Null while there is nothing to say. */
  forecast(resource: SoldResource, horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    return this.#joint[resource].forecast(horizons, quantiles);
  }

  /** Length of the first part (uint32, little-endian), CPU's bytes, memory's bytes. */
  serialise(): Uint8Array {
    const [cpu, memory] = [this.#joint.cpu.serialise(), this.#joint.memory.serialise()];
    const bytes = new Uint8Array(4 + cpu.length + memory.length);
    new DataView(bytes.buffer).setUint32(0, cpu.length, true);
    bytes.set(cpu, 4);
    bytes.set(memory, 4 + cpu.length);
    return bytes;
  }

  /** STORE_CORRUPT when it is another build's or other seasons'. */
  restoreFrom(bytes: Uint8Array): void {
    const length = bytes.length >= 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : 0;
    this.#joint.cpu.restoreFrom(bytes.subarray(4, 4 + length));
    this.#joint.memory.restoreFrom(bytes.subarray(4 + length));
  }
}
