/**
 * Goal: demand is told every five minutes to two days whatever the step, unknown stays unknown, and a few silent VMs neither hide a
 * fleet's demand nor count as nothing; GPUs are told of where guests tell of them, and nowhere else.
 */
import t from 'tap';
import { GROUP_RESOURCES } from '../../aggregator/core/plan/group-policy.ts';
import { demandHorizons, resourceDemand } from '../../aggregator/core/spawn/demand-view.ts';
import { fleetTotal } from '../../aggregator/core/spawn/fleet-total.ts';
import type { DemandPoint, DemandStep } from '../../aggregator/core/state/demand.ts';
import { GpuWatch } from '../../aggregator/core/state/gpu-use.ts';
import { DemandDesk } from '../../aggregator/service/demand-desk.ts';
import { GroupDemands } from '../../aggregator/service/group-demand.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { createLogger } from '../../shared/log.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

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

const GPU_FIELDS = ['vm_gpu.devices', 'vm_gpu.utilisationFraction', 'vm_gpu.memoryUsedMiB', 'vm_gpu.memoryTotalMiB'];
const gpuBlock = (timeMs: number, devices: number, utilisation: number): TelemetryBlock =>
  ({ source: 'guest', fields: GPU_FIELDS, timesMs: [timeMs], values: Float64Array.of(devices, utilisation, 1, 2) }) as never;

t.test('a GPU is as busy as it was at most since the last look; silence is unknown, nonsense is not taken', async (t) => {
  const watch = new GpuWatch();
  t.notOk(GpuWatch.tells({ ...gpuBlock(0, 1, 1), fields: ['vm_cpu.guestStealFraction'] } as never));
  t.equal(watch.take(0), null);
  watch.add(gpuBlock(1000, 2, 0.25));
  watch.add(gpuBlock(2000, 2, 0.75));
  watch.add(gpuBlock(3000, 2, 0.5));
  for (const [devices, utilisation] of [
    [Number.NaN, 1],
    [2, Number.NaN],
    [0, 1],
    [2, -1],
  ] as const)
    watch.add(gpuBlock(3500, devices, utilisation));
  t.same(watch.take(4000), { devices: 2, busy: 1.5 });
  t.same(watch.take(5000), { devices: 2, busy: 0 }, 'it starts anew');
  watch.add(gpuBlock(6000, 2, 9));
  t.same(watch.take(7000), { devices: 2, busy: 2 }, 'no more than it has');
  t.equal(watch.take(7000 + 600_000), null);
});

t.test('GPUs of fleet and group: the sum of those that tell, forecast as all else; nowhere else a row', async (t) => {
  const gpus = new Map([
    ['a', new GpuWatch()],
    ['b', new GpuWatch()],
  ]);
  let nowMs = 0;
  const vmOf = (id: string) => ({
    ...{
      latestStep: { startMs: nowMs - 300_000, points: {} },
      matched: { id },
      inventory: { state: 'ready', name: id, labels: {} },
      host: 'h',
    },
    takeGpuUse: (atMs: number) => gpus.get(id)?.take(atMs) ?? null,
  });
  const group = (name: string, members: string[]) => ({
    ...{ name, template: 'none', target: {} },
    matches: ({ id }: { id: string }) => members.includes(id),
  });
  const points = Object.fromEntries(GROUP_RESOURCES.map((resource) => [resource, { value: null, usage: null, suppressed: false }]));
  const state = {
    ...{ vmIds: () => ['a', 'b', 'c'], vm: (id: string) => ({ ...vmOf(id), latestStep: { startMs: nowMs - 300_000, points } }) },
    policy: { groups: [group('render', ['a']), group('web', ['c'])], reserve: { cpuCores: 0, memoryMiB: 0 } },
  };
  const log = createLogger(() => undefined, { wallMs: () => 0 } as never, 'info');
  const demands = new GroupDemands({ ledger: createMemoryLedgerStore(), log, stepMs: 300_000, seasonsMs: [] });
  const desk = new DemandDesk({
    ...{ state: state as never, demands, templates: { current: () => null } as never, records: () => [], stepMs: 300_000 },
    ...{ snapshot: () => ({ hosts: [] }) as never, nowMs: () => nowMs },
  });
  t.notOk(
    desk.view(null).resources.some(({ resource }) => resource === 'gpu'),
    'nobody told of one',
  );
  for (let step = 1; step <= 12; step++) {
    nowMs = step * 300_000;
    gpus.get('a')!.add(gpuBlock(nowMs - 1000, 2, 0.5));
    gpus.get('b')!.add(gpuBlock(nowMs - 1000, 1, 0.9));
    await desk.step();
  }
  const gpuOf = (name: string | null) => desk.view(name).resources.find(({ resource }) => resource === 'gpu');
  t.match(gpuOf(null), { unit: 'devices', now: 1.9, soon: null });
  t.ok(Math.abs((gpuOf(null)?.available ?? 0) - 1.1) < 1e-9);
  t.equal(gpuOf('render')?.now, 1);
  const ahead = gpuOf('render')!;
  t.equal(ahead.aheadMs.length, 576);
  t.ok(Math.abs(ahead.values[0]! - 1) < 0.2, `${ahead.values[0]}`);
  t.equal(gpuOf('web'), undefined);
});
