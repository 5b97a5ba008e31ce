/**
 * Goal: a group has what its forecast will want when a VM ordered now is ready, gives nothing up that is wanted back soon,
 * and never leaves the policy's bounds; what is unknown takes nothing away.
 */
import fc from 'fast-check';
import t from 'tap';
import type { Forecast } from '../../aggregator/core/forecast/forecaster.ts';
import { type GroupSizing, groupSize } from '../../aggregator/core/spawn/group-size.ts';

const SIZING: GroupSizing = { least: 1, most: 20, leadSteps: 2, holdSteps: 6 };

function cpu(...values: number[]) {
  const forecast: Forecast = {
    quantiles: [0.99],
    horizons: values.map((_, i) => i + 1),
    values: Float64Array.from(values),
    confidence: 1,
    explanation: '',
  };
  return { resource: 'cpu' as const, unit: 2, forecast, now: null };
}

t.test('what will be wanted when a new VM is ready is ordered now', async (t) => {
  const asked = groupSize(3, [cpu(6, 11, 11, 11, 11, 11)], SIZING);
  t.equal(asked.size, 6);
  t.equal(asked.resource, 'cpu');
  t.match(asked.reason, /11 of cpu for 6 VMs expected in 2 steps/);
});

t.test('what is wanted now counts where the forecast is below it, within the bounds', async (t) => {
  const surge = (now: number) => groupSize(2, [{ ...cpu(4, 4, 4, 4, 4, 4), now }], SIZING);
  t.match(surge(9), { size: 5, resource: 'cpu', reason: /9 of cpu wanted now for 5 VMs/ });
  t.equal(surge(3).size, 2);
  t.equal(surge(1000).size, 20);
});

t.test('a rise beyond the lead is not ordered yet, but nothing is given up before it', async (t) => {
  t.equal(groupSize(3, [cpu(4, 4, 4, 30, 30, 30)], SIZING).size, 3);
  t.equal(groupSize(5, [cpu(4, 4, 4, 7, 4, 4)], SIZING).size, 4, 'as many go as the highest of the coming steps allows');
});

t.test('the resource that wants most decides', async (t) => {
  const memory = { ...cpu(1000, 9000, 1000, 1000, 1000, 1000), resource: 'memory' as const, unit: 1024 };
  t.same(groupSize(2, [cpu(4, 4, 4, 4, 4, 4), memory], SIZING).resource, 'memory');
});

t.test('the bounds of the policy hold and are told', async (t) => {
  const above = groupSize(3, [cpu(99, 99, 99, 99, 99, 99)], SIZING);
  t.match(above, { size: 20, resource: null, reason: /99.* for 50 VMs.*the policy allows 20/ });
  t.match(groupSize(1, [cpu(0, 0, 0, 0, 0, 0)], { ...SIZING, least: 2 }), { size: 2, resource: null, reason: /at least 2/ });
});

t.test('a resource that is not known takes nothing away, and hinders no growth', async (t) => {
  const unknown = { resource: 'memory' as const, unit: 1024, forecast: null, now: null };
  t.match(groupSize(5, [cpu(2, 2, 2, 2, 2, 2), unknown], SIZING), { size: 5, reason: /nothing is taken away/ });
  t.equal(groupSize(5, [cpu(2, 14, 2, 2, 2, 2), unknown], SIZING).size, 7);
});

t.test('always within bounds, never fewer than the next steps want, never more than asked for', async (t) => {
  const values = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 6, maxLength: 6 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 60 }), values, (members, demand) => {
      const { size } = groupSize(members, [cpu(...demand)], SIZING);
      const want = (value: number) => Math.min(SIZING.most, Math.ceil(value / 2));
      return (
        size >= SIZING.least &&
        size <= SIZING.most &&
        size >= Math.min(Math.min(members, SIZING.most), want(Math.max(...demand))) &&
        size >= want(demand[1]!) &&
        size <= Math.max(SIZING.least, Math.min(members, SIZING.most), want(demand[1]!))
      );
    }),
  );
  t.pass('held');
});
