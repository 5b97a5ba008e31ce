// Goal: the joint forecast covers the group's demand, knows that peaks do not coincide, and takes comings and goings as they are.
import t from 'tap';
import { sellable } from '../../aggregator/core/capacity/sellable.ts';
import { JointForecaster } from '../../aggregator/core/forecast/joint-forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { createPrng } from '../../shared/prng.ts';

const OPTIONS = { stepMs: 300_000, seasonsMs: [7_200_000] };
const factory = forecasterFactory(AGGREGATE);
const SEED = 5;

/** Members whose bursts fall at random, independent of each other. */
function bursts(count: number, random = createPrng(SEED)) {
  return () => new Map(Array.from({ length: count }, (_, n) => [`vm-${n}`, 1 + (random.next() < 0.1 ? 4 : 0) + 0.2 * random.next()]));
}

t.test('covers about as often as it says, and needs less than the sum of its members alone', async (t) => {
  const next = bursts(20);
  const joint = new JointForecaster(OPTIONS, factory);
  const alone = factory.create(OPTIONS);
  let covered = 0;
  let judged = 0;
  for (let step = 0; step < 900; step++) {
    const demands = next();
    const forecast = step >= 300 ? joint.forecast([1], [0.95]) : null;
    const sum = [...demands.values()].reduce((a, b) => a + b, 0);
    if (forecast) {
      judged++;
      if (sum <= forecast.values[0]!) covered++;
    }
    joint.observe(step * OPTIONS.stepMs, demands);
    alone.observe({ timeMs: step * OPTIONS.stepMs, value: demands.get('vm-0')! });
  }
  const rate = covered / judged;
  t.ok(rate > 0.92 && rate < 0.98, `covered ${rate}, seed ${SEED}`);
  const together = joint.forecast([1], [0.99])!.values[0]!;
  t.ok(together < 0.7 * 20 * alone.forecast([1], [0.99])!.values[0]!, `together ${together}`);
});

t.test('a member that leaves takes its usual demand along at once', async (t) => {
  const next = bursts(10);
  const joint = new JointForecaster(OPTIONS, factory);
  for (let step = 0; step < 300; step++) joint.observe(step * OPTIONS.stepMs, next());
  const before = joint.forecast([1], [0.5])!.values[0]!;
  const fewer = new Map([...next()].slice(0, 5));
  joint.observe(300 * OPTIONS.stepMs, fewer);
  const after = joint.forecast([1], [0.5])!.values[0]!;
  t.ok(after > 0.35 * before && after < 0.7 * before, `${before} before, ${after} after`);
});

t.test('an empty group says nothing; late steps change nothing; impossible demand is refused', async (t) => {
  const joint = new JointForecaster(OPTIONS, factory);
  joint.observe(0, new Map());
  t.equal(joint.forecast([1], [0.5]), null);
  joint.observe(300_000, new Map([['vm', 2]]));
  const said = joint.forecast([1], [0.5])!.values[0]!;
  joint.observe(300_000, new Map([['vm', 9]]));
  t.equal(joint.forecast([1], [0.5])!.values[0]!, said);
  t.throws(() => joint.observe(600_000, new Map([['vm', Number.POSITIVE_INFINITY]])), /must be finite/);
});

t.test('what can be sold is capacity less reserve less the highest forecast, never below nothing', async (t) => {
  const forecast = { quantiles: [0.5, 0.99], horizons: [1, 2], values: Float64Array.of(1, 4, 2, 6), confidence: 1, explanation: '' };
  t.equal(sellable(16, 2, forecast, 0.99), 8);
  t.equal(sellable(6, 2, forecast, 0.99), 0);
  t.throws(() => sellable(6, 2, forecast, 0.9), /not forecast/);
});
