/**
 * Puts readings that came at their own pace onto one grid of seconds. Input: points (time, value) in any order; output: one
 * value a second, null where nothing is known. A reading stands for the seconds after it only as long as `holdMs`: missing
 * is unknown, never the last value for ever. Pure.
 */
export interface Point {
  timeMs: number;
  value: number;
}

export const GRID_MS = 1000;
/** Readings come once a second; two lost ones in a row are a late batch, more are a gap. */
const HOLD_MS_DEFAULT = 3000;

/** [ceil((toMs − fromMs) / 1000)] values; the value of a second is the newest reading taken up to its end. */
export function onGrid(points: readonly Point[], fromMs: number, toMs: number, holdMs = HOLD_MS_DEFAULT): (number | null)[] {
  const sorted = points.filter(({ value }) => Number.isFinite(value)).toSorted((a, b) => a.timeMs - b.timeMs);
  const seconds = Math.max(0, Math.ceil((toMs - fromMs) / GRID_MS));
  const grid: (number | null)[] = [];
  let next = 0;
  let newest: Point | undefined;
  for (let second = 0; second < seconds; second++) {
    const endMs = fromMs + (second + 1) * GRID_MS;
    while (next < sorted.length && (sorted[next] as Point).timeMs < endMs) newest = sorted[next++];
    grid.push(newest !== undefined && endMs - newest.timeMs <= holdMs + GRID_MS ? newest.value : null);
  }
  return grid;
}
