/**
 * How busy a VM's GPUs are, by its guest agent's word: a claim, which is shown and decides nothing. Input: rows of the guest; output:
 * what it has, and the busiest it was since it was last asked. Nothing is kept of VMs that tell of no GPU.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { cell, fieldPlan } from './field-plan.ts';

/** Guests tell every fifteen seconds; of one that has been silent for longer it is not known any more. */
const FRESH_MS = 2 * 60_000;

export interface GpuUse {
  devices: number;
  /** Devices' worth of work, 0..devices: the highest since the last look. */
  busy: number;
}

const columnsOf = fieldPlan((fields) => ({
  devices: fields.indexOf('vm_gpu.devices'),
  utilisation: fields.indexOf('vm_gpu.utilisationFraction'),
}));

export class GpuWatch {
  #timeMs = Number.NEGATIVE_INFINITY;
  #devices = 0;
  #busy = 0;

  /** Does a block tell of GPUs? */
  static tells({ fields }: TelemetryBlock): boolean {
    const { devices, utilisation } = columnsOf(fields);
    return devices >= 0 && utilisation >= 0;
  }

  add({ fields, timesMs, values }: TelemetryBlock): void {
    const columns = columnsOf(fields);
    for (let row = 0; row < timesMs.length; row++) {
      const devices = cell(values, row * fields.length, columns.devices);
      const utilisation = cell(values, row * fields.length, columns.utilisation);
      if (!(devices > 0) || !(utilisation >= 0) || timesMs[row]! < this.#timeMs) continue;
      this.#timeMs = timesMs[row]!;
      this.#devices = devices;
      this.#busy = Math.max(this.#busy, devices * Math.min(1, utilisation));
    }
  }

  /** Null: nothing was heard of late. What was highest starts anew. */
  take(nowMs: number): GpuUse | null {
    const busy = this.#busy;
    this.#busy = 0;
    return nowMs - this.#timeMs > FRESH_MS ? null : { devices: this.#devices, busy };
  }
}
