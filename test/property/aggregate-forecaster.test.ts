/**
 * Goal: the aggregate's quantiles cover as often as they say; it finds a period nobody told it of, keeps Monday's capacity
 * over a weekend, is ready for spikes that come again, follows a new level, and is no worse than the decaying histogram.
 */
import t from 'tap';
import type { Forecaster } from '../../aggregator/core/forecast/forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { createPrng, type Prng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
/** Days of 96 steps: quick, and no model may know how long a day is. */
const DAY = 96;
const OPTIONS = { stepMs: STEP_MS, seasonsMs: [DAY * STEP_MS, 7 * DAY * STEP_MS] };
const SEEDS = [1, 2, 3];

type Series = (step: number, random: Prng) => number;

const observe = (forecaster: Forecaster, step: number, value: number): void => forecaster.observe({ timeMs: step * STEP_MS, value });
const expect = (forecaster: Forecaster, ahead: number, quantile: number): number => forecaster.forecast([ahead], [quantile])!.values[0]!;
const normal = (random: Prng): number => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());

/** Calls `look` before each step from `from` on, with the value that is about to come. */
function play(series: Series, seed: number, steps: number, from: number, look: (model: Forecaster, step: number, value: number) => void) {
  const random = createPrng(seed, 'aggregate');
  const model = forecasterFactory(AGGREGATE).create(OPTIONS);
  for (let step = 0; step < steps; step++) {
    const value = Math.max(0, series(step, random));
    if (step >= from) look(model, step, value);
    observe(model, step, value);
  }
  return model;
}

const wave = (step: number, period: number): number => Math.sin((2 * Math.PI * step) / period);
const SEASONAL: readonly (readonly [name: string, series: Series])[] = [
  ['a day and even noise', (step, random) => 2 + wave(step, DAY) + 0.2 * normal(random)],
  ['noise that grows with demand', (step, random) => (2 + wave(step, DAY)) * Math.exp(0.3 * normal(random))],
  ['heavy tails', (step, random) => (1.5 + wave(step, DAY)) * (1 + 0.1 / (0.02 + random.next()))],
];

for (const [name, series] of SEASONAL) {
  for (const seed of SEEDS) {
    t.test(`quantiles cover as often as they say: ${name}, seed ${seed}`, async (t) => {
      const levels = [0.5, 0.9, 0.99];
      for (const ahead of [1, 4]) {
        const covered = levels.map(() => 0);
        let looked = 0;
        const waiting: { step: number; values: Float64Array }[] = [];
        play(series, seed, 28 * DAY, 7 * DAY, (model, step, value) => {
          waiting.push({ step: step - 1 + ahead, values: model.forecast([ahead], levels)!.values });
          if (waiting[0]!.step !== step) return;
          const { values } = waiting.shift()!;
          looked++;
          for (let j = 0; j < levels.length; j++) if (value <= values[j]!) covered[j]!++;
        });
        levels.forEach((level, j) => {
          const share = covered[j]! / looked;
          // Three standard errors of as many independent trials, and a tenth of the miss rate for drift of the correction.
          const allowed = 3 * Math.sqrt((level * (1 - level)) / looked) + 0.1 * (1 - level) + 0.002;
          t.ok(
            Math.abs(share - level) <= allowed,
            `seed ${seed}, ${ahead} ahead: ${level} covers ${share.toFixed(4)} ± ${allowed.toFixed(4)}`,
          );
        });
      }
    });
  }
}

t.test('horizons between those that are learnt are covered too, though errors shrink again at a short period', async (t) => {
  const horizons = [3, 5, 8, 11];
  const hits = horizons.map(() => 0);
  const expected = new Map<number, { horizon: number; value: number }[]>();
  let looked = 0;
  const series: Series = (step, random) => (1.2 + wave(step, 13)) * Math.exp(0.1 * normal(random));
  play(series, 4, 20 * DAY, 5 * DAY, (model, step, value) => {
    for (const { horizon, value: most } of expected.get(step) ?? []) if (value <= most) hits[horizon]!++;
    const { values } = model.forecast(horizons, [0.9])!;
    horizons.forEach((ahead, horizon) => {
      const at = step - 1 + ahead;
      expected.set(at, [...(expected.get(at) ?? []), { horizon, value: values[horizon]! }]);
    });
    looked++;
  });
  hits.forEach((count, i) => {
    const share = count / (looked - horizons[i]!);
    // Two leads speak for what lies between; a horizon judged by the longer one alone covers 57 % here.
    t.ok(share > 0.86, `${horizons[i]} ahead: 0.9 covers ${share.toFixed(3)}`);
  });
});

for (const period of [13, 61, 130]) {
  t.test(`a period of ${period} steps, told by nobody, is found`, async (t) => {
    let ready = 0;
    let lean = 0;
    let starts = 0;
    const series: Series = (step, random) => (step % period < period / 5 ? 4 : 1) * (0.95 + 0.1 * random.next());
    play(series, 5, 40 * period + 1600, 40 * period + 800, (model, step) => {
      const phase = step % period;
      if (phase === 0) {
        starts++;
        if (expect(model, 1, 0.95) >= 3.5) ready++;
      }
      if (phase === Math.floor(period * 0.6) && expect(model, 1, 0.95) < 2) lean++;
    });
    t.ok(starts >= 6, `${starts} rises were looked at`);
    t.ok(ready >= 0.9 * starts, `${ready} of ${starts} rises were expected`);
    t.ok(lean >= 0.8 * (starts - 1), `${lean} of ${starts} times nothing was kept in between`);
  });
}

/** At the quantile of the default violation budget. */
t.test('a weekend of little demand does not cost Monday its capacity', async (t) => {
  const weekday = (step: number): boolean => Math.floor(step / DAY) % 7 < 5;
  const busy = (step: number): boolean => step % DAY >= DAY / 3 && step % DAY < (2 * DAY) / 3;
  const series: Series = (step, random) => (weekday(step) && busy(step) ? 4 : 0.5) * (0.9 + 0.2 * random.next());
  for (const seed of SEEDS) {
    const mondays: number[] = [];
    play(series, seed, 29 * DAY, 21 * DAY, (model, step) => {
      if (Math.floor(step / DAY) % 7 === 0 && step % DAY === DAY / 3) mondays.push(expect(model, 1, 0.99));
    });
    t.equal(mondays.length, 2);
    for (const value of mondays) t.ok(value >= 3.6, `seed ${seed}: ${value.toFixed(2)} cores expected as work begins, 4 come`);
  }
});

t.test('spikes that come at the same time every day are expected, and not all day', async (t) => {
  const series: Series = (step, random) => 0.5 + 0.1 * random.next() + (step % DAY === 30 || step % DAY === 71 ? 5 : 0);
  for (const seed of SEEDS) {
    let caught = 0;
    let spikes = 0;
    let quiet = 0;
    play(series, seed, 21 * DAY, 10 * DAY, (model, step, value) => {
      const expected = expect(model, 1, 0.99);
      if (value > 4) {
        spikes++;
        if (expected >= 0.9 * value) caught++;
      } else if (step % DAY > 40 && step % DAY < 60 && expected > 2) quiet++;
    });
    t.ok(caught >= 0.9 * spikes, `seed ${seed}: ${caught} of ${spikes} spikes were expected`);
    t.ok(quiet <= 11, `seed ${seed}: ${quiet} quiet steps of 209 held a spike's worth`);
  }
});

t.test('a new level is believed within hours, also downwards', async (t) => {
  const series: Series = (step, random) => (step >= 8 * DAY && step < 12 * DAY ? 6 : 1) * (0.95 + 0.1 * random.next());
  const seen = new Map<number, number>();
  play(series, 1, 14 * DAY, 0, (model, step) => {
    if ([8 * DAY + DAY / 4, 12 * DAY + DAY / 4].includes(step)) seen.set(step, expect(model, 1, 0.9));
  });
  const [up, down] = [...seen.values()];
  t.ok(up! > 5.5 && up! < 9, `${up?.toFixed(2)} expected at a level of 6`);
  t.ok(down! < 3, `${down?.toFixed(2)} expected at a level of 1`);
});

t.test('never worse than the decaying histogram where either has something to learn', async (t) => {
  for (const [name, series] of SEASONAL) {
    const loss = [0, 0];
    const random = createPrng(9, name);
    const models = [AGGREGATE, 'decaying-histogram'].map((model) => forecasterFactory(model).create(OPTIONS));
    for (let step = 0; step < 14 * DAY; step++) {
      const value = Math.max(0, series(step, random));
      models.forEach((model, m) => {
        if (step >= DAY) {
          for (const level of [0.5, 0.9, 0.99]) {
            const miss = value - expect(model, 1, level);
            loss[m]! += Math.max(level * miss, (level - 1) * miss);
          }
        }
        observe(model, step, value);
      });
    }
    t.ok(loss[0]! < loss[1]!, `${name}: pinball loss ${loss[0]!.toFixed(1)} against ${loss[1]!.toFixed(1)}`);
  }
});

t.test('confidence grows with history', async (t) => {
  const early = play(SEASONAL[0]![1], 1, DAY / 2, DAY, () => {}).forecast([1], [0.5])!.confidence;
  const later = play(SEASONAL[0]![1], 1, 8 * DAY, 9 * DAY, () => {}).forecast([1], [0.5])!.confidence;
  t.ok(early < 0.2, `half a day: ${early.toFixed(2)}, too little to take anything away on`);
  t.ok(later > 0.8, `eight days: ${later.toFixed(2)}`);
});
