/**
 * Goal: what a VM's other resources do is heard: a rise of theirs counts, by how much they usually move, and a forecast of a series that
 * follows them rises before it does; where nothing is known of them, or they say nothing, forecasts are what they were.
 */
import t from 'tap';
import type { Forecast } from '../../aggregator/core/forecast/forecaster.ts';
import { OTHERS_COUNT } from '../../aggregator/core/forecast/heard.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { Stirring } from '../../aggregator/core/forecast/stirring.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const OPTIONS = { stepMs: STEP_MS, seasonsMs: [86_400_000], resolution: 0.1 };

t.test('a rise counts, a fall, a first value and what is unknown do not', async (t) => {
  const stirring = new Stirring();
  t.equal(stirring.advance([]), 0, 'nobody');
  t.equal(stirring.advance([100]), 0, 'a first value is no rise');
  const random = createPrng(1, 'calm');
  let calm = 0;
  for (let i = 0; i < 2000; i++) {
    const rose = stirring.advance([100 + random.next()]);
    if (i > 1000) calm = Math.max(calm, rose);
  }
  for (const unknown of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e300]) t.equal(stirring.advance([unknown]), 0, `${unknown}`);
  const one = stirring.advance([400]);
  t.ok(one > 0.3 && one > 10 * calm, `a fourfold rise gives ${one.toFixed(2)}, calm at most ${calm.toFixed(2)}`);
  t.equal(stirring.advance([10]), 0, 'a fall');
  const many = new Stirring();
  const all = (value: number) => many.advance(new Array(OTHERS_COUNT + 3).fill(value));
  for (let i = 0; i < 2000; i++) all(1);
  const most = all(1e9);
  t.ok(most > 0.8 * OTHERS_COUNT - 1e-6 && most <= 0.8 * OTHERS_COUNT + 1e-6, `each series counts so much at most: ${most}`);
});

/** Memory that jumps for one step, now and then, a step after CPU rose; CPU rises as often without that it means anything to others. */
function* announced(steps: number): Generator<{ timeMs: number; value: number; cpu: number; jumpsNext: boolean }> {
  const random = createPrng(2, 'announced');
  let jumps = false;
  for (let step = 0; step < steps; step++) {
    const value = (jumps ? 8 : 2) * (1 + 0.05 * random.next());
    jumps = random.next() < 0.02;
    yield { timeMs: step * STEP_MS, value, cpu: (jumps ? 3 : 0.5) * (1 + 0.2 * random.next()), jumpsNext: jumps };
  }
}

const highest = (forecast: Forecast | null): number => forecast?.values[0] ?? Number.NaN;
const middle = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

t.test('what another resource announces is forecast', async (t) => {
  const ratioWith = (heard: boolean): number => {
    const forecaster = forecasterFactory(AGGREGATE).create(OPTIONS);
    const seen = { calm: [] as number[], announced: [] as number[] };
    for (const { timeMs, value, cpu, jumpsNext } of announced(4000)) {
      forecaster.observe({ timeMs, value, ...(heard && { others: [cpu] }) });
      if (timeMs > 2000 * STEP_MS) (jumpsNext ? seen.announced : seen.calm).push(highest(forecaster.forecast([1], [0.95])));
    }
    return middle(seen.announced) / middle(seen.calm);
  };
  const [heard, unheard] = [ratioWith(true), ratioWith(false)];
  t.ok(heard > 1.5, `announced jumps are forecast ${heard.toFixed(2)} times as high as calm steps`);
  t.ok(unheard < 1.1, `unheard: ${unheard.toFixed(2)}`);
});

t.test('what is unknown or constant changes nothing', async (t) => {
  const factory = forecasterFactory(AGGREGATE);
  const [alone, ...others] = [factory.create(OPTIONS), factory.create(OPTIONS), factory.create(OPTIONS)];
  for (const { timeMs, value } of announced(700)) {
    alone!.observe({ timeMs, value });
    others[0]!.observe({ timeMs, value, others: [Number.NaN, Number.NaN] });
    others[1]!.observe({ timeMs, value, others: [7, 7, 0] });
  }
  for (const other of others) t.same(other.forecast([1, 2, 12], [0.5, 0.99]), alone!.forecast([1, 2, 12], [0.5, 0.99]));
});

t.test('what was heard survives a restart', async (t) => {
  const factory = forecasterFactory(AGGREGATE);
  const kept = factory.create(OPTIONS);
  let restored = kept;
  for (const { timeMs, value, cpu } of announced(900)) {
    if (timeMs === 600 * STEP_MS) restored = factory.restore(OPTIONS, kept.serialise());
    const point = { timeMs, value, others: [cpu] };
    kept.observe(point);
    if (restored !== kept) restored.observe(point);
  }
  t.not(restored, kept);
  t.same(restored.forecast([1, 4], [0.5, 0.99]), kept.forecast([1, 4], [0.5, 0.99]));
});
