/**
 * Goal: demand is told every five minutes to two days whatever the step, unknown stays unknown, and a few silent VMs neither hide a
 * fleet's demand nor count as nothing.
 */
import t from 'tap';
import { demandHorizons, resourceDemand } from '../../aggregator/core/spawn/demand-view.ts';
import { fleetTotal } from '../../aggregator/core/spawn/fleet-total.ts';
import type { DemandPoint, DemandStep } from '../../aggregator/core/state/demand.ts';

const HOUR_MS = 3_600_000;

t.test('every five minutes to two days, or every step where that is longer', async (t) => {
  for (const [stepMs, count] of [
    [300_000, 576],
    [5000, 576],
    [60_000, 576],
    [900_000, 192],
  ] as const) {
    const ahead = demandHorizons(stepMs).map((steps) => steps * stepMs);
    t.match({ count: ahead.length, first: ahead[0], last: ahead.at(-1) }, { count, first: Math.max(300_000, stepMs), last: 48 * HOUR_MS });
  }
});

t.test('what is there beyond what is wanted; unknown stays unknown', async (t) => {
  const forecast = { quantiles: [0.5], horizons: [1, 2], values: Float64Array.of(3, 4), confidence: 1, explanation: '' };
  t.match(resourceDemand('cpu', 300_000, 3, forecast, { now: 8, soon: 6 }), {
    ...{ unit: 'cores', now: 3, aheadMs: [300_000, 600_000], values: [3, 4], available: 5, soon: 3 },
  });
  t.match(resourceDemand('memory', 300_000, null, null, { now: 8, soon: 6 }), { values: [], available: null, soon: null });
  t.match(resourceDemand('network', 300_000, 3, forecast, { now: null, soon: null }), { available: null, soon: null });
});

t.test("a fleet's total", async (t) => {
  const point = (value: number | null): DemandPoint => ({ value, usage: value, suppressed: false });
  const stepOf = (startMs: number, value: number | null): DemandStep => ({
    startMs,
    points: { cpu: point(value), memory: point(value), network: point(value), disk: point(value) },
    windows: { cpu: new Float64Array(), network: new Float64Array() },
    memoryClaimed: false,
  });
  const nine = Array.from({ length: 9 }, () => stepOf(5, 2));
  t.same(fleetTotal([...nine, stepOf(5, 4)], 'cpu'), { startMs: 5, total: 22 });
  t.same(fleetTotal([...nine, null], 'memory'), { startMs: 5, total: 20 }, 'the others stand for it');
  t.ok(Number.isNaN(fleetTotal([...nine, null, stepOf(5, null), stepOf(0, 1)], 'cpu').total), 'not for so many');
  t.ok(Number.isNaN(fleetTotal([], 'cpu').total));
});
