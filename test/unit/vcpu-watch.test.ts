/**
 * Goal: what is laid to the charge of vCPUs that were taken offline ends when they are back, by whoever's hand; what somebody needs of
 * them is harm also when their number was not known for a moment; rests are twelve times those of a cap, and more is never out of reach.
 */
import t from 'tap';
import { VcpuWatch } from '../../aggregator/core/state/vcpu-watch.ts';

const NOW_MS = 1_000_000;
const taken = (to = 4): VcpuWatch => {
  const watch = new VcpuWatch({ stepMs: 5000, windowMs: 10_000, cooldownMs: 30_000 });
  watch.note(8, NOW_MS);
  watch.applied({ from: 8, to, planId: 'p' }, NOW_MS);
  watch.note(to, NOW_MS);
  return watch;
};
const held = { ms: NOW_MS + 1000, sign: 'it was held down', demand: 3.9 };

t.test('held down while they are offline: harm, once; more than it had wanted as well: none', (t) => {
  const watch = taken();
  t.same(watch.lastTaken, { from: 8, to: 4, atMs: NOW_MS });
  t.match(watch.harmed(held, NOW_MS + 6000), { verdict: 'harmed', from: { capCores: 8 }, to: { capCores: 4 }, planId: 'p' });
  t.equal(watch.harmed(held, NOW_MS + 7000), null);
  t.match(watch.view(NOW_MS + 7000, NOW_MS), {
    online: 4,
    coolUntilMs: NOW_MS + 6000 + 360_000,
    rollback: { to: 8, reason: 'it was held down' },
  });
  watch.note(8, NOW_MS + 8000);
  t.equal(watch.view(NOW_MS + 8000, NOW_MS)?.rollback, undefined, 'nothing is owed once they are there');
  t.equal(taken().harmed({ ...held, demand: 8.5 }, NOW_MS + 6000), null);
  t.equal(taken().harmed({ ...held, ms: NOW_MS - 1 }, NOW_MS + 6000), null);
  t.end();
});

t.test('back before it was judged: later steps tell nothing of it, and the verdict is by those before', (t) => {
  const backs: Record<string, (watch: VcpuWatch) => void> = {
    'by their host': (watch) => watch.allBack(),
    'by a new session of the guest': (watch) => watch.note(8, NOW_MS + 3000),
    'nobody knows': (watch) => watch.note(null, NOW_MS + 3000),
  };
  for (const [how, back] of Object.entries(backs)) {
    const watch = taken();
    back(watch);
    watch.step({ startMs: NOW_MS + 5000, demand: 3, suppressed: true });
    t.equal(watch.harmed({ ...held, ms: NOW_MS + 5000 }, NOW_MS + 9000), null, how);
    t.match(watch.due(NOW_MS + 10_001), [{ verdict: 'unknown', after: { steps: 0 } }], how);
  }
  const own = taken();
  own.applied({ from: 4, to: 6, planId: 'q' }, NOW_MS + 2000);
  own.note(6, NOW_MS + 2500);
  own.step({ startMs: NOW_MS + 5000, demand: 5, suppressed: false });
  t.match(own.due(NOW_MS + 12_001), [{ verdict: 'helped', reason: /5\.00 cores, more than the 4\.00/ }], 'growth of our own is seen on');
  t.end();
});

t.test('needed, with the word of it after that of the number: harm all the same', (t) => {
  const watch = taken();
  watch.note(null, NOW_MS + 3000);
  watch.note(8, NOW_MS + 3100);
  t.match(watch.needed('it uses all of them', NOW_MS + 3200), { verdict: 'harmed' });
  watch.allBack();
  t.match(watch.view(NOW_MS + 4000, NOW_MS), { online: 8, coolUntilMs: NOW_MS + 363_200, rollback: undefined });
  t.equal(taken().needed('too late for a verdict', NOW_MS + 10_001), null);
  t.end();
});

t.test('refused: twice is remembered, of fewer alone, and each rest is twice the one before', (t) => {
  const watch = taken(8);
  const refused = (to: number) => watch.failed({ from: 8, to, planId: 'p' }, 'the guest refused', NOW_MS, NOW_MS);
  t.equal(refused(4), null);
  t.match(refused(4), { target: 4, untilMs: NOW_MS + 360_000 });
  t.match(refused(4), { untilMs: NOW_MS + 720_000 });
  t.match(watch.view(NOW_MS, NOW_MS)?.infeasible, { target: 4 });
  t.equal(watch.view(NOW_MS + 720_000, NOW_MS)?.infeasible, undefined);
  const more = taken();
  for (let tries = 0; tries < 3; tries++) t.equal(more.failed({ from: 4, to: 8, planId: 'p' }, 'the guest refused', NOW_MS, NOW_MS), null);
  t.end();
});
