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

t.test(
  'kept suspended where the policy asks: brought back without a boot, booted where that fails, nothing left of those let go',
  async (t) => {
    let load = 0.5;
    const group = 'min: 1\nmax: 3\nidleFor: 10m\nundo: 5s\nwarmBy: resume';
    const world = await spawnWorld({ group, template: pooled(2), load: () => load, suspends: true });
    const { saving } = world.hosts[0]!;
    const restingOf = () => world.group.members.filter(({ phase, suspended }) => phase === 'stopped' && suspended).map(({ vm }) => vm);
    /** The agent looks for what earlier ones left, on the real disk. */
    const until = async (what: string, holds: () => boolean): Promise<void> => {
      for (let i = 0; i < 600 && !holds(); i++) {
        await world.run(1);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      t.ok(holds(), what);
    };
    await until('two rest', () => restingOf().length === 2);
    t.same(saving.saved().toSorted(), restingOf().toSorted());
    const kept = restingOf();
    const reasonsOf = async (vm: string) => {
      const entries = await world.ledger.entries({ kind: 'spawn', limit: 200 });
      return entries.flatMap(({ body }) => (body.kind === 'spawn' && body.vm === vm ? [body.reason] : []));
    };
    load = 1.2;
    await until('two serve', () => world.group.serving === 2);
    const back = world.group.members.find(({ vm, phase }) => phase === 'serving' && kept.includes(vm))!;
    const told = (await reasonsOf(back.vm)).join('|');
    t.match(told, /it is suspended; by the hypervisor's own saving/);
    t.match(told, /brought back on kvm1; by the hypervisor's own saving/);
    t.equal((told.match(/made and started/g) ?? []).length, 1, 'it booted once, when it was made');
    await until('the pool is full again', () => restingOf().length === 2);
    saving.fails.restore = 'its image is damaged';
    load = 2;
    await until('three serve', () => world.group.serving === 3);
    const third = world.group.members.filter(({ phase }) => phase === 'serving').map(({ vm }) => reasonsOf(vm));
    t.match((await Promise.all(third)).flat().join('|'), /it could not be brought back \(.*its image is damaged\): it boots/);
    saving.fails.restore = null;
    const { spawning } = world.aggregator.service;
    await spawning.applyTemplate('web', pooled(0), 'test', { dryRun: false, ifVersion: null });
    await until('the pool is gone', () => world.group.members.every(({ phase }) => phase === 'serving'));
    t.same(saving.records(), [], 'nothing is remembered as suspended');
    t.equal(world.remains().length, world.group.members.length);
    world.kill();
  },
);
