/**
 * Answers of several requests as one result: columns by name, rows by time. Input: times with values of some columns, in
 * any order, known values only; output: rows in time order, NaN where nothing was said. A later value of the same row and
 * column stands.
 */
import type { SeriesResult } from '../series-store.ts';

export class ResultRows {
  readonly #names: readonly string[];
  readonly #cells: Map<number, number>[];

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#cells = names.map(() => new Map());
  }

  set(column: number, timeMs: number, value: number): void {
    this.#cells[column]!.set(timeMs, value);
  }

  finish(): SeriesResult {
    const timesMs = this.#times();
    const columns: Record<string, Float64Array> = {};
    for (const [i, name] of this.#names.entries()) {
      const cells = this.#cells[i]!;
      columns[name] = timesMs.map((time) => cells.get(time) ?? Number.NaN);
    }
    return { timesMs, columns };
  }

  #times(): Float64Array<ArrayBuffer> {
    const [first, ...others] = this.#cells.filter(({ size }) => size > 0);
    if (!first) return new Float64Array(0);
    const all = new Set(first.keys());
    for (const cells of others) for (const time of cells.keys()) all.add(time);
    return Float64Array.from(all).sort();
  }
}
