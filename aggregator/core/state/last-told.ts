/**
 * When a VM's resources were last told of, and the newest figures of its memory. Input: rows of this VM, our monotonic clock;
 * output: ages by which what is known is judged fresh or stale, resident memory and balloon (MiB).
 */
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { fieldPlan } from './field-plan.ts';
import { perResource } from './per-resource.ts';

/** The host's own figure without which a resource's demand rests on nothing vouched. */
const VOUCHED_FIELD: Readonly<Record<Resource, string>> = {
  cpu: 'vm_cpu.usageCores',
  memory: 'vm_memory.availableMiB',
  network: 'vm_network.receiveBytesPerSecond',
  disk: 'vm_disk.readBytesPerSecond',
};
const CLAIMED_FIELD: Partial<Record<Resource, string>> = { memory: 'vm_memory.guestAvailableMiB' };

interface Columns {
  /** Of each resource whose field is there. */
  vouched: readonly { resource: Resource; column: number }[];
  claimed: readonly { resource: Resource; column: number }[];
  statsAge: number;
  rss: number;
  balloon: number;
}

const columnsOf = fieldPlan((fields): Columns => {
  const present = (names: Partial<Record<Resource, string>>) =>
    RESOURCES.map((resource) => ({ resource, column: fields.indexOf(names[resource] ?? '') })).filter(({ column }) => column >= 0);
  return {
    vouched: present(VOUCHED_FIELD),
    claimed: present(CLAIMED_FIELD),
    statsAge: fields.indexOf('vm_memory.statsAgeMs'),
    rss: fields.indexOf('vm_memory.rssMiB'),
    balloon: fields.indexOf('vm_memory.balloonMiB'),
  };
});

export class LastTold {
  /** Null = never told. */
  rssMiB: number | null = null;
  /** Memory the guest holds as its balloon was last seen, null = never told. */
  balloonMiB: number | null = null;
  readonly #sampledMonoMs = perResource(() => Number.NEGATIVE_INFINITY);
  readonly #vouchedMonoMs = perResource(() => Number.NEGATIVE_INFINITY);

  add(block: TelemetryBlock, nowMonoMs: number): void {
    const columns = columnsOf(block.fields);
    if (block.source === 'guest') {
      for (let i = 0; i < columns.claimed.length; i++) {
        const { resource, column } = columns.claimed[i]!;
        if (!Number.isNaN(newest(block, column))) this.#sampledMonoMs[resource] = nowMonoMs;
      }
      return;
    }
    for (let i = 0; i < columns.vouched.length; i++) {
      const { resource, column } = columns.vouched[i]!;
      if (Number.isNaN(newest(block, column))) continue;
      this.#vouchedMonoMs[resource] = nowMonoMs - (resource === 'memory' ? statsAgeMs(block, columns.statsAge) : 0);
      this.#sampledMonoMs[resource] = Math.max(this.#sampledMonoMs[resource], this.#vouchedMonoMs[resource]);
    }
    const rssMiB = newest(block, columns.rss);
    if (!Number.isNaN(rssMiB)) this.rssMiB = rssMiB;
    const balloonMiB = newest(block, columns.balloon);
    if (!Number.isNaN(balloonMiB)) this.balloonMiB = balloonMiB;
  }

  /** Since anybody told of the resource; infinite = nobody did. */
  ageMs(resource: Resource, nowMonoMs: number): number {
    return nowMonoMs - this.#sampledMonoMs[resource];
  }

  /** The host itself told of the resource, not longer ago than this. */
  isVouched(resource: Resource, nowMonoMs: number, staleAfterMs: number): boolean {
    return nowMonoMs - this.#vouchedMonoMs[resource] <= staleAfterMs;
  }
}

/** Newest known value of a column, NaN when no row has one. */
function newest({ timesMs, values, fields }: TelemetryBlock, column: number): number {
  if (column < 0) return Number.NaN;
  for (let row = timesMs.length - 1; row >= 0; row--) {
    const value = values[row * fields.length + column]!;
    if (!Number.isNaN(value)) return value;
  }
  return Number.NaN;
}

function statsAgeMs(block: TelemetryBlock, column: number): number {
  const ageMs = newest(block, column);
  return Number.isNaN(ageMs) ? 0 : Math.max(0, ageMs);
}
