import t from 'tap';
import { KnownEvents } from '../../aggregator/core/anomaly/known-events.ts';

const MINUTE_MS = 60_000;
const event = (vm: string | null, fromMs: number, toMs: number, why: string) => ({ vm, fromMs, toMs, why });

t.test('an event explains its own VM, one of nobody explains all, the oldest first', async (t) => {
  const events = new KnownEvents();
  events.add(event('a', 0, 10 * MINUTE_MS, 'resized'));
  const calendar = event(null, 5 * MINUTE_MS, 60 * MINUTE_MS, 'a holiday');
  events.add(calendar);
  events.add(event('b', 0, 10 * MINUTE_MS, 'deployed'));
  t.equal(events.explain('a', 6 * MINUTE_MS), 'resized');
  t.equal(events.explain('b', 6 * MINUTE_MS), 'a holiday', 'it came first');
  t.equal(events.explain('b', 1 * MINUTE_MS), 'deployed');
  t.equal(events.explain('c', 6 * MINUTE_MS), 'a holiday');
  t.equal(events.explain('c', 1 * MINUTE_MS), null);
  t.equal(events.explain('a', 40 * MINUTE_MS), 'a holiday', 'its own aftermath is over');
  events.remove(calendar);
  t.equal(events.explain('b', 6 * MINUTE_MS), 'deployed');
  t.equal(events.explain('c', 6 * MINUTE_MS), null);
  t.same(
    events.all.map(({ why }) => why),
    ['resized', 'deployed'],
  );
});

t.test('the oldest give way, and explain nothing any more', async (t) => {
  const events = new KnownEvents();
  events.add(event('a', 0, 10 * MINUTE_MS, 'first'));
  for (let i = 0; i < 255; i++) events.add(event('b', 0, 10 * MINUTE_MS, `b ${i}`));
  t.equal(events.explain('a', MINUTE_MS), 'first');
  events.add(event('b', 0, 10 * MINUTE_MS, 'one more'));
  t.equal(events.explain('a', MINUTE_MS), null);
  t.equal(events.explain('b', MINUTE_MS), 'b 0');
  t.equal(events.all.length, 256);
});
