/**
 * What VMs of one kind need, as shares of their size, so that a young VM can borrow it: histograms of demand by template, by
 * class and of all VMs, fed by those whose own forecasts are trusted. Shares in, quantiles out. Memory is bounded.
 */
import type { VmId } from '../../../shared/ids.ts';

/** Bins of equal width up to the whole size, 1 % each. */
const BINS = 100;
/** When a histogram has grown to this weight it is halved: it speaks of the last days of a dozen VMs, or hours of hundreds. */
const WEIGHT_MAX = 20_000;
/** Fewer donors would make one VM's habits everybody's. */
const DONORS_MIN = 3;
/** Steps known of them: less is a glimpse. */
const WEIGHT_MIN = 100;
const GROUPS_MAX = 512;
/** Donors are counted so far: more is "many". */
const DONORS_MAX = 64;

export type BorrowedResource = 'cpu' | 'memory';

interface Group {
  bins: Float64Array;
  weight: number;
  donors: Set<VmId>;
}

export interface PeerQuantiles {
  /** Shares of the size, one per level asked. */
  shares: number[];
  /** For people: whose. */
  words: string;
}

export class PeerProfiles {
  readonly #groups = new Map<string, Group>();

  /** A step of a VM whose own forecast is trusted. */
  add(vm: VmId, groups: readonly string[], resource: BorrowedResource, share: number): void {
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor(share * BINS)));
    for (const name of groups) {
      const group = this.#group(`${resource} ${name}`);
      if (group === null) continue;
      group.bins[bin]!++;
      group.weight++;
      if (group.donors.size < DONORS_MAX) group.donors.add(vm);
      if (group.weight < WEIGHT_MAX) continue;
      for (let i = 0; i < BINS; i++) group.bins[i]! /= 2;
      group.weight /= 2;
    }
  }

  #group(key: string): Group | null {
    const known = this.#groups.get(key);
    if (known) return known;
    if (this.#groups.size >= GROUPS_MAX) return null;
    const group = { bins: new Float64Array(BINS), weight: 0, donors: new Set<VmId>() };
    this.#groups.set(key, group);
    return group;
  }

  /** A VM that is gone is nobody's peer. Its steps fade on their own. */
  forget(vm: VmId): void {
    for (const group of this.#groups.values()) group.donors.delete(vm);
  }

  /** Of the first group that enough VMs know of; null when there is none. `levels` ascend. */
  quantiles(groups: readonly string[], resource: BorrowedResource, levels: readonly number[]): PeerQuantiles | null {
    for (const name of groups) {
      const group = this.#groups.get(`${resource} ${name}`);
      if (!group || group.donors.size < DONORS_MIN || group.weight < WEIGHT_MIN) continue;
      const many = group.donors.size >= DONORS_MAX ? `${DONORS_MAX} and more` : String(group.donors.size);
      return { shares: quantilesOf(group, levels), words: `${many} VMs of ${name}` };
    }
    return null;
  }
}

function quantilesOf({ bins, weight }: Group, levels: readonly number[]): number[] {
  let bin = 0;
  let below = bins[0]!;
  return levels.map((level) => {
    while (bin < BINS - 1 && below < level * weight) below += bins[++bin]!;
    return (bin + 1) / BINS;
  });
}
