/**
 * Which packs belong in which tier: what was not used for long goes down when its tier is nearly full, what is read again and again comes
 * up where there is room, and a tier that is to be left is emptied. Pure. Input: tiers, fastest first, and packs as they are; output: moves
 * in their order, of which each fits when those before it were made.
 */
export interface TierRoom {
  capacityBytes: number;
  usedBytes: number;
  /** Nothing new goes there, and what is there goes away. */
  leaving: boolean;
}

export interface PackAt {
  path: string;
  tier: number;
  bytes: number;
  /** Written or read last, by any clock that only grows. */
  usedAtMs: number;
  /** How often all of it was read lately. */
  heat: number;
}

export interface PackMove {
  path: string;
  to: number;
}

/** A tier begins to send packs down above the first, and stops below the second: some room is always there for what is written next. */
export const FULL_SHARE = 0.9;
const ROOMY_SHARE = 0.8;
/** Read whole twice: once may be somebody who looked whether it is as it was written. */
const HOT = 2;

export function movesFor(tiers: readonly TierRoom[], packs: readonly PackAt[]): PackMove[] {
  const used = tiers.map(({ usedBytes }) => usedBytes);
  const at = new Map(packs.map(({ path, tier }) => [path, tier]));
  const moves: PackMove[] = [];
  const fits = (tier: number, bytes: number, share: number): boolean =>
    !tiers[tier]!.leaving && used[tier]! + bytes <= tiers[tier]!.capacityBytes * share;
  const move = ({ path, bytes }: PackAt, to: number): void => {
    used[at.get(path)!]! -= bytes;
    used[to]! += bytes;
    at.set(path, to);
    moves.push({ path, to });
  };
  const coldFirst = packs.toSorted((a, b) => a.usedAtMs - b.usedAtMs || (a.path < b.path ? -1 : 1));
  const slowFirst = [...tiers.keys()].reverse();
  for (const pack of coldFirst) {
    if (!tiers[pack.tier]!.leaving) continue;
    const to = slowFirst.find((tier) => fits(tier, pack.bytes, 1));
    if (to !== undefined) move(pack, to);
  }
  // From below, so that there is room for what comes down.
  for (const tier of slowFirst) {
    const { capacityBytes, leaving } = tiers[tier]!;
    if (leaving || used[tier]! <= capacityBytes * FULL_SHARE) continue;
    for (const pack of coldFirst) {
      if (used[tier]! <= capacityBytes * ROOMY_SHARE) break;
      if (at.get(pack.path) !== tier) continue;
      const to = [...tiers.keys()].find((below) => below > tier && fits(below, pack.bytes, 1));
      if (to !== undefined) move(pack, to);
    }
  }
  for (const pack of packs.filter(({ heat }) => heat >= HOT).toSorted((a, b) => b.heat - a.heat)) {
    const from = at.get(pack.path)!;
    const to = [...tiers.keys()].find((above) => above < from && fits(above, pack.bytes, ROOMY_SHARE));
    if (to !== undefined) move(pack, to);
  }
  return moves;
}
