/**
 * Goal: aggregators that all live and race for the fleet make one VM or none: whichever write the hold is lost at, what the
 * one that lost it still writes is read by nobody and nothing of it is sent; no orphan, however often the fleet changes hands.
 */
import t, { type Test } from 'tap';
import { SpawnWorld, type SpawnWorldOptions } from '../support/spawn-world.ts';

t.setTimeout(90_000);

/** The next one has taken over, before a write that was under way lands, before hosts leave the one they were connected to. */
const LANDS_MS = 8000;
const DOOR_MS = 10_000;
/** Hosts take orders of rising epochs: nobody has them twice. */
const HANDS = 8;

async function deciders(count: number, options: SpawnWorldOptions): Promise<SpawnWorld> {
  const world = new SpawnWorld(options);
  await world.start();
  while (world.seats.length < count) await world.join();
  return world;
}

/** Kept when a write that is under way lands. Hosts follow, unless the fleet has gone on meanwhile: at one instant it may twice. */
function handOver(world: SpawnWorld, to: number): Promise<void> {
  world.holdFleet(to);
  world.time.schedule(() => world.holder === to && world.openDoor(to), DOOR_MS);
  return new Promise((resolve) => world.time.schedule(resolve, LANDS_MS));
}

function oneAccount(t: Test, world: SpawnWorld, what: string): void {
  const known = world.group.members.map(({ vm }) => vm as string).sort();
  t.same(world.remains().sort(), known, `${what}: no orphan`);
  for (const { aggregator } of world.seats) {
    const [group] = aggregator.service.spawning.groups();
    t.same(group?.members.map(({ vm }) => vm as string).sort(), known, `${what}: all know the same`);
  }
}

t.test('the fleet goes to another at any write while a VM is made, and on to a third: one VM', async (t) => {
  let lost = 0;
  for (let at = 1; ; at++) {
    const world = await deciders(3, { group: 'min: 1\nmax: 1' });
    let writes = 0;
    let handed = false;
    world.onWrite = (seat) => {
      if (seat !== 0 || handed || ++writes < at) return;
      handed = true;
      return handOver(world, 1);
    };
    await world.run(70);
    if (handed) {
      t.match(world.phases, ['serving'], `lost at write ${at}`);
      t.equal(world.running().length, 1);
      void handOver(world, 2);
      await world.run(40);
      lost++;
    }
    t.match(world.phases, ['serving'], `lost at write ${at}, and again`);
    t.equal(world.running().length, 1);
    oneAccount(t, world, `write ${at}`);
    world.kill();
    if (!handed) break;
  }
  t.ok(lost >= 6, `${lost} writes to lose it at`);
});

t.test('from hand to hand while a group grows and shrinks: what is there is what all know of', async (t) => {
  const load = (worldMs: number): number => (worldMs < 60_000 ? 1.5 : 0.1);
  for (const every of [2, 5]) {
    const world = await deciders(HANDS, { group: 'min: 1\nmax: 2\nidleFor: 5s\ndrain: 5s\nundo: 5s', load });
    let writes = 0;
    let holder = 0;
    world.onWrite = () => {
      return ++writes % every === 0 && holder < HANDS - 1 ? handOver(world, ++holder) : undefined;
    };
    await world.run(300);
    t.ok(holder >= 3, `every ${every} writes: the fleet changed hands ${holder} times`);
    t.same(world.phases, ['serving']);
    t.equal(world.running().length, 1);
    oneAccount(t, world, `every ${every} writes`);
    world.kill();
  }
});

t.test('nobody holds the fleet: nothing is ordered, people are told, and what is there stays', async (t) => {
  const world = await deciders(2, { group: 'min: 1\nmax: 2' });
  await world.run(40);
  const before = world.group.members.map(({ vm, phase }) => `${vm} ${phase}`);
  world.holdFleet(7);
  await t.rejects(world.aggregator.service.spawning.setGroupBounds('web', { min: 2, max: 2 }, 'ada'), {
    code: 'UNAVAILABLE',
    message: /another aggregator decides about groups now/,
  });
  await world.run(60);
  t.same(
    world.group.members.map(({ vm, phase }) => `${vm} ${phase}`),
    before,
  );
  world.holdFleet(0);
  await world.aggregator.service.spawning.setGroupBounds('web', { min: 2, max: 2 }, 'ada');
  await world.run(40);
  t.equal(world.running().length, 2);
  world.kill();
});
