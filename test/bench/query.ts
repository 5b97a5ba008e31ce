/**
 * `bench query`: the questions that charts ask of the embedded store, over real files. Fills 28 days of one VM and the last
 * hour of 1,000, then asks each many times. Output: medians in milliseconds, bytes a row of 20 values on disk.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { type Benchmark, DAY_MS, HOUR_MS, MINUTE_MS, median, rounded } from './benchmark.ts';
import { FIELDS, MadeVm } from './made-rows.ts';

const DAYS = 28;
const VMS = 1000;
/** One row a minute: bins of five minutes come out the same as from one a second, and filling takes seconds. */
const LONG_STEP_MS = MINUTE_MS;
const ASKED_TIMES = 15;

/** The store ages by the clock it is given: here by the data's own time. */
class DataClock implements Clock {
  nowMs = Date.UTC(2026, 0, 1);
  wallMs = (): number => this.nowMs;
  monotonicMs = (): number => systemClock.monotonicMs();
  bootMs = (): number => systemClock.bootMs();
  setTimeout: Clock['setTimeout'] = (run, delayMs) => systemClock.setTimeout(run, delayMs);
  setInterval: Clock['setInterval'] = (run, periodMs) => systemClock.setInterval(run, periodMs);
}

async function fillDays(store: SeriesStore, clock: DataClock, vm: MadeVm): Promise<void> {
  const endMs = clock.nowMs + DAYS * DAY_MS;
  while (clock.nowMs < endMs) {
    const block = vm.block(clock.nowMs, HOUR_MS / LONG_STEP_MS, LONG_STEP_MS);
    clock.nowMs += HOUR_MS;
    await store.append([block]);
    await store.maintain(clock.nowMs);
  }
}

async function fillHour(store: SeriesStore, clock: DataClock, vms: readonly MadeVm[]): Promise<void> {
  for (let second = 0; second < HOUR_MS / 1000; second += 60) {
    const blocks = vms.map((vm) => vm.block(clock.nowMs, 60, 1000));
    clock.nowMs += MINUTE_MS;
    await store.append(blocks);
  }
  await store.maintain(clock.nowMs);
}

async function timed(ask: () => Promise<number>): Promise<{ ms: number; rows: number }> {
  const times: number[] = [];
  let rows = 0;
  for (let i = 0; i < ASKED_TIMES; i++) {
    const startedMs = performance.now();
    rows = await ask();
    times.push(performance.now() - startedMs);
  }
  return { ms: median(times), rows };
}

export const query: Benchmark = {
  about: 'questions to the embedded store: 28 days of one VM, the last hour of 1,000 VMs, bytes a row',
  async run(tell) {
    const directory = mkdtempSync(join(tmpdir(), 'headroom-bench-query-'));
    const clock = new DataClock();
    const store = await openSqliteSeriesStore({ directory, clock });
    try {
      const vms = Array.from({ length: VMS }, (_, n) => new MadeVm(n));
      const fromMs = clock.nowMs;
      tell(`storing ${DAYS} days of one VM`);
      await fillDays(store, clock, vms[0]!);
      const before = await store.status();
      tell(`storing an hour of ${VMS} VMs`);
      const hourMs = clock.nowMs;
      await fillHour(store, clock, vms);
      // The hour is sealed once no late row can come any more.
      for (let past = 0; past < 4; past++) {
        clock.nowMs += HOUR_MS;
        await store.append([vms[0]!.block(clock.nowMs - MINUTE_MS, 1, 1000)]);
        await store.maintain(clock.nowMs);
      }
      const after = await store.status();
      tell('asking');
      const subject = { kind: 'vm', id: vms[0]!.id } as const;
      const days = await timed(async () => {
        const { timesMs } = await store.query({ subject, source: 'host', fields: FIELDS, fromMs, toMs: hourMs, resolution: '5m' });
        return timesMs.length;
      });
      const subjects = vms.map(({ id }) => ({ kind: 'vm' as const, id }));
      const hour = { source: 'host' as const, fields: FIELDS.slice(0, 1), fromMs: hourMs, toMs: hourMs + HOUR_MS };
      const many = await timed(async () => {
        const results = await store.queryMany({ ...hour, subjects, resolution: '5m' });
        return results.reduce((sum, { timesMs }) => sum + timesMs.length, 0);
      });
      return {
        vm28DaysMs: rounded(days.ms),
        vm28DaysRows: days.rows,
        vm28DaysFields: FIELDS.length,
        lastHour1000VmsMs: rounded(many.ms),
        lastHour1000VmsRows: many.rows,
        bytesPerRow: rounded((after.bytes - before.bytes) / (VMS * (HOUR_MS / 1000))),
        dropped: after.dropped,
      };
    } finally {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
};
