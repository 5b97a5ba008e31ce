/**
 * Goal: whatever dies or is missing while VMs are made or let go, there is one VM or none, no orphan, and a reason that says why:
 * the aggregator killed at every write, images missing or corrupt, no space, probes that never pass, hosts lost.
 */
import t, { type Test } from 'tap';
import { SpawnWorld, type SpawnWorldOptions, spawnWorld, TEMPLATE } from '../support/spawn-world.ts';

t.setTimeout(90_000);

const ONE = 'min: 1\nmax: 1';

/** Runs a world with an aggregator that dies at its n-th write, for each n, until one does not die. */
async function walk(
  t: Test,
  options: SpawnWorldOptions,
  seconds: number,
  check: (world: SpawnWorld, writes: number) => void,
): Promise<number> {
  for (let writes = 0; ; writes++) {
    const world = new SpawnWorld(options);
    await world.start(writes);
    await world.run(seconds);
    const died = !world.alive;
    if (died) {
      await world.start();
      await world.run(seconds + 40);
    }
    check(world, writes);
    t.same(world.remains().sort(), world.group.members.map(({ vm }) => vm as string).sort(), `no orphan after a death at write ${writes}`);
    world.kill();
    if (!died) return writes;
  }
}

t.test('the aggregator killed at every write while a VM is made: one VM', async (t) => {
  const deaths = await walk(t, { group: ONE }, 30, (world, writes) => {
    t.match(world.phases, ['serving'], `after a death at write ${writes}`);
    t.equal(world.running().length, 1);
  });
  t.ok(deaths >= 6, `${deaths} places to die at`);
});

t.test('the aggregator killed at every write while VMs are let go: the least stays, the others are gone', async (t) => {
  const falling = (worldMs: number): number => (worldMs < 30_000 ? 1.5 : 0.1);
  const group = 'min: 1\nmax: 2\nidleFor: 5s\ndrain: 5s\nundo: 5s';
  const deaths = await walk(t, { group, load: falling }, 90, (world, writes) => {
    t.same(world.phases, ['serving'], `after a death at write ${writes}`);
    t.equal(world.running().length, 1);
  });
  t.ok(deaths >= 12, `${deaths} places to die at`);
});

t.test('what a host cannot make is not ordered there, and it is told why', async (t) => {
  const cases: [what: string, options: Partial<SpawnWorldOptions>, reason: RegExp][] = [
    ['image missing', { pool: { images: [] } }, /kvm1: pool templates has no volume called debian.qcow2/],
    [
      'image corrupt',
      {
        template: TEMPLATE.replace('debian.qcow2}', 'corrupt.qcow2, sha256: '.concat('a'.repeat(64), '}')),
        pool: { images: ['corrupt.qcow2'] },
      },
      /is not the one the template names/,
    ],
    ['no space', { pool: { freeMiB: 10 } }, /has 10 MiB free; 256 are needed/],
    [
      'not allowed',
      { template: TEMPLATE.replace('network: default', 'network: management') },
      /network management is not one that VMs made on this host may use/,
    ],
  ];
  for (const [what, options, reason] of cases) {
    const world = await spawnWorld({ group: ONE, ...options });
    await world.run(100);
    t.same(world.group.members, [], `${what}: nothing was ordered`);
    t.same(world.remains(), [], what);
    t.match(world.group.notDone, reason, what);
    if (what === 'not allowed') {
      const [refusal] = await world.ledger.entries({ kind: 'security', limit: 5 });
      t.match(refusal?.body, { event: 'build-refused', by: 'host kvm1', code: 'PERMISSION' }, 'and it is in the audit');
    }
    world.kill();
  }
  const elsewhere = await spawnWorld({ group: ONE, hosts: 2, poolOf: (host) => (host === 'kvm1' ? { images: [] } : {}) });
  await elsewhere.run(40);
  t.match(elsewhere.group, { serving: 1, members: [{ host: 'kvm2', failed: false }] }, 'a host that has the image is taken');
  elsewhere.kill();
});

t.test('what fails while it is made is removed, and told why; the next try waits longer', async (t) => {
  const cases: [what: string, options: Partial<SpawnWorldOptions>, reason: RegExp][] = [
    ['never ready', { template: TEMPLATE.replace('within: 1m', 'within: 2s') }, /it was not ready within 2 s/],
    [
      'storage fails',
      {
        fault: (_host, call) => {
          if (call === 'createOverlay') throw new Error('disk quota exceeded');
        },
      },
      /disk quota exceeded/,
    ],
  ];
  for (const [what, options, reason] of cases) {
    const world = await spawnWorld({ group: ONE, ...options });
    await world.run(100);
    // A try may be under way just then.
    for (let seconds = 0; world.remains().length > 0 && seconds < 20; seconds++) await world.run(1);
    const entries = await world.ledger.entries({ kind: 'spawn', limit: 50 });
    const failures = entries.flatMap(({ body, timeMs }) =>
      body.kind === 'spawn' && body.phase === 'removing' ? [{ ...body, timeMs }] : [],
    );
    t.match(failures[0], { failed: true, reason }, what);
    t.ok(failures.length >= 1 && failures.length <= 3, `${what}: ${failures.length} tries in 100 s`);
    t.same(world.remains(), [], `${what}: nothing is left`);
    t.match(world.group.notDone, /the last one failed: the next is made in \d+ s/, what);
    world.kill();
  }
});

t.test(
  "a host's probe: served once it passes, without waiting for the boot deadline; one that never passes says what it met",
  async (t) => {
    const template = (within: string): string =>
      TEMPLATE.replace('probe: booted, within: 1m', `probe: {http: {path: /healthz, port: 8080}}, within: ${within}`);
    let unreached: string | null = '192.168.122.20:8080/healthz answers 503, not 200';
    const world = await spawnWorld({ group: ONE, template: template('2m'), unreached: () => unreached });
    await world.run(40);
    t.same(world.phases, ['booting'], 'its boot deadline is over, and it does not serve');
    unreached = null;
    await world.run(12);
    t.same(world.phases, ['serving']);
    t.match(world.aggregator.service.spawning.templates(), [{ probe: 'http', asked: { kind: 'http', port: 8080, path: '/healthz' } }]);
    world.kill();
    unreached = '192.168.122.20:8080 did not answer within 2000 ms';
    const never = await spawnWorld({ group: ONE, template: template('30s'), unreached: () => unreached });
    await never.run(60);
    const entries = await never.ledger.entries({ kind: 'spawn', limit: 50 });
    const failure = entries.find(({ body }) => body.kind === 'spawn' && body.phase === 'removing');
    t.match(failure?.body, { failed: true, reason: /^it was not ready within 30 s: .*:8080 did not answer within 2000 ms$/ });
    t.same(never.remains(), []);
    never.kill();
  },
);

t.test('a host that is lost while a VM is made there: another makes it, and what is left is removed when it comes back', async (t) => {
  const world = await spawnWorld({ group: ONE, hosts: 2 });
  while (world.group.members.length === 0) await world.run(1);
  const [first] = world.group.members;
  const host = world.hosts.find(({ name }) => name === first?.host)!;
  host.network.setPartitioned(true);
  await world.run(420);
  t.ok(
    world.group.members.some((member) => member.host !== first?.host && member.phase === 'serving'),
    'made on the other one',
  );
  t.ok(
    world.group.members.some(({ vm, phase, failed }) => vm === first?.vm && phase === 'removing' && failed),
    'and the first not forgotten',
  );
  host.network.setPartitioned(false);
  await world.run(60);
  t.match(world.phases, ['serving']);
  t.equal(world.running().length, 1);
  t.equal(world.remains().length, 1);
  world.kill();
});
