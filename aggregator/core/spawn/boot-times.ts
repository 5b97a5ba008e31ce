/**
 * How long VMs of a template take from their order to ready, per host: the newest ones are kept. Input: boots that went well;
 * output: the 95th percentile that a decision reckons with, and the lot as plain data, to be kept.
 */

/** Boots kept of a template on a host: enough for a 95th percentile that is not the one bad boot, few enough to follow changes. */
const KEPT_MAX = 40;
const QUANTILE = 0.95;

export interface BootStatistics {
  host: string;
  boots: number;
  /** From the order to ready, ms. */
  p95Ms: number;
  lastMs: number;
}

/** `TEMPLATE` → host → ms, oldest first. Plain data. */
export type KeptBoots = Record<string, Record<string, number[]>>;

export class BootTimes {
  #kept: KeptBoots;

  constructor(kept: KeptBoots = {}) {
    this.#kept = kept;
  }

  /** In place of what is known. */
  take(kept: KeptBoots): void {
    this.#kept = { ...kept };
  }

  get kept(): KeptBoots {
    return this.#kept;
  }

  note(template: string, host: string, ms: number): void {
    const times = [...(this.#kept[template]?.[host] ?? []), ms].slice(-KEPT_MAX);
    this.#kept[template] = { ...this.#kept[template], [host]: times };
  }

  /** The slowest host's: a VM may come to any. Null: none was seen yet. */
  p95Ms(template: string): number | null {
    const all = this.statistics(template).map(({ p95Ms }) => p95Ms);
    return all.length === 0 ? null : Math.max(...all);
  }

  statistics(template: string): BootStatistics[] {
    return Object.entries(this.#kept[template] ?? {}).map(([host, times]) => ({
      ...{ host, boots: times.length, p95Ms: quantile(times) },
      lastMs: times.at(-1) ?? 0,
    }));
  }
}

/** Nearest rank, upwards: with few boots, the slowest. */
function quantile(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(QUANTILE * sorted.length) - 1)] ?? 0;
}
