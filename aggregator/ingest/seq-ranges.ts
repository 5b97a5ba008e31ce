/**
 * Which batch numbers of one lane are already in the store. Input: numbers as they are committed. Output: whether one
 * is, and contiguous ranges for acknowledgements. A few ranges suffice: numbers rise, with gaps where an agent gave a
 * batch up. Pure.
 */

/** Only batches sent again after a reconnect are looked up, a window's worth: older ranges may be forgotten. */
const RANGES_MAX = 64;

export class SeqRanges {
  /** Ascending, disjoint, not touching. */
  #ranges: [from: number, to: number][] = [];

  has(seq: number): boolean {
    return this.#ranges.some(([from, to]) => seq >= from && seq <= to);
  }

  add(seq: number): void {
    if (this.has(seq)) return;
    let index = this.#ranges.length;
    while (index > 0 && this.#ranges[index - 1]![0] > seq) index--;
    const before = this.#ranges[index - 1];
    const after = this.#ranges[index];
    const joinsBefore = before !== undefined && before[1] === seq - 1;
    const joinsAfter = after !== undefined && after[0] === seq + 1;
    if (joinsBefore && joinsAfter) {
      before[1] = after[1];
      this.#ranges.splice(index, 1);
    } else if (joinsBefore) before[1] = seq;
    else if (joinsAfter) after[0] = seq;
    else this.#ranges.splice(index, 0, [seq, seq]);
    if (this.#ranges.length > RANGES_MAX) this.#ranges.shift();
  }
}

/** Ascending numbers as contiguous ranges. */
export function contiguous(seqs: readonly number[]): [from: number, to: number][] {
  const ranges: [number, number][] = [];
  for (const seq of [...seqs].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && seq <= last[1] + 1) last[1] = seq;
    else ranges.push([seq, seq]);
  }
  return ranges;
}
