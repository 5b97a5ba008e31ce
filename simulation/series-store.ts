/**
 * The simulated series store: the newest rows of every series in plain arrays, so that a fleet-year costs neither disk nor
 * time. It outlives the aggregator that writes to it. Input: blocks; output: a SeriesStore that answers raw rows of the last
 * hours only; coarser bins are the real stores' work and have tests of their own.
 */
import type { LastValue, SeriesResult, SeriesStore } from '../aggregator/store/series-store.ts';
import { assert } from '../shared/assert.ts';
import type { Source, Subject, TelemetryBlock } from '../shared/telemetry.ts';

interface Series {
  subject: Subject;
  source: Source;
  blocks: TelemetryBlock[];
  /** Where the oldest block lies: the array is a ring once it is full. */
  next: number;
}

export interface SimulatedSeriesStore extends SeriesStore {
  /** Rows taken so far, repeats included. */
  readonly rows: number;
}

/** `blocksMax`: kept per series. */
export function createSimulatedSeriesStore(blocksMax: number): SimulatedSeriesStore {
  const all = new AllSeries();
  let rows = 0;
  const query = (subject: Subject, source: Source, fields: readonly string[], fromMs: number, toMs: number): SeriesResult => {
    const byTime = new Map<number, Record<string, number>>();
    const series = all.get(subject, source);
    for (const block of series ? inOrder(series) : []) addRows(block, fields, fromMs, toMs, byTime);
    const times = [...byTime.keys()].sort((a, b) => a - b);
    const columns = fields.map((field) => [field, Float64Array.from(times, (time) => byTime.get(time)?.[field] ?? Number.NaN)]);
    return { timesMs: Float64Array.from(times), columns: Object.fromEntries(columns) as Record<string, Float64Array> };
  };
  return {
    get rows() {
      return rows;
    },
    async append(blocks) {
      for (const block of blocks) {
        rows += block.timesMs.length;
        keep(all.of(block.subject, block.source), block, blocksMax);
      }
    },
    async query({ subject, source, fields, fromMs, toMs, resolution }) {
      assert(resolution === 'raw', `the simulated store has no bins of ${resolution}`);
      return query(subject, source, fields, fromMs, toMs);
    },
    async queryMany({ subjects, source, fields, fromMs, toMs, resolution }) {
      assert(resolution === 'raw', `the simulated store has no bins of ${resolution}`);
      return subjects.map((subject) => query(subject, source, fields, fromMs, toMs));
    },
    async last(withinMs, nowMs, subjects) {
      const wanted = subjects && new Set(subjects.map(({ kind, id }) => `${kind} ${id}`));
      return all.list.flatMap((series) => {
        if (wanted && !wanted.has(`${series.subject.kind} ${series.subject.id}`)) return [];
        const last = lastOf(series, nowMs - withinMs);
        return last === null ? [] : [last];
      });
    },
    async subjects() {
      return all.list.map(({ subject, source }) => ({ subject, source }));
    },
    async maintain() {},
    async status() {
      return { kind: 'simulated', bytes: Number.NaN, rawFromMs: null, dropped: {}, problems: [] };
    },
    async close() {},
  };
}

/** By name, without a key put together for every row. */
class AllSeries {
  readonly #byName: Record<Subject['kind'], Record<Source, Map<string, Series>>> = {
    vm: { host: new Map(), guest: new Map() },
    host: { host: new Map(), guest: new Map() },
  };
  /** In the order in which they came. */
  readonly list: Series[] = [];

  get({ kind, id }: Subject, source: Source): Series | undefined {
    return this.#byName[kind][source].get(id);
  }

  of(subject: Subject, source: Source): Series {
    const known = this.get(subject, source);
    if (known !== undefined) return known;
    const series: Series = { subject, source, blocks: [], next: 0 };
    this.#byName[subject.kind][source].set(subject.id, series);
    this.list.push(series);
    return series;
  }
}

function keep(series: Series, block: TelemetryBlock, blocksMax: number): void {
  series.blocks[series.next] = block;
  series.next = (series.next + 1) % blocksMax;
}

/** Blocks as they came: of rows written twice the later ones win. */
function* inOrder({ blocks, next }: Series): Iterable<TelemetryBlock> {
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[(next + i) % blocks.length];
    if (block !== undefined) yield block;
  }
}

/** Only what is known is a write. */
function addRows(
  block: TelemetryBlock,
  fields: readonly string[],
  fromMs: number,
  toMs: number,
  byTime: Map<number, Record<string, number>>,
): void {
  const width = block.fields.length;
  for (const [row, time] of block.timesMs.entries()) {
    if (time < fromMs || time >= toMs) continue;
    for (const field of fields) {
      const column = block.fields.indexOf(field);
      const value = column < 0 ? Number.NaN : (block.values[row * width + column] as number);
      if (Number.isNaN(value)) continue;
      const values = byTime.get(time) ?? {};
      values[field] = value;
      byTime.set(time, values);
    }
  }
}

function lastOf(series: Series, fromMs: number): LastValue | null {
  let last: LastValue | null = null;
  for (const block of inOrder(series)) {
    const row = block.timesMs.length - 1;
    const timeMs = block.timesMs[row] as number;
    if (timeMs < fromMs || (last !== null && timeMs < last.timeMs)) continue;
    const known = block.fields.map((field, column) => [field, block.values[row * block.fields.length + column] as number] as const);
    const values = Object.fromEntries(known.filter(([, value]) => !Number.isNaN(value)));
    last = { subject: series.subject, source: series.source, timeMs, values };
  }
  return last;
}
