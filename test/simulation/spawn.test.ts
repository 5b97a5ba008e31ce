/**
 * Goal: groups get their members before they are wanted and lose them when they are not, with the real aggregator and real host
 * agents on simulated time; never on stale data, within budgets and bounds; users are told before, guests
 * that ignore shutdown are handled as the policy says, what was let go can be taken back.
 */
import t from 'tap';
import { SEASON_MS, type SpawnWorld, STEP_MS, spawnWorld } from '../support/spawn-world.ts';

t.setTimeout(90_000);

const ONE = 'min: 1\nmax: 1';
const SEASON_S = SEASON_MS / 1000;
const STEP_S = STEP_MS / 1000;

/** Calm, then busy for forty seconds of each season. */
const repeating = (worldMs: number): number => (worldMs % SEASON_MS > 60_000 && worldMs % SEASON_MS <= 100_000 ? 2.2 : 0.3);
const REPEATING = 'min: 1\nmax: 6\nidleFor: 10s\ndrain: 5s\ngrace: 20s\nundo: 5s\nperHour: 1000';

t.test('the least is made, boots, serves, and is told', async (t) => {
  const world = await spawnWorld({ group: ONE });
  await world.run(30);
  t.match(world.group, { desired: 1, serving: 1, members: [{ phase: 'serving', template: 'web@1', host: 'kvm1', failed: false }] });
  t.equal(world.running().length, 1);
  const entries = await world.ledger.entries({ kind: 'spawn', limit: 10 });
  t.match(
    entries.map(({ body }) => body),
    [{ phase: 'building' }, { phase: 'booting' }, { phase: 'serving', reason: /^ready \d+ s after it was ordered$/ }],
  );
  t.ok(world.told.some(({ kind, message }) => kind === 'group' && /^in service \(group web\)/.test(message)));
  t.match(world.aggregator.service.spawning.templates(), [{ boots: [{ host: 'kvm1', boots: 1 }] }]);
  world.kill();
});

t.test('a load that repeats: ready before each peak, gone after it, and nothing is left of them', async (t) => {
  const world = await spawnWorld({ group: REPEATING, load: repeating });
  await world.run(7 * SEASON_S);
  let [short, busy, calmMost, memberSeconds, most] = [0, 0, 0, 0, 0];
  for (let season = 0; season < 3; season++) {
    let calm = Number.POSITIVE_INFINITY;
    for (let at = 0; at < SEASON_S; at += STEP_S) {
      await world.run(STEP_S);
      const wanted = repeating(world.time.nowMs);
      const { serving } = world.group;
      memberSeconds += world.running().length * STEP_S;
      most = Math.max(most, world.running().length);
      if (wanted > 1) busy++;
      else calm = Math.min(calm, serving);
      if (wanted > serving) short++;
    }
    calmMost = Math.max(calmMost, calm);
  }
  const mean = memberSeconds / (3 * SEASON_S);
  t.comment(`short ${short} of ${busy} busy steps, ${mean.toFixed(2)} members in the mean, ${most} at most`);
  t.ok(busy >= 20);
  t.equal(short, 0, 'demand never exceeded what served');
  t.equal(calmMost, 1, 'and each calm came down to one');
  t.ok(mean < 0.85 * most, 'not by keeping all all the time');
  const { spawning } = world.aggregator.service;
  for (const group of [null, 'web']) {
    const { resources } = spawning.demand(group);
    const cpu = resources.find(({ resource }) => resource === 'cpu')!;
    t.equal(cpu.aheadMs.length, 576, 'told every five minutes to two days');
    t.equal(cpu.values.length, 576 * cpu.quantiles.length);
    t.ok(cpu.now !== null && cpu.available !== null && cpu.soon !== null);
  }
  t.throws(() => spawning.demand('mail'), { code: 'NOT_FOUND' });
  const { members } = world.group;
  t.same(world.remains().sort(), members.map(({ vm }) => vm as string).sort(), 'nothing is there that nobody knows of');
  world.kill();
});

t.test('the same world twice: the same decisions, to the last entry of the ledger', async (t) => {
  const heads: unknown[] = [];
  for (let run = 0; run < 2; run++) {
    const world = await spawnWorld({ group: REPEATING, load: repeating });
    await world.run(2 * SEASON_S);
    const verified = await world.ledger.verify();
    if (verified.ok) t.ok(verified.entries > 20, `${verified.entries} entries`);
    heads.push(verified);
    world.kill();
  }
  t.same(heads[0], heads[1]);
});

t.test('never on stale data: a host that says nothing new gets no VM, and no member goes', async (t) => {
  const world = await spawnWorld({ group: 'min: 1\nmax: 4\nidleFor: 5s', load: (ms) => (ms < 60_000 ? 2.4 : 0.1) });
  for (let i = 0; i < 60 && world.group.serving < 3; i++) await world.run(1);
  const before = world.group.members.length;
  t.ok(before >= 3);
  world.hosts[0]!.network.setPartitioned(true);
  await world.run(100);
  t.equal(world.group.members.length, before, 'the load is gone, but nobody knows it');
  t.notOk(world.phases.includes('draining'));
  world.kill();
});

t.test('a guest that ignores shutdown: its users are told first, it is ended by force, or left to serve', async (t) => {
  const falling = (worldMs: number): number => (worldMs < 30_000 ? 1.5 : 0.1);
  for (const ignores of ['force', 'leave']) {
    const group = `min: 1\nmax: 2\nidleFor: 5s\ndrain: 10s\ngrace: 10s\nundo: 5s\nignores: ${ignores}`;
    const world = await spawnWorld({ group, load: falling, shutdownMs: null });
    await world.run(160);
    const entries = await world.ledger.entries({ kind: 'spawn', limit: 100 });
    const steps = entries.flatMap(({ body, timeMs }) => (body.kind === 'spawn' ? [{ ...body, timeMs }] : []));
    const draining = steps.find(({ phase }) => phase === 'draining')!;
    const stopping = steps.find(({ phase }) => phase === 'stopping')!;
    t.ok(stopping.timeMs - draining.timeMs >= 10_000, 'not before those who use it had their time');
    const notice = world.told.find(
      ({ kind, message }) => kind === 'group' && /no longer needed .*whoever uses it has 10 s to leave/.test(message),
    );
    t.match(notice, { vm: draining.vm, data: { phase: 'draining', deadlineMs: draining.timeMs + 10_000 } }, 'and they were told');
    const after = steps.filter(({ vm, timeMs }) => vm === draining.vm && timeMs > stopping.timeMs).map(({ phase }) => phase);
    if (ignores === 'force') {
      t.same(after, ['stopped', 'removing', 'gone']);
      t.equal(world.running().length, 1);
    } else {
      t.equal(after[0], 'serving', 'the policy leaves it running');
      t.equal(world.running().length, 2);
    }
    world.kill();
  }
});

t.test('undo: one that drains or is stopped is taken back; one that is removed is not', async (t) => {
  const falling = (worldMs: number): number => (worldMs < 30_000 ? 1.5 : 0.1);
  const world = await spawnWorld({ group: 'min: 1\nmax: 2\nidleFor: 25s\ndrain: 30s\nundo: 40s', load: falling });
  const until = async (phase: string): Promise<void> => {
    for (let i = 0; i < 100 && !world.phases.includes(phase); i++) await world.run(2);
  };
  const { spawning } = world.aggregator.service;
  await until('draining');
  const { vm } = world.group.members.find(({ phase }) => phase === 'draining')!;
  const other = world.group.members.find(({ phase }) => phase === 'serving')!.vm;
  await t.rejects(spawning.undoMember('web', other, 'ada'), { code: 'CONFLICT', message: /is serving/ });
  t.match(await spawning.undoMember('web', vm, 'ada', true), { serving: 1 }, 'only tried');
  t.match(await spawning.undoMember('web', vm, 'ada'), { serving: 2 });
  t.equal(world.running().length, 2);
  await world.run(4);
  await until('draining');
  const again = world.group.members.find(({ phase }) => phase === 'draining')!.vm;
  spawning.memberDrained('web', again, true);
  await world.run(4);
  t.ok(world.phases.includes('draining'), 'only tried');
  spawning.memberDrained('web', again);
  await world.run(6);
  t.notOk(world.phases.includes('draining'), 'whoever drains it said that it is empty: no more waiting');
  await until('stopped');
  t.equal(world.running().length, 1);
  await spawning.undoMember('web', again, 'ada');
  await until('booting');
  await world.run(15);
  t.match(world.phases.toSorted(), ['serving', 'serving'], 'started from what was stopped');
  t.equal(world.running().length, 2);
  t.match(spawning.templates(), [{ boots: [{ boots: 2 }] }], 'which is no measure of a boot');
  world.kill();
});

t.test('budgets, bounds, anti-affinity and modes hold', async (t) => {
  const busy = (): number => 3;
  const size = async (group: string, hosts = 1): Promise<SpawnWorld> => {
    const world = await spawnWorld({ group, hosts, load: busy });
    await world.run(120);
    return world;
  };
  const hourly = await size('min: 1\nmax: 6\nperHour: 2');
  t.equal(hourly.group.members.length, 2);
  t.match(hourly.group.notDone, /2 were made within an hour, and the policy allows 2/);
  const apart = await size('min: 1\nmax: 6\nperHost: 1', 2);
  t.same(apart.group.members.map(({ host }) => host as string).sort(), ['kvm1', 'kvm2']);
  t.match(apart.group.notDone, /kvm1: it has 1 of the group already/);
  const { spawning } = apart.aggregator.service;
  await t.rejects(spawning.setGroupBounds('web', { min: 1, max: 7 }, 'ada'), {
    code: 'USAGE',
    message: /does not lie within the policy's 1..6/,
  });
  const bounded = await spawnWorld({ group: 'min: 1\nmax: 6', load: busy });
  const tried = await bounded.aggregator.service.spawning.setGroupBounds('web', { min: 2, max: 2 }, 'kubernetes', true);
  t.match(tried.bounds, { least: 2, most: 2 });
  t.equal(bounded.group.bounds, null, 'only tried');
  await bounded.aggregator.service.spawning.setGroupBounds('web', { min: 2, max: 2 }, 'kubernetes');
  await bounded.run(120);
  t.match(bounded.group, { desired: 2, serving: 2, bounds: { by: 'kubernetes' } });
  for (const world of [hourly, apart, bounded]) world.kill();
});
