/**
 * Goal: a guest that comes alive from another host brings its originals along: what was written to it there is ours to restore here, is
 * no foreign write and no baseline, and pairs do not fall; one that was started anew with an old record in its definition brings nothing.
 */
import t from 'tap';
import { recordTextInMetadata } from '../../agent/core/journal-metadata.ts';
import { restore } from '../../agent/restore.ts';
import type { CpuSetting, Setting } from '../../shared/resources.ts';
import { A, type AgentWorld, agentWorld, B, calmVm } from '../support/agent-world.ts';

const cpu = (capCores: number | null, weight = 100): CpuSetting => ({ resource: 'cpu', weight, capCores });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const guest = calmVm(A, { baseline: [cpu(1.5, 120)], statsPeriodSeconds: 0, facts: { osFamily: 'linux', persistent: false } });

/** A guest on whose host two resources were written to, one of them twice. */
async function managedElsewhere(): Promise<AgentWorld> {
  const source = await agentWorld([guest]);
  await source.run(30);
  for (const target of [cpu(1, 80), cpu(0.8, 60), memory(800)]) {
    source.command({ target, pair: { epoch: 7, generation: source.of('result').length + 1 } });
    await source.run(8);
  }
  return source;
}

t.test('what it brings is taken up, and told as ours', async (t) => {
  const source = await managedElsewhere();
  const here = await agentWorld([calmVm(B)], { bootDeadlineMs: 5000 });
  await here.run(10);
  // Told at another size first, as real ones are.
  here.hypervisor.takeIn({ ...source.hypervisor.truth(A), balloonMiB: 900 });
  source.hypervisor.removeVm(A);
  const writes = here.writes.length;
  await here.run(60);
  t.equal(here.writes.length, writes, 'nothing is written to it for that');
  const told = here.inventory(A);
  t.match(told?.current, [cpu(0.8, 60), memory(800), {}, {}]);
  t.match(told?.baseline, [cpu(1.5, 120), memory(1024), {}, {}], 'our values are no baseline');
  t.equal(told?.pairs.find(({ resource }) => resource === 'cpu')?.pair.epoch, 7);
  t.same(
    here.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  t.match(recordTextInMetadata(here.hypervisor.truth(A).metadata), /"capCores":0.8/, 'and carried on from here');

  t.match(here.result(await commanded(here, cpu(1.2, 90), { epoch: 6, generation: 50 })), { outcome: 'refused' });
  t.match(here.result(await commanded(here, cpu(1.2, 90), { epoch: 8, generation: 1 })), { outcome: 'applied' });
  const lines = await restore(here.hypervisor, here.files, A);
  t.ok(lines.length >= 2 && lines.every(({ ok }) => ok), JSON.stringify(lines));
  const { cpu: restored, balloonTargetMiB, metadata, statsPeriodSeconds } = here.hypervisor.truth(A);
  t.same(
    [restored, balloonTargetMiB, metadata, statsPeriodSeconds],
    [cpu(1.5, 120), 1024, null, 0],
    'as before the first write, on the other host',
  );
  await Promise.all([here.stop(), source.stop()]);
});

t.test('no agent has seen it yet: restore alone gives it back what it had', async (t) => {
  const source = await managedElsewhere();
  const here = await agentWorld([calmVm(B)], { include: ['vm-b'] });
  await here.run(10);
  here.hypervisor.takeIn(source.hypervisor.truth(A));
  const lines = await restore(here.hypervisor, here.files, A);
  t.ok(lines.length >= 2 && lines.every(({ ok }) => ok), JSON.stringify(lines));
  t.same(here.hypervisor.truth(A).cpu, cpu(1.5, 120));
  await Promise.all([here.stop(), source.stop()]);
});

t.test('paused until all of it is here: looked at before it came alive', async (t) => {
  const source = await managedElsewhere();
  const here = await agentWorld([calmVm(B)]);
  await here.run(10);
  here.hypervisor.takeIn({ ...source.hypervisor.truth(A), power: 'paused' });
  await here.run(10);
  here.hypervisor.setPower(A, 'running');
  await here.run(10);
  t.match(here.inventory(A)?.baseline, [cpu(1.5, 120), memory(1024), {}, {}]);
  t.same(here.files.load().records.find(({ vm }) => vm === A)?.entries.cpu?.originalSetting, cpu(1.5, 120));
  await Promise.all([here.stop(), source.stop()]);
});

t.test('a guest that lived before its agent came, or before it came here, does not boot; one that is started does', async (t) => {
  const here = await agentWorld([calmVm(A)], { bootDeadlineMs: 60_000 });
  const stateOf = (vm = A) => here.inventory(vm)?.state;
  await here.run(30);
  t.equal(stateOf(), 'launching');
  await here.run(60);
  t.equal(stateOf(), 'ready');
  await here.restart();
  await here.run(10);
  t.equal(stateOf(), 'ready', 'the agent began anew, and not the guest');
  here.hypervisor.setPower(A, 'paused');
  await here.run(10);
  here.hypervisor.setPower(A, 'running');
  await here.run(10);
  t.equal(stateOf(), 'ready', 'it goes on where it was');
  const elsewhere = await agentWorld([calmVm(B)]);
  await elsewhere.run(5);
  here.hypervisor.takeIn(elsewhere.hypervisor.truth(B));
  await here.run(10);
  t.equal(stateOf(B), 'ready', 'it moved');
  here.hypervisor.setPower(A, 'shutoff');
  await here.run(10);
  here.hypervisor.setPower(A, 'running');
  await here.run(10);
  t.equal(stateOf(), 'launching');
  await Promise.all([here.stop(), elsewhere.stop()]);
});

t.test('started anew with an old record in its definition: what it was started with is its own', async (t) => {
  const source = await managedElsewhere();
  const { metadata } = source.hypervisor.truth(A);
  const here = await agentWorld([calmVm(B)]);
  await here.run(10);
  here.hypervisor.takeIn({ ...source.hypervisor.truth(A), power: 'shutoff', cpu: cpu(1.1, 70) });
  here.hypervisor.setPower(A, 'running');
  t.equal(here.hypervisor.truth(A).metadata, metadata);
  await here.run(10);
  t.match(here.inventory(A)?.current[0], cpu(1.1, 70));
  t.equal(here.files.load().records.find(({ vm }) => vm === A)?.entries.cpu, undefined);
  await Promise.all([here.stop(), source.stop()]);
});

async function commanded(world: AgentWorld, target: Setting, pair: { epoch: number; generation: number }): Promise<string> {
  const id = world.command({ target, pair });
  await world.run(3);
  return id;
}
