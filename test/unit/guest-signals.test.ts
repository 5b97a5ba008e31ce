/** Goal: what a guest's agent cannot tell is named after a minute, what it tells late or has told is not, and comes off the list when it is told. */
import t from 'tap';
import { GuestSignals } from '../../aggregator/core/state/guest-signals.ts';
import { vmUuid } from '../support/wire-world.ts';

const FIELDS = ['vm_cpu.guestRunQueue', 'vm_cpu.guestStealFraction', 'vm_memory.guestAvailableMiB', 'vm_pressure.guestMemoryFullFraction'];

function told(signals: GuestSignals, fromSecond: number, toSecond: number, values: number[], fields: readonly string[] = FIELDS): void {
  for (let second = fromSecond; second < toSecond; second++) {
    const timesMs = Float64Array.of(1_700_000_000_000 + 1000 * second);
    signals.add({ subject: { kind: 'vm', id: vmUuid(1) }, source: 'guest', fields, timesMs, values: Float64Array.from(values) });
  }
}

t.test('what stays unknown is missing', async (t) => {
  const signals = new GuestSignals();
  t.same(signals.missing(), [], 'no agent has said anything');
  told(signals, 0, 30, [1, Number.NaN, 500, Number.NaN]);
  t.same(signals.missing(), [], 'too early to say');
  told(signals, 30, 70, [1, 0, 500, Number.NaN]);
  t.same(signals.missing(), ['guest-refaults', 'guest-pressure'], 'one is no column at all, one never known');
  told(signals, 70, 75, [1, 0, 500, 0]);
  t.same(signals.missing(), ['guest-refaults']);
  told(signals, 75, 140, [1, 0, Number.NaN, 0]);
  t.same(signals.missing(), ['guest-memory', 'guest-refaults'], 'what was known is not any more');
});

t.test('rows of other measurements say nothing', async (t) => {
  const signals = new GuestSignals();
  told(signals, 0, 300, [1], ['app.requests']);
  t.same(signals.missing(), []);
});
