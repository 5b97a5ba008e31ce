/**
 * Goal: an aggregator that takes over a host goes on with what its predecessor saw: it has no checkpoint of the models, and makes
 * them again from the demand that the other wrote to the shared series, to the same state as if it had seen all itself.
 */
import t from 'tap';
import { forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { DemandModels } from '../../aggregator/core/state/demand-models.ts';
import { soleOwnership } from '../../aggregator/ownership/sole-ownership.ts';
import { type DemandHistory, demandHistories } from '../../aggregator/service/demand-history.ts';
import type { SeriesQueryMany } from '../../aggregator/store/series-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import type { VmId } from '../../shared/ids.ts';
import { AggregatorWorld, DAY_MS } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const STEP_MS = 300_000;
const WEEK_MS = 7 * 86_400_000;
const models = () => new DemandModels({ stepMs: STEP_MS, seasonsMs: [86_400_000], factory: forecasterFactory }, {});
const wave = Array.from({ length: 2000 }, (_, i) => ({ startMs: i * STEP_MS, value: 1 + Math.sin(i / 40) + (i % 7) / 10 }));

t.test('learnt from the series, a model is what it would be had it seen every step', async (t) => {
  const [seen, learnt] = [models(), models()];
  for (const step of wave) seen.observe('cpu', 'aggregate', step);
  t.equal(learnt.relearn('cpu', 'aggregate', wave), wave.length);
  t.same(learnt.serialise(), seen.serialise());
});

t.test('what it saw before counts once: a checkpoint is continued, a few steps of its own are not in the way', async (t) => {
  const [seen, continued, late] = [models(), models(), models()];
  for (const step of wave) seen.observe('cpu', 'aggregate', step);
  for (const step of wave.slice(0, 1500)) continued.observe('cpu', 'aggregate', step);
  const restored = models();
  for (const { resource, name, lastMs, bytes } of continued.serialise()) restored.restore(resource, name, lastMs, bytes);
  t.equal(restored.knownUntilMs, 1499 * STEP_MS);
  t.equal(restored.relearn('cpu', 'aggregate', wave), 500);
  t.same(restored.serialise(), seen.serialise());
  for (const step of wave.slice(-2)) late.observe('cpu', 'aggregate', step);
  t.equal(late.relearn('cpu', 'aggregate', wave), wave.length);
  t.same(late.serialise(), seen.serialise());
});

t.test('asked for: a week of five-minute bins and two days as they came, each step once; only what is new', async (t) => {
  const asked: SeriesQueryMany[] = [];
  const series = {
    async queryMany(query: SeriesQueryMany) {
      asked.push(query);
      const timesMs = Float64Array.of(query.fromMs);
      const columns = { 'vm_cpu.demandCores': Float64Array.of(1), 'vm_memory.demandMiB': Float64Array.of(Number.NaN) };
      return query.subjects.map(() => ({ timesMs, columns }));
    },
  };
  const nowMs = 30 * 86_400_000;
  const vm = testVmId(1) as VmId;
  const histories = await demandHistories(
    series,
    [
      { vm, sinceMs: null },
      { vm: testVmId(2) as VmId, sinceMs: nowMs - 60_000 },
    ],
    { stepMs: STEP_MS, nowMs },
  );
  const [history] = histories as [DemandHistory, DemandHistory];
  t.same(
    asked.map(({ resolution, fromMs, toMs }) => [resolution, (nowMs - fromMs) / 3_600_000, (nowMs - toMs) / 3_600_000]),
    [
      ['5m', WEEK_MS / 3_600_000, 47],
      ['raw', 47, 0],
    ],
  );
  t.equal(history.cpu?.length, 2);
  t.equal(history.memory?.length, 0, 'unknown is not zero');
  t.same(histories[1]?.cpu, [], 'asked for together, each has what is new to it alone');
  asked.length = 0;
  await demandHistories(series, [{ vm, sinceMs: nowMs - 60_000 }], { stepMs: 5000, nowMs });
  t.same(
    asked.map(({ resolution, fromMs }) => [resolution, nowMs - fromMs]),
    [['raw', 60_000]],
  );
});

t.test('a successor without any checkpoint forecasts at once', async (t) => {
  const pulse = (atMs: number) => (atMs % DAY_MS < DAY_MS / 2 ? { cores: 1.2, memoryMiB: 600 } : { cores: 0.45, memoryMiB: 200 });
  const world = new AggregatorWorld([fakeVm(testVmId(1), 'vm-1', pulse)], 'version: 1\ndefaults: {cpu: {mode: recommend}}\n');
  world.more = { ownership: soleOwnership(1, 'a') };
  await world.start();
  world.host.live();
  await world.run(5 * DAY_MS);
  const before = world.aggregator.service.vm(testVmId(1))!.resources.cpu.forecast;
  t.ok(before);
  world.kill();
  world.ledger = createMemoryLedgerStore();
  world.more = { ownership: soleOwnership(2, 'b') };
  await world.start();
  await world.run(4000);
  t.ok(world.aggregator.service.metrics().models_relearnt_steps_total! > 100);
  const after = world.aggregator.service.vm(testVmId(1))!.resources.cpu.forecast;
  t.ok(after, 'before its own first step is over');
  t.equal(after!.model, before!.model);
});
