/**
 * Goal: a warm pool is filled ahead, used before anything is made anew, filled again, and shrunk when its template asks for fewer; its
 * members never serve before they are called.
 */
import t from 'tap';
import { type SpawnWorld, spawnWorld, TEMPLATE } from '../support/spawn-world.ts';

t.setTimeout(60_000);

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
