/**
 * Which aggregator should have which host. Input: names of hosts and of the aggregators that live; output: one of them for
 * each host, and which hosts should move this round. Highest random weight ("A name-based mapping scheme for rendezvous",
 * Thaler and Ravishankar, 1998): all who know the same members agree without a word, and a member that comes or goes
 * moves only the hosts that are its own. Pure.
 */
import { createHash } from 'node:crypto';

/** Null: there are no members. */
export function preferredOwner<Member extends string>(host: string, members: readonly Member[]): Member | null {
  let best: Member | null = null;
  let bestWeight = '';
  for (const member of members) {
    const weight = createHash('sha256').update(`${member}\n${host}`).digest('hex');
    // Names are different, so that equal weights have an order of their own.
    if (best === null || weight > bestWeight || (weight === bestWeight && member > best)) [best, bestWeight] = [member, weight];
  }
  return best;
}

export interface Move<Host extends string> {
  host: Host;
  to: string;
}

/**
 * Of the hosts that `self` has, those another member should have, in an order of their own, at most `movesMax`: each move
 * costs its host a connection and some of its plans.
 */
export function movesOfRound<Host extends string>(
  self: string,
  held: readonly Host[],
  members: readonly string[],
  movesMax: number,
): Move<Host>[] {
  const moves: Move<Host>[] = [];
  for (const host of [...held].sort()) {
    if (moves.length >= movesMax) break;
    const to = preferredOwner(host, members);
    if (to !== null && to !== self) moves.push({ host, to });
  }
  return moves;
}
