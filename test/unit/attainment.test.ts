/**
 * Goal: what is shown of service is what happened. Attainment counts known steps of the window alone and outlives a restart;
 * the contention score is 0 for a VM that waits for nothing, rises with each thing it waits for, and forgets.
 */
import t from 'tap';
import { slaState } from '../../aggregator/core/plan/sla.ts';
import { Attainment } from '../../aggregator/core/state/attainment.ts';
import { packCheckpoint, unpackCheckpoint } from '../../aggregator/core/state/checkpoint.ts';
import { ContentionScore } from '../../aggregator/core/state/contention-score.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { policyOf, testVmId } from '../support/fleet.ts';

const HOUR_MS = 3_600_000;
const STEP_MS = 300_000;

t.test('attainment: steps of the window, and none older', async (t) => {
  const kept = new Attainment(24 * HOUR_MS);
  for (let i = 0; i < 48 * 12; i++) kept.add(i * STEP_MS, i >= 24 * 12 ? i % 100 !== 0 : false);
  const nowMs = 48 * HOUR_MS;
  const { steps, met, sinceMs } = kept.kept(nowMs);
  t.equal(steps, 24 * 12);
  t.equal(steps - met, [...Array(24 * 12).keys()].filter((i) => (i + 24 * 12) % 100 === 0).length);
  t.equal(sinceMs, 24 * HOUR_MS);
  t.same(kept.kept(nowMs + 30 * HOUR_MS), { steps: 0, met: 0, sinceMs: null }, 'silence is not success');
});

t.test('attainment: it outlives a restart, and what older programs wrote is read as nothing', async (t) => {
  const kept = new Attainment(HOUR_MS);
  for (let i = 0; i < 6; i++) kept.add(i * STEP_MS, i > 0);
  const packed = packCheckpoint({ models: [], peaks: [], attainment: { gold: kept.toJSON() } });
  const again = new Attainment(HOUR_MS);
  again.add(6 * STEP_MS, true);
  again.restore(unpackCheckpoint(packed).attainment!.gold!);
  t.match(again.kept(7 * STEP_MS), { steps: 7, met: 6, sinceMs: 0 });
  t.same(unpackCheckpoint(packCheckpoint({ models: [], peaks: [] })).attainment, {});
});

t.test('an agreement: attainment, budget left, the worst first; nothing known is not kept and not broken', async (t) => {
  const [sla] = policyOf("version: 1\nfleet: {slas: [{name: gold, match: {name: 'vm-*'}, resource: cpu, objective: 0.9, window: 7d}]}\n")
    .slas!;
  t.equal(sla!.windowMs, 7 * 24 * HOUR_MS);
  const member = (n: number, steps: number, met: number) => ({ vm: testVmId(n), name: `vm-${n}`, steps, met, sinceMs: n });
  t.match(slaState(sla!, [member(1, 100, 100), member(2, 100, 88), member(3, 100, 97)]), {
    ...{ vms: 3, steps: 300, attainment: 0.95, kept: true, sinceMs: 1 },
    worst: [{ name: 'vm-2', attainment: 0.88 }, { name: 'vm-3' }],
  });
  t.equal(slaState(sla!, [member(1, 100, 95)]).budgetLeft?.toFixed(3), '0.500');
  const overdrawn = slaState(sla!, [member(1, 100, 80)]);
  t.equal(overdrawn.kept, false);
  t.equal(overdrawn.budgetLeft?.toFixed(6), '-1.000000');
  t.match(slaState(sla!, [member(1, 0, 0)]), { attainment: null, kept: null, budgetLeft: null, worst: [] });
  t.throws(() => policyOf('version: 1\nfleet: {slas: [{name: a, resource: cpu, objective: 99, window: 7d}]}\n'), {
    code: 'POLICY_INVALID',
    message: /field fleet\.slas\[0\]\.objective: 99 is not accepted; expected a share from 0\.5 to 1/,
  });
});

const row = (source: 'host' | 'guest', atMs: number, values: Record<string, number>): TelemetryBlock => ({
  subject: { kind: 'vm', id: testVmId(1) },
  source,
  fields: Object.keys(values),
  timesMs: Float64Array.of(atMs),
  values: Float64Array.from(Object.values(values)),
});

t.test('contention: zero at ease, one figure of all parts, unknown when nothing is told', async (t) => {
  const score = new ContentionScore();
  t.equal(score.view(0), null);
  score.add(row('host', 0, { 'vm_cpu.waitFraction': 0, 'vm_pressure.ioSomeFraction': 0, 'vm_cpu.usageCores': 2 }));
  t.match(score.view(1000), { score: 0, parts: { cpuWait: 0, ioPressure: 0, swap: null, steal: null } });
  for (let s = 1; s <= 600; s++) {
    score.add(row('host', s * 1000, { 'vm_cpu.waitFraction': 0.5, 'vm_memory.swapInMiBPerSecond': 200 * (s > 590 ? 1 : 0) }));
    score.add(row('guest', s * 1000, { 'vm_cpu.guestStealFraction': 0.2, 'vm_cpu.waitFraction': 1 }));
  }
  const busy = score.view(600_000)!;
  t.equal(busy.parts.cpuWait?.toFixed(2), '0.50', 'a guest has no say in what the host sees');
  t.equal(busy.parts.steal?.toFixed(2), '0.20');
  t.ok(busy.parts.swap! > 0.1 && busy.parts.swap! < 0.3, 'ten seconds of swapping are smoothed');
  t.equal(busy.score.toFixed(3), (1 - (1 - busy.parts.cpuWait!) * (1 - busy.parts.steal!) * (1 - busy.parts.swap!)).toFixed(3));
  t.equal(busy.parts.ioPressure, null, 'what was not told for long is unknown');
  t.equal(score.view(601_000 + HOUR_MS), null);
});
