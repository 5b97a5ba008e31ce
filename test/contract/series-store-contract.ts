/**
 * What every SeriesStore must do, run against each adapter. The adapter's test says how to open an empty store under a
 * clock; everything checked here is visible through the seam alone.
 */
import type { Test } from 'tap';
import type { SeriesQuery, SeriesResult, SeriesStore } from '../../aggregator/store/series-store.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Source, Subject, TelemetryBlock } from '../../shared/telemetry.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const FIXED_START_MS = Date.UTC(2026, 6, 1, 12, 0, 0);
export const START_MS = FIXED_START_MS;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
export const BIN_MS = 5 * MINUTE_MS;

export const VM_A: Subject = { kind: 'vm', id: '00000000-0000-4000-8000-00000000000a' };
export const VM_B: Subject = { kind: 'vm', id: '00000000-0000-4000-8000-00000000000b' };
export const HOST: Subject = { kind: 'host', id: 'host-1' };

/** A block from rows [time, ...values]. */
export function block(
  subject: Subject,
  fields: readonly string[],
  rows: readonly (readonly number[])[],
  source: Source = 'host',
): TelemetryBlock {
  return {
    subject,
    source,
    fields,
    timesMs: Float64Array.from(rows, ([time]) => time!),
    values: Float64Array.from(rows.flatMap(([, ...values]) => values)),
  };
}

/** A result as rows that a test can compare: [time, ...values in the order asked]. */
export function rowsOf(result: SeriesResult, fields: readonly string[]): number[][] {
  return Array.from(result.timesMs, (time, row) => [time, ...fields.map((field) => result.columns[field]![row]!)]);
}

/** A clock that stands until it is stepped. */
export function standingClock(wallMs = START_MS): NodeClock {
  return new NodeClock(new SimulatedTime(createPrng(1), wallMs));
}

export type OpenStore = (clock: NodeClock) => Promise<SeriesStore>;

/** What an adapter's tests may differ in; everything else is the same for all. */
export interface ContractSetting {
  /** A full hour. Servers judge rows by their own clock: theirs is near the time of the test. */
  startMs?: number;
  /** `twelveDigits`: values come back to 12 significant digits, fewer beside values that are larger by many orders. */
  values?: 'lossless' | 'twelveDigits';
  /** Whether another value for the same time replaces the first; repeating the same value changes nothing anywhere. */
  overwrites?: boolean;
  /** Whether status tells from when on there are rows. */
  tellsAge?: boolean;
}

const CPU = 'vm_cpu.usageCores';
const MEMORY = 'vm_memory.balloonMiB';
const unknown = Number.NaN;

const query = (
  subject: Subject,
  fields: readonly string[],
  fromMs: number,
  toMs: number,
  more: Partial<SeriesQuery> = {},
): SeriesQuery => ({
  subject,
  source: 'host',
  fields,
  fromMs,
  toMs,
  resolution: 'raw',
  ...more,
});

export function seriesStoreContract(t: Test, open: OpenStore, setting: ContractSetting = {}): void {
  const { startMs: START_MS = FIXED_START_MS, values: exactness = 'lossless', overwrites = true, tellsAge = true } = setting;
  const withStore = (name: string, run: (t: Test, store: SeriesStore, clock: NodeClock) => Promise<void>): void => {
    t.test(name, async (t) => {
      const clock = standingClock(START_MS);
      const store = await open(clock);
      t.teardown(() => store.close());
      await run(t, store, clock);
    });
  };

  withStore('an empty store answers empty', async (t, store) => {
    const result = await store.query(query(VM_A, [CPU], START_MS - DAY_MS, START_MS));
    t.equal(result.timesMs.length, 0);
    t.equal(result.columns[CPU]?.length, 0, 'a column that is asked for is there');
    t.same(await store.subjects(), []);
    t.same(await store.last(HOUR_MS, START_MS), []);
    await store.append([]);
  });

  withStore('what was appended is answered: times exact, values without loss, end exclusive', async (t, store) => {
    const short = [0, 0.1, 1e-7, 123456.789012, -17.25, 2 ** 31 - 1, 1024.5, 0.5772156];
    const extreme = [-0, 1 / 3, 5e-324, 1.7976931348623157e308, 2 ** 53 - 1, Math.PI];
    const values = exactness === 'lossless' ? [...short, ...extreme] : short;
    const rows = values.map((value, i) => [START_MS - MINUTE_MS + i * 1000, value]);
    await store.append([block(VM_A, [CPU], rows)]);
    const all = await store.query(query(VM_A, [CPU], START_MS - MINUTE_MS, START_MS));
    t.same(rowsOf(all, [CPU]), rows);
    const some = await store.query(query(VM_A, [CPU], START_MS - MINUTE_MS + 1000, START_MS - MINUTE_MS + 3000));
    t.same(rowsOf(some, [CPU]), rows.slice(1, 3));
  });

  withStore('missing is unknown: no row without a known value, no column filled with zeros', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    const rows = [
      [at, 1, unknown],
      [at + 1000, unknown, unknown],
      [at + 2000, unknown, 512],
    ];
    await store.append([block(VM_A, [CPU, MEMORY], rows)]);
    const both = await store.query(query(VM_A, [CPU, MEMORY, 'vm_cpu.neverStored'], at, START_MS));
    t.same(rowsOf(both, [CPU, MEMORY, 'vm_cpu.neverStored']), [
      [at, 1, unknown, unknown],
      [at + 2000, unknown, 512, unknown],
    ]);
    const one = await store.query(query(VM_A, [MEMORY], at, START_MS));
    t.same(rowsOf(one, [MEMORY]), [[at + 2000, 512]]);
    const none = await store.query(query(VM_A, ['vm_cpu.neverStored'], at, START_MS));
    t.equal(none.timesMs.length, 0);
  });

  withStore('the last write of a field wins, an unknown value is no write, repeating changes nothing', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    if (overwrites) await store.append([block(VM_A, [CPU, MEMORY], [[at, 1, 100]])]);
    await store.append([block(VM_A, [CPU], [[at, 2]])]);
    await store.append([block(VM_A, [CPU, MEMORY], [[at, unknown, 300]])]);
    await store.append([block(VM_A, [CPU, MEMORY], [[at, unknown, 300]])]);
    const result = await store.query(query(VM_A, [CPU, MEMORY], at, START_MS));
    t.same(rowsOf(result, [CPU, MEMORY]), [[at, 2, 300]]);
    const counts = [`${CPU}:count`, `${MEMORY}:count`];
    const bins = await store.query(query(VM_A, counts, at - BIN_MS, START_MS, { resolution: '5m' }));
    t.same(rowsOf(bins, counts), [[Math.floor(at / BIN_MS) * BIN_MS, 1, 1]], 'nor is it counted twice');
  });

  withStore('blocks in one append and rows out of order come back in time order', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    await store.append([block(VM_A, [CPU], [[at + 5000, 5]]), block(VM_A, [CPU], [[at + 1000, 1]])]);
    await store.append([block(VM_A, [CPU], [[at + 3000, 3]])]);
    const result = await store.query(query(VM_A, [CPU], at, START_MS));
    t.same(rowsOf(result, [CPU]), [
      [at + 1000, 1],
      [at + 3000, 3],
      [at + 5000, 5],
    ]);
  });

  withStore('what a host saw and what a guest claims are different series; so are subjects', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    await store.append([
      block(VM_A, [CPU], [[at, 1]], 'host'),
      block(VM_A, [CPU], [[at, 9]], 'guest'),
      block(VM_B, [CPU], [[at, 4]], 'host'),
      block(HOST, ['host_cpu.usageCores'], [[at, 7]], 'host'),
    ]);
    t.same(rowsOf(await store.query(query(VM_A, [CPU], at, START_MS)), [CPU]), [[at, 1]]);
    t.same(rowsOf(await store.query(query(VM_A, [CPU], at, START_MS, { source: 'guest' })), [CPU]), [[at, 9]]);
    const guest = await store.queryMany({ ...query(VM_A, [CPU], at, START_MS, { source: 'guest' }), subjects: [VM_B, VM_A] });
    t.same(
      guest.map((result) => rowsOf(result, [CPU])),
      [[], [[at, 9]]],
    );
    const named = (await store.subjects()).map(({ subject, source }) => `${subject.kind}/${subject.id}/${source}`).sort();
    t.same(named, [`host/${HOST.id}/host`, `vm/${VM_A.id}/guest`, `vm/${VM_A.id}/host`, `vm/${VM_B.id}/host`]);
  });

  withStore('many subjects at once: one answer each, in their order', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    await store.append([block(VM_A, [CPU], [[at, 1]]), block(VM_B, [CPU], [[at, 2]])]);
    const { subject: _, ...rest } = query(VM_A, [CPU], at, START_MS);
    const results = await store.queryMany({ ...rest, subjects: [VM_B, HOST, VM_A] });
    t.same(
      results.map((result) => rowsOf(result, [CPU])),
      [[[at, 2]], [], [[at, 1]]],
    );
  });

  withStore('many subjects at once at an aggregated resolution, ended bins and the one under way', async (t, store, clock) => {
    const bin = START_MS - 2 * BIN_MS;
    clock.stepWall(-2 * BIN_MS);
    await store.append([
      block(
        VM_A,
        [CPU],
        [
          [bin, 1],
          [bin + 1000, 3],
        ],
      ),
      block(VM_B, [CPU], [[bin, 5]]),
    ]);
    clock.stepWall(BIN_MS + MINUTE_MS);
    await store.maintain(clock.wallMs());
    await store.append([block(VM_A, [CPU], [[bin + BIN_MS, 7]])]);
    const { subject: _, ...rest } = query(VM_A, [CPU, `${CPU}:count`], bin, START_MS, { resolution: '5m' });
    const results = await store.queryMany({ ...rest, subjects: [VM_A, VM_B] });
    t.same(
      results.map((result) => rowsOf(result, [CPU, `${CPU}:count`])),
      [
        [
          [bin, 2, 2],
          [bin + BIN_MS, 7, 1],
        ],
        [[bin, 5, 1]],
      ],
    );
  });

  withStore('names of any kind come back as they were: forecasts, colons, spaces, a name of the stores', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    const fields = [
      'vm_forecast.cpuCores/q0.99/h1',
      'vm_forecast.cpuCores/q0.5/h1',
      'vm_decision.cpuCores/target',
      'vm_app.time',
      'vm_app.queue length, "mail"=1',
      'vm_app.a:b%25\\n',
      'vm_app.p99:max',
      'no measurement',
      'vm_app.größe',
    ];
    const values = fields.map((_, i) => i + 1);
    const odd: Subject = { kind: 'host', id: 'rack 1,"a"=b\\' };
    await store.append([block(VM_A, fields, [[at, ...values]]), block(odd, ['host_cpu.usageCores'], [[at, 3]])]);
    t.same(rowsOf(await store.query(query(VM_A, fields, at, START_MS)), fields), [[at, ...values]]);
    t.same(rowsOf(await store.query(query(odd, ['host_cpu.usageCores'], at, START_MS)), ['host_cpu.usageCores']), [[at, 3]]);
    const named = Object.fromEntries(fields.map((name, i) => [name, values[i]!]));
    t.same(await store.last(HOUR_MS, START_MS, [VM_A]), [{ subject: VM_A, source: 'host', timeMs: at, values: named }]);
    t.same((await store.subjects()).map(({ subject }) => subject.id).sort(), [VM_A.id, odd.id].sort());
    const bins = fields.map((name) => `${name}:max`);
    const stored = await store.query(query(VM_A, bins, at - BIN_MS, START_MS, { resolution: '5m' }));
    t.same(rowsOf(stored, bins), [[Math.floor(at / BIN_MS) * BIN_MS, ...values]]);
  });

  withStore('rows that come too late or from the future are dropped and counted', async (t, store) => {
    const rows = [
      [START_MS - 3 * HOUR_MS, 1],
      [START_MS, 2],
      [START_MS + 3 * HOUR_MS, 3],
    ];
    await store.append([block(VM_A, [CPU], rows)]);
    t.same((await store.status()).dropped, { 'too-late': 1, future: 1 });
    t.same(rowsOf(await store.query(query(VM_A, [CPU], START_MS - DAY_MS, START_MS + DAY_MS)), [CPU]), [[START_MS, 2]]);
  });

  withStore('the newest row of each subject, within the time asked', async (t, store) => {
    const at = START_MS - MINUTE_MS;
    await store.append([
      block(
        VM_A,
        [CPU, MEMORY],
        [
          [at, 1, 100],
          [at + 1000, 2, unknown],
          [at + 2000, unknown, unknown],
        ],
      ),
      block(VM_B, [CPU], [[at - HOUR_MS, 5]]),
    ]);
    t.same(await store.last(10 * MINUTE_MS, START_MS), [{ subject: VM_A, source: 'host', timeMs: at + 1000, values: { [CPU]: 2 } }]);
    t.same(await store.last(2 * HOUR_MS, START_MS, [VM_B]), [
      { subject: VM_B, source: 'host', timeMs: at - HOUR_MS, values: { [CPU]: 5 } },
    ]);
    t.same(await store.last(2 * HOUR_MS, START_MS, [HOST]), []);
  });

  withStore('statistics of bins and hours: mean, max, count and quantiles by nearest rank', async (t, store, clock) => {
    const hour = START_MS - 2 * HOUR_MS;
    clock.stepWall(-HOUR_MS);
    // 1..100 in a shuffled order within one bin, and a single value two bins later.
    const rows = Array.from({ length: 100 }, (_, i) => [hour + i * 1000, ((i * 37) % 100) + 1]);
    await store.append([block(VM_A, [CPU], [...rows, [hour + 2 * BIN_MS, 1010]])]);
    const fields = ['', ':max', ':count', ':p50', ':p90', ':p99'].map((suffix) => CPU + suffix);
    const expectBins = [
      [hour, 50.5, 100, 100, 50, 90, 99],
      [hour + 2 * BIN_MS, 1010, 1010, 1, 1010, 1010, 1010],
    ];
    const expectHour = [[hour, 60, 1010, 101, 51, 91, 100]];
    const check = async (when: string): Promise<void> => {
      const bins = await store.query(query(VM_A, fields, hour, hour + HOUR_MS, { resolution: '5m' }));
      t.same(rowsOf(bins, fields), expectBins, `bins ${when}`);
      const hours = await store.query(query(VM_A, fields, hour, hour + HOUR_MS, { resolution: '1h' }));
      t.same(rowsOf(hours, fields), expectHour, `hours ${when}`);
      const max = await store.query(query(VM_A, [`${CPU}:max`], hour + 1, hour + HOUR_MS, { resolution: '5m' }));
      t.same(rowsOf(max, [`${CPU}:max`]), [[hour + 2 * BIN_MS, 1010]], `one statistic, from within a bin, ${when}`);
    };
    await check('at once');
    clock.stepWall(HOUR_MS);
    await store.maintain(clock.wallMs());
    await check('after they ended');
  });

  withStore('a late row changes the statistics of its bin', async (t, store, clock) => {
    const bin = START_MS - HOUR_MS;
    await store.append([block(VM_A, [CPU], [[bin, 2]])]);
    clock.stepWall(30 * MINUTE_MS);
    await store.maintain(clock.wallMs());
    await store.append([block(VM_A, [CPU], [[bin + 1000, 4]])]);
    const fields = [CPU, `${CPU}:count`];
    const ask = () => store.query(query(VM_A, fields, bin, bin + BIN_MS, { resolution: '5m' }));
    t.same(rowsOf(await ask(), fields), [[bin, 3, 2]]);
    clock.stepWall(30 * MINUTE_MS);
    await store.maintain(clock.wallMs());
    t.same(rowsOf(await ask(), fields), [[bin, 3, 2]]);
  });

  withStore('status tells its kind, its size and from when on there are rows', async (t, store) => {
    t.equal((await store.status()).rawFromMs, null);
    await store.append([block(VM_A, [CPU], [[START_MS - MINUTE_MS, 1]])]);
    const { kind, bytes, rawFromMs, dropped, problems } = await store.status();
    t.ok(kind.length > 0 && bytes > 0);
    if (tellsAge) t.ok(rawFromMs !== null && rawFromMs <= START_MS - MINUTE_MS && rawFromMs >= START_MS - HOUR_MS);
    t.same(dropped, {});
    t.same(problems, []);
  });

  withStore('blocks that contradict themselves are refused, and nothing of the append is kept', async (t, store) => {
    const good = block(VM_A, [CPU], [[START_MS - 1000, 1]]);
    const short: TelemetryBlock = { ...good, values: new Float64Array(0) };
    await t.rejects(store.append([good, short]), { code: 'FRAME_INVALID' });
    await t.rejects(store.append([block(VM_A, [CPU], [[unknown, 1]])]), { code: 'FRAME_INVALID' });
    t.equal((await store.query(query(VM_A, [CPU], START_MS - DAY_MS, START_MS))).timesMs.length, 0);
  });
}
