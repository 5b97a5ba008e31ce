/**
 * How long agents may gather rows before they send them. Input: rows as they come; output: milliseconds. A small fleet sends
 * each second, so that what people look at is fresh; in a large one a frame of one row costs several times what a row among
 * five does (sockets, decoding, live state that has left the processor's cache), and nothing the aggregator decides needs
 * the second: what must be quick the host's own guard does.
 */

/** Rows a second up to which agents send as often as they like, and then each so many milliseconds. */
const PACES = [
  { rowsPerSecondMax: 1000, flushMs: 1000 },
  { rowsPerSecondMax: 4000, flushMs: 2000 },
  { rowsPerSecondMax: Number.POSITIVE_INFINITY, flushMs: 5000 },
] as const;
/** A pace is kept until the rate is this much below what brought it: a fleet at the edge does not change its mind every time. */
const BACK_SHARE = 0.8;
const WINDOW_MS = 10_000;

/** What agents are asked for at a steady rate of live rows. */
export function flushMsAt(rowsPerSecond: number): number {
  return PACES.find(({ rowsPerSecondMax }) => rowsPerSecond <= rowsPerSecondMax)!.flushMs;
}

export class FlushPace {
  flushMs: number = PACES[0].flushMs;
  #sinceMs: number;
  #rows = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Live rows that came, by the monotonic clock. */
  note(rows: number, nowMs: number): void {
    this.#rows += rows;
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs < WINDOW_MS) return;
    const rowsPerSecond = (this.#rows * 1000) / elapsedMs;
    const slower = flushMsAt(rowsPerSecond);
    const quicker = flushMsAt(rowsPerSecond / BACK_SHARE);
    if (slower > this.flushMs) this.flushMs = slower;
    else if (quicker < this.flushMs) this.flushMs = quicker;
    this.#rows = 0;
    this.#sinceMs = nowMs;
  }
}
