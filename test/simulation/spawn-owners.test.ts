/**
 * Goal: a group grows and shrinks on hosts that several aggregators own, by the word of the one that holds the fleet: demand of all members
 * counts, orders and answers find their way, and while one of those that live does not tell nothing is decided.
 */
import t from 'tap';
import { hostId } from '../../shared/ids.ts';
import { SpawnWorld, type SpawnWorldOptions } from '../support/spawn-world.ts';

t.setTimeout(90_000);

/** One member a host: the second is another aggregator's. */
const GROUP = 'min: 1\nmax: 3\nperHost: 1\nidleFor: 10s\ndrain: 5s\ngrace: 20s\nundo: 5s\nperHour: 1000';

async function owners(options: Partial<SpawnWorldOptions> = {}): Promise<SpawnWorld> {
  const world = new SpawnWorld({ group: GROUP, hosts: 3, seatOf: (host) => (host === 'kvm1' ? 0 : host === 'kvm2' ? 1 : 2), ...options });
  await world.start();
  await world.join();
  await world.join();
  // Whoever comes last has the templates from the ledger.
  world.openDoor(0);
  world.holdFleet(0);
  return world;
}

const hostsOf = (world: SpawnWorld): string[] =>
  world.hosts.filter(({ hypervisor }) => hypervisor.ids().some((id) => hypervisor.truth(id).power === 'running')).map(({ name }) => name);

t.test('it grows on others’ hosts, their members’ demand counts, and they go again', async (t) => {
  const world = await owners({ load: (worldMs) => (worldMs > 60_000 && worldMs < 180_000 ? 2.2 : 0.3) });
  await world.run(50);
  t.same(world.phases, ['serving']);
  t.equal(world.running().length, 1, 'the least');
  await world.run(110);
  t.same(world.phases, ['serving', 'serving', 'serving']);
  t.same(hostsOf(world), ['kvm1', 'kvm2', 'kvm3'], 'one on each');
  const { spawning } = world.aggregator.service;
  const checked = spawning.checkTemplate('web', null);
  await world.run(20);
  t.same(
    (await checked).map(({ host, ok }) => `${host} ${ok}`).sort(),
    ['kvm1 true', 'kvm2 true', 'kvm3 true'],
    'and each says what it could make',
  );
  await t.rejects(spawning.checkTemplate('web', hostId('nowhere')), { code: 'NOT_FOUND' });
  const demand = world.group.demand.find(({ resource }) => resource === 'cpu');
  t.ok(demand?.now !== null && (demand?.now ?? 0) > 1.8, `all of them want ${demand?.now} cores: the part of one would be 0.7`);
  await world.run(100);
  for (let i = 0; i < 40 && world.phases.length > 1; i++) await world.run(10);
  t.same(world.phases, ['serving']);
  t.equal(world.running().length, 1);
  t.same(
    world.remains(),
    world.group.members.map(({ vm }) => vm as string),
    'nothing is left behind on anybody’s host',
  );
  world.kill();
});

t.test('the fleet goes to another owner: it goes on from the book, and nothing is made twice', async (t) => {
  const world = await owners({ load: () => 2.2 });
  await world.run(90);
  t.same(world.phases, ['serving', 'serving', 'serving']);
  const before = world.running().sort();
  world.holdFleet(2);
  await world.run(90);
  t.same(world.running().sort(), before);
  const { spawning } = world.seats[2]!.aggregator.service;
  t.match(spawning.groups(), [{ serving: 3, desired: 3 }]);
  await spawning.setGroupBounds('web', { min: 1, max: 2 }, 'ada');
  await world.run(90);
  t.equal(world.running().length, 2, 'and it lets one go');
  world.kill();
});

t.test('one that lives and does not tell: nothing is decided, nobody is replaced; then it goes on', async (t) => {
  const world = await owners({ load: (worldMs) => (worldMs > 300_000 ? 2.2 : 0.9) });
  // Until forecasts have learnt what two members want: a third may have come and gone.
  await world.run(250);
  const before = world.running().sort();
  t.equal(before.length, 2);
  world.deaf.add(1);
  await world.run(400);
  t.same(world.running().sort(), before);
  t.same(world.phases, ['serving', 'serving'], 'also when it lasts longer than a lost host is waited for');
  await t.rejects(world.aggregator.service.spawning.handOver('web', before[0]!, 'ada'), { code: 'UNAVAILABLE' });
  world.deaf.delete(1);
  await world.run(60);
  t.equal(world.running().length, 3);
  world.kill();
});
