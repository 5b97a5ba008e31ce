/**
 * Goal: whatever is appended, in whatever order, with repeats and late rows, the embedded store answers as a naive model
 * that keeps every row: rows, and statistics of bins and hours, through sealing, chunking, retention of rows and (on disk)
 * reopening. Rows too late or too far ahead are dropped and counted, as the model counts them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { createMemorySeriesStore } from '../../aggregator/store/sqlite/memory-series-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import type { Source, Subject, TelemetryBlock } from '../../shared/telemetry.ts';
import { seriesKey } from '../../shared/telemetry.ts';
import type { NodeClock } from '../../simulation/clock.ts';
import {
  BIN_MS,
  block,
  DAY_MS,
  HOST,
  HOUR_MS,
  MINUTE_MS,
  rowsOf,
  START_MS,
  standingClock,
  VM_A,
} from '../contract/series-store-contract.ts';

const FIELDS = ['vm_cpu.usageCores', 'vm_cpu.capCores', 'vm_memory.balloonMiB', 'vm_app.queue:max'];
const SERIES: [Subject, Source][] = [
  [VM_A, 'host'],
  [VM_A, 'guest'],
  [HOST, 'host'],
];
const LATE_MS = 2 * HOUR_MS;
const AHEAD_MS = HOUR_MS;
/** Raw rows are compared within this time of the present: before, retention may have taken them. */
const RAW_MS = 47 * HOUR_MS;
const STATISTICS = ['', ':max', ':count', ':p50', ':p90', ':p99'];

type Operation =
  | { kind: 'append'; blocks: { series: number; fields: number[]; rows: [agoMs: number, ...values: number[]][] }[] }
  | { kind: 'wait'; forMs: number }
  | { kind: 'maintain' }
  | { kind: 'reopen' };

/**
 * Rounded and whole values, repeats, holes, and doubles of all sizes. Large ones have one sign: means are sums in another
 * order than the model's, and where large values cancel, the order decides more digits than the comparison allows for.
 */
const value = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -10, max: 40 }).map((n) => n / 10) },
  { weight: 1, arbitrary: fc.double({ min: 0, max: 1e9, noNaN: true }) },
  { weight: 2, arbitrary: fc.constant(Number.NaN) },
);
/** Mostly recent, on few instants so that rows meet; some late, too late, or ahead. */
const ago = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 120 }).map((n) => n * 5000) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 3 * 60 }).map((n) => n * MINUTE_MS) },
  { weight: 1, arbitrary: fc.integer({ min: -90, max: 0 }).map((n) => n * MINUTE_MS) },
);
const blockOf = fc
  .tuple(fc.nat(SERIES.length - 1), fc.uniqueArray(fc.nat(FIELDS.length - 1), { minLength: 1, maxLength: FIELDS.length }))
  .chain(([series, fields]) =>
    fc
      .array(fc.tuple(ago, ...fields.map(() => value)), { minLength: 1, maxLength: 12 })
      .map((rows) => ({ series, fields, rows: rows as [number, ...number[]][] })),
  );
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.array(blockOf, { minLength: 1, maxLength: 4 }).map((blocks): Operation => ({ kind: 'append', blocks })) },
  {
    weight: 3,
    arbitrary: fc
      .oneof(fc.integer({ min: 1, max: 20 * MINUTE_MS }), fc.integer({ min: 1, max: 14 * HOUR_MS }))
      .map((forMs): Operation => ({ kind: 'wait', forMs })),
  },
  { weight: 2, arbitrary: fc.constant<Operation>({ kind: 'maintain' }) },
  { weight: 1, arbitrary: fc.constant<Operation>({ kind: 'reopen' }) },
);

/** Every row ever accepted. */
class Model {
  readonly rows = new Map<string, Map<number, Map<string, number>>>();
  dropped = { 'too-late': 0, future: 0 };

  append(blocks: readonly TelemetryBlock[], nowMs: number): void {
    for (const { subject, source, fields, timesMs, values } of blocks) {
      for (const [row, time] of timesMs.entries()) {
        if (time < nowMs - LATE_MS) this.dropped['too-late']++;
        else if (time > nowMs + AHEAD_MS) this.dropped.future++;
        else this.#write(seriesKey(subject, source), time, fields, values.subarray(row * fields.length, (row + 1) * fields.length));
      }
    }
  }

  raw(key: string, fields: readonly string[], fromMs: number, toMs: number): number[][] {
    return [...(this.rows.get(key) ?? [])]
      .filter(([time, row]) => time >= fromMs && time < toMs && fields.some((field) => row.has(field)))
      .sort(([a], [b]) => a - b)
      .map(([time, row]) => [time, ...fields.map((field) => row.get(field) ?? Number.NaN)]);
  }

  statistics(key: string, field: string, fromMs: number, toMs: number, binMs: number): number[][] {
    const bins = Map.groupBy(this.raw(key, [field], 0, Number.MAX_SAFE_INTEGER), ([time]) => Math.floor(time! / binMs) * binMs);
    return [...bins]
      .filter(([start]) => start >= fromMs && start < toMs)
      .map(([start, rows]) => {
        const values = rows.map(([, x]) => x!).sort((a, b) => a - b);
        const rank = (share: number) => values[Math.ceil(share * values.length) - 1]!;
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        return [start, mean, values.at(-1)!, values.length, rank(0.5), rank(0.9), rank(0.99)];
      });
  }

  #write(key: string, time: number, fields: readonly string[], values: Float64Array): void {
    let series = this.rows.get(key);
    if (!series) {
      series = new Map();
      this.rows.set(key, series);
    }
    for (const [i, field] of fields.entries()) {
      if (Number.isNaN(values[i]!)) continue;
      let row = series.get(time);
      if (!row) {
        row = new Map();
        series.set(time, row);
      }
      row.set(field, values[i]!);
    }
  }
}

/** Means are sums in another order than the model's. */
function close(a: number, b: number): boolean {
  return Object.is(a, b) || a === b || Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

function sameRows(found: number[][], wanted: number[][], what: string): void {
  const same = found.length === wanted.length && found.every((row, i) => row.every((x, j) => close(x, wanted[i]![j]!)));
  if (!same) throw new Error(`${what}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
}

async function compare(store: SeriesStore, model: Model, nowMs: number): Promise<void> {
  for (const [subject, source] of SERIES) {
    const key = seriesKey(subject, source);
    for (const [fromMs, toMs] of [
      [nowMs - RAW_MS, nowMs + AHEAD_MS + 1],
      [nowMs - 70 * MINUTE_MS - 1234, nowMs - 7 * MINUTE_MS],
    ] as const) {
      const raw = await store.query({ subject, source, fields: FIELDS, fromMs, toMs, resolution: 'raw' });
      sameRows(rowsOf(raw, FIELDS), model.raw(key, FIELDS, fromMs, toMs), `raw rows of ${key}`);
    }
    for (const field of FIELDS) {
      for (const [resolution, binMs] of [
        ['5m', BIN_MS],
        ['1h', HOUR_MS],
      ] as const) {
        const names = STATISTICS.map((suffix) => (suffix === '' ? `${field}:mean` : field + suffix));
        const [fromMs, toMs] = [START_MS - DAY_MS, nowMs + DAY_MS];
        const result = await store.query({ subject, source, fields: names, fromMs, toMs, resolution });
        sameRows(rowsOf(result, names), model.statistics(key, field, fromMs, toMs, binMs), `${resolution} of ${key} ${field}`);
      }
    }
  }
}

interface Opened {
  store: SeriesStore;
  reopen: ((store: SeriesStore) => Promise<SeriesStore>) | null;
}

async function run(operations: readonly Operation[], clock: NodeClock, opened: Opened): Promise<void> {
  let { store } = opened;
  const model = new Model();
  let reopened = false;
  try {
    for (const operation of operations) {
      if (operation.kind === 'wait') clock.stepWall(operation.forMs);
      else if (operation.kind === 'maintain') await store.maintain(clock.wallMs());
      else if (operation.kind === 'reopen') {
        if (!opened.reopen) continue;
        store = await opened.reopen(store);
        reopened = true;
      } else {
        const blocks = operation.blocks.map(({ series, fields, rows }) => {
          const [subject, source] = SERIES[series]!;
          const timed = rows.map(([agoMs, ...values]) => [clock.wallMs() - agoMs, ...values]);
          return block(
            subject,
            fields.map((i) => FIELDS[i]!),
            timed,
            source,
          );
        });
        await store.append(blocks);
        model.append(blocks, clock.wallMs());
      }
      await compare(store, model, clock.wallMs());
    }
    clock.stepWall(20 * HOUR_MS);
    await store.maintain(clock.wallMs());
    await compare(store, model, clock.wallMs());
    const { dropped, problems } = await store.status();
    const counted = Object.fromEntries(Object.entries(model.dropped).filter(([, rows]) => rows > 0));
    if (!reopened && JSON.stringify(Object.entries(dropped).sort()) !== JSON.stringify(Object.entries(counted).sort())) {
      throw new Error(`dropped ${JSON.stringify(dropped)}, the model ${JSON.stringify(counted)}`);
    }
    if (problems.length > 0) throw new Error(problems.join('; '));
  } finally {
    await store.close();
  }
}

function property(t: Test, numRuns: number, open: (clock: NodeClock) => Promise<Opened>): Promise<void> {
  return fc
    .assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 25 }), async (operations) => {
        const clock = standingClock();
        await run(operations, clock, await open(clock));
      }),
      { numRuns },
    )
    .then(() => {
      t.pass('property held');
    });
}

t.test('in memory', async (t) => {
  await property(t, 60, async (clock) => ({ store: createMemorySeriesStore({ clock }), reopen: null }));
});

t.test('in memory, sealing in a hurry all the time', async (t) => {
  // So little memory that bins are sealed while they are still filling.
  await property(t, 40, async (clock) => ({ store: createMemorySeriesStore({ clock, memoryBytesMax: 5000 }), reopen: null }));
});

t.test('on disk, with reopening', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-series-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  let runs = 0;
  await property(t, 5, async (clock) => {
    const directory = join(root, String(runs++));
    const open = () => openSqliteSeriesStore({ directory, clock, groupMs: 1 });
    const reopen = async (store: SeriesStore): Promise<SeriesStore> => {
      await store.close();
      return open();
    };
    return { store: await open(), reopen };
  });
});
