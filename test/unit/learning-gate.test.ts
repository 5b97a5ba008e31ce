/** Goal: boots and first moments teach nothing; a VM whose models were taken over goes on learning at once. */
import t from 'tap';
import { LearningGate } from '../../aggregator/core/state/learning-gate.ts';

const STEP_MS = 10;
const taught = (gate: LearningGate, states: string): number[] =>
  [...states].flatMap((state, i) => (gate.teaches(i * STEP_MS, STEP_MS, state === 'l' ? 'launching' : 'ready') ? [i] : []));

t.test('a VM first seen when it is ready', async (t) => {
  t.same(taught(new LearningGate(0), 'rrr'), [0, 1, 2]);
  t.same(taught(new LearningGate(20), 'rrrr'), [2, 3]);
});

t.test('a boot, then some time of being ready', async (t) => {
  t.same(taught(new LearningGate(0), 'llrr'), [2, 3]);
  t.same(taught(new LearningGate(20), 'llrrrr'), [4, 5]);
  t.same(taught(new LearningGate(20), 'rrrllrrr'), [2, 7], 'each boot counts');
});

t.test('known from before', async (t) => {
  const gate = new LearningGate(1000);
  gate.open();
  t.same(taught(gate, 'rr'), [0, 1]);
  t.same(taught(gate, 'lr'), [], 'until it boots again');
});
