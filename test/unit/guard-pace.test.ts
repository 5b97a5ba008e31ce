/**
 * Goal: the fast guard looks at its own pace, however seldom samples are taken for the aggregator: a guest that runs short
 * right after a sample is not kept waiting for the next, and what it does between samples still makes one row a period.
 */
import t from 'tap';
import { A, agentWorld, calmVm } from '../support/agent-world.ts';

const MINUTE = 60;

t.test('a guest that runs short between two samples gets memory back within seconds', async (t) => {
  let workingSetMiB = 250;
  const world = await agentWorld([calmVm(A, { workingSetMiB: () => workingSetMiB })], { sampleMs: 60_000 });
  await world.run(3 * MINUTE);
  world.lease({ leaseMs: 3_600_000, reserveMiB: 200, allowances: [{ vm: A, cpuCeilingCores: null, memoryCeilingMiB: 900 }] });
  world.command({ target: { resource: 'memory', memoryMiB: 400 }, floor: 64 });
  await world.run(MINUTE);
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 400);
  workingSetMiB = 420;
  await world.run(10);
  const target = world.hypervisor.truth(A).balloonTargetMiB;
  t.ok(target > 420 && target <= 600, `${target} MiB`);
  await world.stop();
});

t.test('a capped VM grows between two samples', async (t) => {
  const world = await agentWorld([calmVm(A, { cpuDemandCores: () => 1.5 })], { sampleMs: 60_000 });
  await world.run(3 * MINUTE);
  world.lease({ leaseMs: 3_600_000, reserveCores: 4, allowances: [{ vm: A, cpuCeilingCores: 2, memoryCeilingMiB: null }] });
  world.command({ target: { resource: 'cpu', weight: 100, capCores: 0.5 }, floor: 0.1 });
  await world.run(10);
  t.ok((world.hypervisor.truth(A).cpu.capCores ?? 9) >= 1.5, `${world.hypervisor.truth(A).cpu.capCores} cores`);
  await world.stop();
});

t.test('rows come once a period, with rates over all of it', async (t) => {
  const world = await agentWorld([calmVm(A)], { sampleMs: 60_000 });
  await world.run(10 * MINUTE);
  const rows = world.blocks.filter((block) => block.subject.id === A);
  const usage = rows.flatMap(({ fields, values, timesMs }) =>
    Array.from(timesMs, (_, row) => values[row * fields.length + fields.indexOf('vm_cpu.usageCores')] as number),
  );
  t.ok(usage.length >= 9 && usage.length <= 11, `${usage.length} rows in ten minutes`);
  for (const cores of usage.slice(1)) t.ok(Math.abs(cores - 0.5) < 0.05, `${cores} cores`);
  await world.stop();
});
