/**
 * Goal: what the console draws is what the API said: columns of one length, the forecast where it belongs in time, gaps only
 * bridged where they are the pace of sampling.
 */
import fc from 'fast-check';
import t from 'tap';
import type { ResourceState } from '../../aggregator/client/words.ts';
import { bridged, chartData, expectedHigh, held } from '../../aggregator/console/chart-data.ts';

const FORECAST: NonNullable<ResourceState['forecast']> = {
  model: 'aggregate',
  stepMs: 5000,
  fromMs: 60_000,
  quantiles: [0.5, 0.95, 0.99],
  horizons: [1, 2, 4],
  values: [1, 2, 3, 4, 5, 6, 7, 8, 9],
  confidence: 1,
  explanation: '',
};
const column = (n: number, value: number | null) => Array.from({ length: n }, () => value);
const series = (n: number) => ({
  vm: '00000000-0000-4000-8000-000000000001',
  resource: 'cpu',
  unit: 'cores',
  resolution: 'raw',
  timesMs: Array.from({ length: n }, (_, i) => i * 1000),
  usage: column(n, 0.5),
  demand: column(n, null),
  allocation: column(n, 1),
  forecastMedian: column(n, null),
  forecastHigh: column(n, null),
  forecastQuantile: 0.95,
  stepMs: 5000,
});

t.test('the past ends at now and the forecast goes on from there, at the quantile drawn before', (t) => {
  const data = chartData({ series: series(60), view: { forecast: FORECAST, floor: 0.2, ceiling: 2 }, fromMs: 0, nowMs: 60_000 });
  for (const name of ['usage', 'allocation', 'demand', 'median', 'high'] as const) t.equal(data[name].length, data.times.length, name);
  t.ok(
    data.times.every((time, i) => i === 0 || time > data.times[i - 1]!),
    'times ascend',
  );
  const future = data.times.flatMap((time, i) => (time >= 60 ? [[time, data.usage[i], data.median[i], data.high[i]]] : []));
  t.same(future, [
    [60, null, 1, 2],
    [65, null, 4, 5],
    [75, null, 7, 8],
    [80, null, 7, 8],
  ]);
  t.end();
});

t.test('the future takes a quarter of the width at most', (t) => {
  const long = { ...FORECAST, horizons: [1, 100, 200], values: [1, 2, 3, 4, 5, 6, 7, 8, 9] };
  const { times } = chartData({ series: series(60), view: { forecast: long, floor: null, ceiling: null }, fromMs: 0, nowMs: 60_000 });
  t.ok(times.at(-1)! <= 75);
  t.end();
});

t.test('no forecast, no rows: nothing is made up', (t) => {
  const data = chartData({ series: series(0), view: { forecast: null, floor: null, ceiling: null }, fromMs: 0, nowMs: 60_000 });
  t.same(data.times, []);
  t.equal(expectedHigh(null), null);
  t.equal(expectedHigh({ ...FORECAST, values: [] }), null);
  t.equal(expectedHigh(FORECAST), 9);
  t.end();
});

t.test('held: carried on while young enough', (t) => {
  t.same(held([0, 1000, 2000, 3000, 4000], [1, null, null, null, 2], 2000), [1, 1, 1, null, 2]);
  t.same(held([0, 1000], [null, null], 2000), [null, null]);
  t.end();
});

t.test('bridged: a straight line over short gaps alone', (t) => {
  t.same(bridged([0, 1000, 2000, 3000], [0, null, null, 3], 3000), [0, 1, 2, 3]);
  t.same(bridged([0, 1000, 2000, 3000], [0, null, null, 3], 2999), [0, null, null, 3]);
  t.same(bridged([0, 1000, 2000], [null, 1, null], 5000), [null, 1, null], 'never beyond what is known');
  t.end();
});

t.test('bridged keeps every known value and stays between its neighbours', (t) => {
  const cell = fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: null });
  fc.assert(
    fc.property(fc.array(cell, { maxLength: 40 }), fc.integer({ min: 0, max: 20_000 }), (values, gapMs) => {
      const result = bridged(
        values.map((_, i) => i * 1000),
        values,
        gapMs,
      );
      const known = values.filter((value) => value !== null);
      return (
        result.length === values.length &&
        values.every((value, i) => value === null || result[i] === value) &&
        result.every((value) => value === null || (value >= Math.min(...known) - 1e-9 && value <= Math.max(...known) + 1e-9))
      );
    }),
  );
  t.end();
});
