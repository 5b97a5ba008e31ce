/** Goal: rows that tell of plans wait for a slow store in order and in a bounded number; what is dropped or refused is counted. */
import t from 'tap';
import { OwnRows } from '../../aggregator/loops/own-rows.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

const blocks = (count: number): TelemetryBlock[] => Array.from({ length: count }, () => ({}) as TelemetryBlock);

t.test('a store that hangs costs the rows beyond a few plans, and nobody waits for it', async (t) => {
  const stored: number[] = [];
  let answer = (): void => undefined;
  const hangs = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const series = {
    async append(given: readonly TelemetryBlock[]) {
      await hangs;
      stored.push(given.length);
    },
  } as unknown as SeriesStore;
  let lost = 0;
  const rows = new OwnRows(series, (_error, count) => {
    lost += count;
  });
  for (let plan = 1; plan <= 6; plan++) rows.hand(blocks(plan));
  t.equal(lost, 5 + 6);
  answer();
  await rows.end();
  t.same(stored, [1, 2, 3, 4]);
  rows.hand(blocks(2500));
  await rows.end();
  t.same(stored.slice(4), [1000, 1000, 500]);
});

t.test('a store that is away is asked once for each plan', async (t) => {
  let asked = 0;
  const series = {
    async append() {
      asked++;
      throw new Error('away');
    },
  } as unknown as SeriesStore;
  let lost = 0;
  const rows = new OwnRows(series, (_error, count) => {
    lost += count;
  });
  rows.hand(blocks(2500));
  await rows.end();
  t.equal(asked, 1);
  t.equal(lost, 2500);
});
