/**
 * Goal: a host agent grows a VM beyond what it boots with, up to what its device holds, in whole blocks, and takes it back as it takes
 * back any memory; what somebody else asked the guest to plug counts before the guest does, and is not overwritten; a VM without a
 * device stays bounded by what it boots with.
 */
import t from 'tap';
import { restore } from '../../agent/restore.ts';
import type { MemorySetting } from '../../shared/resources.ts';
import { A, agentWorld, B, calmVm } from '../support/agent-world.ts';

const memory = (memoryMiB: number): MemorySetting => ({ resource: 'memory', memoryMiB });
const device = (requestedMiB = 0) => ({
  facts: { osFamily: 'linux' as const, memoryDevices: 1, plugged: { sizeMiB: 1024, blockMiB: 2, requestedMiB } },
});

t.test('grown beyond its boot size in whole blocks, shrunk again, restored', async (t) => {
  const world = await agentWorld([calmVm(A, device())]);
  await world.run(30);
  t.match(world.inventory(A), { bootMemoryMiB: 2048, eligibility: { memory: { allowed: true } }, current: [{}, memory(1024), {}, {}] });
  t.match(
    world.inventory(A)?.devices?.find(({ resource }) => resource === 'memory'),
    { virtual: /1024 MiB at boot, up to 2048 MiB plugged in/ },
  );
  const grown = world.command({
    previous: memory(1024),
    target: memory(1802),
    ceiling: 2048,
    floor: 64,
    pair: { epoch: 5, generation: 1 },
  });
  await world.run(20);
  t.match(world.result(grown), { outcome: 'applied' });
  t.match(world.inventory(A)?.current[1], memory(1800), 'a rest of a block is not asked for');
  const shrunk = world.command({
    previous: memory(1800),
    target: memory(700),
    floor: 64,
    ceiling: 2048,
    pair: { epoch: 5, generation: 2 },
  });
  await world.run(15);
  t.match(world.result(shrunk), { outcome: 'applied' });
  t.equal(world.hypervisor.truth(A).balloonMiB, 700);
  const steps = world.writes.flatMap((setting) => (setting.resource === 'memory' && setting.memoryMiB < 1800 ? [setting.memoryMiB] : []));
  t.same(steps, [1052, 700], 'in steps of whole blocks, each half of what the guest has to spare');
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'all of it is our own',
  );
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  await world.run(20);
  t.equal(world.hypervisor.truth(A).balloonMiB, 1024);
  await world.stop();
});

t.test('what others asked the guest to plug counts before it does; what we ask for is watched like any balloon', async (t) => {
  const world = await agentWorld([calmVm(A, device(512))]);
  await world.run(30);
  t.match(world.inventory(A)?.current[1], memory(1536), 'its driver may load at any moment');
  await world.run(400);
  t.match(world.inventory(A)?.current[1], memory(1536), 'and long after');
  await world.stop();
});

t.test("somebody else's request is adopted, held and told, though the guest does not follow it", async (t) => {
  const vm = calmVm(A, device());
  const world = await agentWorld([vm]);
  await world.run(30);
  const over = { ceiling: 2048, floor: 64 };
  const first = world.command({ ...over, previous: memory(1024), target: memory(1400), pair: { epoch: 5, generation: 1 } });
  await world.run(30);
  const second = world.command({ ...over, previous: memory(1400), target: memory(1420), pair: { epoch: 5, generation: 2 } });
  await world.run(30);
  t.same([world.result(first)?.outcome, world.result(second)?.outcome], ['applied', 'applied']);
  t.same(world.inventory(A)?.holds, [], 'what our own writes left is ours');
  vm.facts!.plugged!.requestedMiB = 900;
  const third = world.command({ ...over, previous: memory(1420), target: memory(1600), pair: { epoch: 5, generation: 3 } });
  await world.run(90);
  t.match(world.result(third), { outcome: 'refused', reason: /hands off: someone else set/ });
  t.equal(world.hypervisor.truth(A).balloonMiB, 1420);
  t.match(world.inventory(A)?.holds, [{ resource: 'memory' }]);
  t.match(
    world.inventory(A),
    { baseline: [{}, memory(2048)], current: [{}, memory(2048)] },
    'what it comes to hold once it follows counts',
  );
  t.equal(world.of('event').filter(({ kind }) => kind === 'foreign-writer').length, 1, 'told, and once');
  await world.stop();
});

t.test("somebody else's request between two steps of a shrink: the next step is not taken", async (t) => {
  const vm = calmVm(A, device());
  const world = await agentWorld([vm], { settingsMs: 600_000 });
  await world.run(30);
  const over = { ceiling: 2048, floor: 64 };
  world.command({ ...over, previous: memory(1024), target: memory(1800), pair: { epoch: 5, generation: 1 } });
  await world.run(20);
  const shrunk = world.command({ ...over, previous: memory(1800), target: memory(700), pair: { epoch: 5, generation: 2 } });
  await world.run(1);
  t.match(world.writes.at(-1), memory(1052), 'the first step');
  vm.facts!.plugged!.requestedMiB = 900;
  await world.run(15);
  t.match(world.result(shrunk), { outcome: 'refused', reason: /hands off: somebody else requested 900 MiB/ });
  t.match(world.writes.at(-1), memory(1052));
  await world.stop();
});

t.test('beyond its device, and without a device: refused', async (t) => {
  const world = await agentWorld([calmVm(A, device()), calmVm(B)]);
  await world.run(30);
  const over = { previous: memory(1024), ceiling: 4096, floor: 64 };
  const beyond = world.command({ ...over, target: memory(2100), pair: { epoch: 5, generation: 1 } });
  const without = world.command({ ...over, vm: B, target: memory(1100), pair: { epoch: 5, generation: 1 } });
  await world.run(5);
  t.match(world.result(beyond), { outcome: 'failed', reason: /cannot be given/ });
  t.match(world.result(without), { outcome: 'failed', reason: /cannot be given/ });
  t.equal(world.hypervisor.truth(A).balloonMiB, 1024);
  await world.stop();
});
