/**
 * Goal: a fitted path is corrected by what it was wrong by, and never by more: errors that were all but alike for days say
 * nothing of a sudden one, and what was learnt of their small differences must not throw a forecast out of the world.
 */
import t from 'tap';
import { LevelCorrection } from '../../aggregator/core/forecast/fitted/level-correction.ts';
import { createPrng } from '../../shared/prng.ts';

t.test('errors that last are taken off', async (t) => {
  const correction = new LevelCorrection(1);
  for (let i = 0; i < 500; i++) {
    correction.learn(0, 0.5, 0.5, 0.5);
    correction.came(0.5);
  }
  t.ok(Math.abs(correction.correction(0) - 0.5) < 0.01, `${correction.correction(0)}`);
});

t.test('a jump after days of errors that were all but the same', async (t) => {
  const random = createPrng(1, 'level');
  for (const sign of [1, -1]) {
    const correction = new LevelCorrection(1);
    for (let i = 0; i < 5000; i++) {
      // What comes follows the difference of the two, five times over.
      const [then, smooth] = [1 + 0.5 * random.next(), 1 + 0.5 * random.next()];
      correction.learn(0, then, smooth, sign * 5 * (then - smooth));
    }
    correction.restart(1);
    correction.came(6);
    t.ok(Math.abs(correction.correction(0)) <= 6, `a path that is off by e^6 is not moved by e^${correction.correction(0).toFixed(1)}`);
  }
});
