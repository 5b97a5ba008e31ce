/**
 * What is kept of a field over a bin: count, mean, max and quantiles by nearest rank (the smallest value that at least
 * that share of the values does not exceed: always a value that was seen). Unknown values (NaN) do not count.
 */
export const STATISTICS = ['mean', 'max', 'count', 'p50', 'p90', 'p99'] as const;
export type Statistic = (typeof STATISTICS)[number];

const SHARES = { p50: 0.5, p90: 0.9, p99: 0.99 } as const;

let scratch = new Float64Array(1024);

/** Writes the six numbers in the order of STATISTICS at `offset`; all NaN when no value is known. */
export function writeStatistics(values: Float64Array, target: Float64Array, offset: number): void {
  if (scratch.length < values.length) scratch = new Float64Array(values.length * 2);
  let count = 0;
  let sum = 0;
  let most = Number.NEGATIVE_INFINITY;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) continue;
    scratch[count++] = value;
    sum += value;
    if (value > most) most = value;
    if (value < least) least = value;
  }
  if (count === 0) {
    target.fill(Number.NaN, offset, offset + STATISTICS.length);
    return;
  }
  target[offset] = least === most ? most : sum / count;
  target[offset + 1] = most;
  target[offset + 2] = count;
  if (least === most) {
    target.fill(most, offset + 3, offset + 6);
    return;
  }
  // Each selection leaves smaller values before and larger ones behind: the next searches only what is behind.
  const rank50 = Math.ceil(SHARES.p50 * count) - 1;
  const rank90 = Math.ceil(SHARES.p90 * count) - 1;
  const rank99 = Math.ceil(SHARES.p99 * count) - 1;
  target[offset + 3] = select(0, count - 1, rank50);
  target[offset + 4] = select(rank50, count - 1, rank90);
  target[offset + 5] = select(rank90, count - 1, rank99);
}

/** The value of that rank within scratch[low..high] (Hoare's FIND with a median-of-three pivot). */
function select(low: number, high: number, rank: number): number {
  while (low < high) {
    const pivot = medianOfThree(scratch[low]!, scratch[(low + high) >> 1]!, scratch[high]!);
    let i = low;
    let j = high;
    while (i <= j) {
      while (scratch[i]! < pivot) i++;
      while (scratch[j]! > pivot) j--;
      if (i > j) break;
      const swap = scratch[i]!;
      scratch[i++] = scratch[j]!;
      scratch[j--] = swap;
    }
    if (rank <= j) high = j;
    else if (rank >= i) low = i;
    else break;
  }
  return scratch[rank]!;
}

function medianOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/** A field and which of its statistics: `name` alone is the mean, `name:p90` the quantile. A field name may have colons itself. */
export function splitStatistic(asked: string): { field: string; statistic: number } {
  const colon = asked.lastIndexOf(':');
  const index = colon < 0 ? -1 : STATISTICS.indexOf(asked.slice(colon + 1) as Statistic);
  return index < 0 ? { field: asked, statistic: 0 } : { field: asked.slice(0, colon), statistic: index };
}

/** The name under which a statistic is stored; the mean has a suffix too, so that no field's name can be taken for another's. */
export function statisticName(field: string, statistic: number): string {
  return `${field}:${STATISTICS[statistic]}`;
}
