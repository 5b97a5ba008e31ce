/**
 * Goal: a warm pool is filled ahead, used before anything is made anew, filled again, and shrunk when its template asks for fewer; its
 * members never serve before they are called.
 */
import t from 'tap';
import { vmId } from '../../shared/ids.ts';
import { type SpawnWorld, spawnWorld, TEMPLATE } from '../support/spawn-world.ts';

t.setTimeout(120_000);

const pooled = (members: number): string => `${TEMPLATE}warmPool: ${members}\n`;
const stoppedOf = (world: SpawnWorld): string[] => world.group.members.flatMap(({ vm, phase }) => (phase === 'stopped' ? [vm] : []));

t.test('filled ahead, used, filled again, shrunk', async (t) => {
  let load = 0.5;
  const world = await spawnWorld({ group: 'min: 1\nmax: 2\nidleFor: 10m\nundo: 5s', template: pooled(2), load: () => load });
  await world.run(120);
  const kept = stoppedOf(world);
  t.equal(kept.length, 2);
  t.equal(world.group.serving, 1);
  t.equal(world.running().length, 1, 'none of them runs');
  const served = async () => {
    const entries = await world.ledger.entries({ kind: 'spawn', limit: 200 });
    return entries.flatMap(({ body }) => (body.kind === 'spawn' && body.phase === 'serving' ? [body.vm as string] : []));
  };
  t.notOk(
    (await served()).some((vm) => kept.includes(vm)),
    'none of them served',
  );
  load = 1.5;
  await world.run(40);
  t.equal(world.group.serving, 2);
  const used = world.group.members.filter(({ vm, phase }) => phase === 'serving' && kept.includes(vm));
  t.equal(used.length, 1, 'what is kept is called before anything is made');
  await world.run(120);
  t.equal(stoppedOf(world).length, 2, 'and the pool is full again');
  const { spawning } = world.aggregator.service;
  await spawning.applyTemplate('web', pooled(0), 'test', { dryRun: false, ifVersion: null });
  await world.run(60);
  t.same(stoppedOf(world), []);
  t.equal(world.remains().length, world.group.members.length, 'and nothing is left of those');
  t.equal(world.group.serving, 2, 'who serves goes on');
  world.kill();
});

t.test('a VM made by others: counted, never ended; handed over it is let go first, stays as it is, and is given back', async (t) => {
  const load = 0.05;
  const group = 'min: 1\nmax: 3\nidleFor: 10s\ndrain: 2s\ngrace: 20s\nundo: 5s\nmatch: {name: "hand-*"}';
  const world = await spawnWorld({ group, load: () => load });
  const vm = vmId('6f1b0000-0000-4000-8000-00000000abcd');
  const { hypervisor } = world.hosts[0]!;
  const wants = { cpuDemandCores: () => load / (2 * Math.max(1, world.running().length)), workingSetMiB: () => 100, bootMs: 1000 };
  hypervisor.addVm({ id: vm, name: 'hand-1', vcpus: 1, bootMemoryMiB: 512, ...wants });
  const { spawning } = world.aggregator.service;
  await spawning.setGroupBounds('web', { min: 2, max: 3 }, 'test');
  await world.run(60);
  t.equal(world.group.serving, 1, 'it counts as one of two');
  await world.run(120);
  t.equal(hypervisor.truth(vm).power, 'running', 'idle, and not for Headroom to end');
  await t.rejects(spawning.giveBack('web', vm, 'ada'), { code: 'NOT_FOUND' });
  await spawning.handOver('web', vm, 'ada');
  await t.rejects(spawning.handOver('web', vm, 'ada'), { code: 'CONFLICT' });
  await spawning.setGroupBounds('web', null, 'test');
  for (let i = 0; i < 60 && hypervisor.truth(vm).power === 'running'; i++) await world.run(5);
  t.equal(hypervisor.truth(vm).power, 'shutoff', 'handed over, it is let go');
  await world.run(120);
  t.match(
    world.group.members.find((member) => member.vm === vm),
    { phase: 'stopped', handed: true },
    'and stays, however long',
  );
  t.match(await spawning.giveBack('web', vm, 'ada'), { members: { length: 2 } });
  await world.run(15);
  t.notOk(world.group.members.some((member) => member.vm === vm));
  t.ok(hypervisor.ids().includes(vm), 'its definition is there');
  const entries = await world.ledger.entries({ kind: 'spawn', limit: 200 });
  const reasons = entries.flatMap(({ body }) => (body.kind === 'spawn' && body.vm === vm ? [body.reason] : []));
  t.match(reasons, [/^handed over by ada/, /./, /./, /./, /./, /./, /^given back by ada/, /^given back: /]);
  const stranger = vmId('6f1b0000-0000-4000-8000-00000000abce');
  hypervisor.addVm({ id: stranger, name: 'database', vcpus: 1, bootMemoryMiB: 512, ...wants });
  await world.run(20);
  await t.rejects(spawning.handOver('web', stranger, 'ada'), { code: 'CONFLICT', message: /does not serve with group web/ });
  world.kill();
});
