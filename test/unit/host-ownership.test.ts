/** Goal: agents are served by whoever owns their host: taken in, sent on, moved a few at a time; commands go only where they may. */
import t from 'tap';
import { budgetShare } from '../../aggregator/core/ownership/budget-share.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { FLEET_DEFAULTS } from '../../aggregator/core/plan/policy-defaults.ts';
import { ownedPart } from '../../aggregator/core/state/owned-part.ts';
import type { Elsewhere } from '../../aggregator/ingest/peer-state.ts';
import { joinOwnership } from '../../aggregator/ownership/leased-ownership.ts';
import { MemoryLeases } from '../../aggregator/ownership/memory-lease-table.ts';
import type { Ownership } from '../../aggregator/ownership/ownership.ts';
import { HostOwnership } from '../../aggregator/service/host-ownership.ts';
import { type HostId, hostId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import { MOVES_ON_CAPABILITY, REDIRECT_CAPABILITY } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { helloFrame } from '../support/wire-world.ts';

const LEASE_MS = 3000;
const HOSTS = Array.from({ length: 40 }, (_, i) => hostId(`kvm${i}`));
const HELLO = helloFrame({ capabilities: [REDIRECT_CAPABILITY] });
const MOVES_ON = helloFrame({ capabilities: [REDIRECT_CAPABILITY, MOVES_ON_CAPABILITY] });

interface Side {
  ownership: Ownership;
  hosts: HostOwnership;
  connected: Set<HostId>;
  redirected: Map<HostId, Elsewhere>;
  withdrawn: HostId[];
  forgotten: HostId[];
  taken: number;
}

function world() {
  const time = new SimulatedTime(createPrng(3), Date.UTC(2026, 0, 1));
  const leases = new MemoryLeases(new NodeClock(time));
  const join = async (name: string): Promise<Side> => {
    const clock = new NodeClock(time);
    const log = createLogger(() => undefined, clock, 'error');
    const ownership = await joinOwnership({ table: leases.tableOf(name), clock, log, name, url: `ws://${name}`, leaseMs: LEASE_MS });
    const side = {
      ownership,
      connected: new Set<HostId>(),
      redirected: new Map<HostId, Elsewhere>(),
      withdrawn: [],
      forgotten: [],
      taken: 0,
    } as unknown as Side;
    side.hosts = new HostOwnership({
      ...{ ownership, clock, log, awayMsMax: 15_000, connected: () => [...side.connected] },
      redirect(host, to) {
        side.redirected.set(host, to);
        return side.connected.delete(host);
      },
      taken: () => side.taken++,
      withdraw: (hosts) => side.withdrawn.push(...hosts),
      forget: (host) => side.forgotten.push(host),
    });
    side.hosts.start(async () => undefined);
    return side;
  };
  return { leases, join, pass: (ms: number) => time.runUntil(time.nowMs + ms) };
}

t.test('an agent is taken in where its host belongs, and sent there from elsewhere', async (t) => {
  const { join, pass } = world();
  const [a, b] = [await join('a'), await join('b')];
  await pass(LEASE_MS);
  for (const host of HOSTS) {
    const [atA, atB] = [await a.hosts.admit(host, HELLO), await b.hosts.admit(host, HELLO)];
    t.not(atA.here, atB.here);
    const [other, owner] = atA.here ? [atB, a] : [atA, b];
    t.match(other, { here: false, url: `ws://${owner.ownership.name}` });
    t.equal(owner.hosts.mayCommand(host), true);
  }
});

t.test('an agent that cannot be sent on is served where it comes, unless somebody has its host', async (t) => {
  const { join, pass } = world();
  const [a, b] = [await join('a'), await join('b')];
  await pass(LEASE_MS);
  for (const host of HOSTS) {
    t.match(await a.hosts.admit(host, helloFrame()), { here: true });
    t.match(await b.hosts.admit(host, helloFrame()), { here: false, url: 'ws://a' });
  }
});

t.test('nobody can tell: rows are taken, no command goes; as soon as somebody can, the host is ours or sent on', async (t) => {
  const { leases, join, pass } = world();
  const [a, b] = [await join('a'), await join('b')];
  await pass(LEASE_MS);
  leases.away = true;
  await pass(LEASE_MS);
  for (const host of HOSTS) {
    t.match(await a.hosts.admit(host, HELLO), { here: true, epoch: 0 });
    t.equal(a.hosts.mayCommand(host), false);
    a.connected.add(host);
  }
  leases.away = false;
  await pass(2 * LEASE_MS);
  for (const host of HOSTS) t.not(a.hosts.mayCommand(host), a.redirected.has(host));
  t.equal(b.redirected.size, 0);
  t.same(a.forgotten, [...a.redirected.keys()], 'what is sent on is not kept');
});

t.test('commands are withdrawn as soon as the lease is lost', async (t) => {
  const { leases, join, pass } = world();
  const a = await join('a');
  for (const host of HOSTS) await a.hosts.admit(host, HELLO);
  leases.cut('a', true);
  await pass(LEASE_MS);
  t.same([...a.withdrawn].sort(), [...HOSTS].sort());
  t.ok(HOSTS.every((host) => !a.hosts.mayCommand(host)));
});

t.test(
  'agents that cannot reach the owner wait where their host goes next, and it is taken the moment that its lease has ended',
  async (t) => {
    const { leases, join, pass } = world();
    const [a, b, c] = [await join('a'), await join('b'), await join('c')];
    await pass(LEASE_MS);
    const ofA = (await Promise.all(HOSTS.map(async (host) => ((await a.hosts.admit(host, HELLO)).here ? [host] : [])))).flat();
    t.ok(ofA.length > 5, `${ofA.length} hosts of the one that dies`);
    leases.cut('a', true);
    const cutOff = { ...HELLO, unreachable: ['ws://a'] };
    for (const host of ofA) {
      const [atB, atC] = [await b.hosts.admit(host, cutOff), await c.hosts.admit(host, cutOff)];
      t.not(atB.here, atC.here, 'one of the two keeps it, the other knows which');
      const [keeper, other, sent] = atB.here ? [b, atB, atC] : [c, atC, atB];
      t.match(other, { here: true, epoch: 0 }, 'as long as the lease may live nothing is decided');
      t.match(sent, { here: false, url: `ws://${keeper.ownership.name}` });
      keeper.connected.add(host);
    }
    await pass(LEASE_MS / 2);
    t.ok(ofA.every((host) => !b.hosts.mayCommand(host) && !c.hosts.mayCommand(host)));
    // The lease's rest, and until the next look at the members.
    await pass(LEASE_MS / 2 + LEASE_MS / 6 + 50);
    t.ok(
      ofA.every((host) => b.hosts.mayCommand(host) !== c.hosts.mayCommand(host)),
      'each has one owner',
    );
    t.equal(b.redirected.size + c.redirected.size, 0, 'and no agent had to move');
    t.ok(b.taken + c.taken > 0, 'nor to wait for the plan of the next turn');
  },
);

t.test('an owner that one agent does not reach gives its host up to whom it does reach, unless it hears that agent itself', async (t) => {
  const { join, pass } = world();
  const [a, b] = [await join('a'), await join('b')];
  await pass(LEASE_MS);
  const host = HOSTS[0]!;
  const owner = (await a.hosts.admit(host, HELLO)).here ? a : b;
  const other = owner === a ? b : a;
  await owner.hosts.admit(host, HELLO);
  owner.connected.add(host);
  t.match(await other.hosts.admit(host, { ...HELLO, unreachable: [`ws://${owner.ownership.name}`] }), { here: true, epoch: 0 });
  other.connected.add(host);
  await pass(30_000);
  t.equal(owner.hosts.mayCommand(host), true, 'it hears it');
  t.equal(other.hosts.mayCommand(host), false);
  owner.connected.delete(host);
  const epoch = owner.ownership.epochOf(host)!;
  // Two turns: the owner hears of it in one, the other in the next.
  await pass(LEASE_MS / 3 + 50);
  t.equal(owner.hosts.mayCommand(host), false);
  t.same(owner.withdrawn, [host]);
  t.same(owner.forgotten, [host]);
  t.ok(other.ownership.epochOf(host)! > epoch, 'under a higher epoch');
  t.ok(other.taken > 0, 'and it is planned for at once');
  await pass(120_000);
  t.equal(other.redirected.size, 0, 'nor is it sent for balance to whom it does not reach');
  await pass(300_000);
  t.match(other.redirected.get(host), { url: `ws://${owner.ownership.name}` }, 'not for ever');
});

t.test('an owner cut off from all its agents at once loses no host that another has not got', async (t) => {
  const { join, pass } = world();
  const sides = [await join('a'), await join('b'), await join('c')];
  const [a, b, c] = sides as [Side, Side, Side];
  await pass(LEASE_MS);
  const ofA = (await Promise.all(HOSTS.map(async (host) => ((await a.hosts.admit(host, HELLO)).here ? [host] : [])))).flat();
  const cutOff = { ...HELLO, unreachable: ['ws://a'] };
  for (const host of ofA) {
    const keeper = (await b.hosts.admit(host, cutOff)).here ? b : c;
    if (keeper === c) await c.hosts.admit(host, cutOff);
    keeper.connected.add(host);
  }
  for (let ms = 0; ms < 2000; ms += 50) {
    await pass(50);
    for (const host of ofA) t.ok(sides.filter(({ hosts }) => hosts.mayCommand(host)).length <= 1);
  }
  t.ok(ofA.every((host) => b.hosts.mayCommand(host) || c.hosts.mayCommand(host)));
  t.equal(a.hosts.metrics().ownership_given_back_total, ofA.length);
});

t.test('whose agents have left, and to whom they came, look for each other more often than twice a second', async (t) => {
  const { join, pass } = world();
  const sides = [await join('a'), await join('b'), await join('c')];
  const [a, b, c] = sides as [Side, Side, Side];
  await pass(LEASE_MS);
  const ofA = (await Promise.all(HOSTS.map(async (host) => ((await a.hosts.admit(host, HELLO)).here ? [host] : [])))).flat();
  t.ok(ofA.length > 5);
  // Whatever the moment within their turns.
  for (const [i, host] of ofA.slice(0, 5).entries()) {
    await pass(7000 + 90 * i);
    a.hosts.left(host);
    const cutOff = { ...HELLO, unreachable: ['ws://a'] };
    const keeper = (await b.hosts.admit(host, cutOff)).here ? b : c;
    if (keeper === c) await c.hosts.admit(host, cutOff);
    keeper.connected.add(host);
    await pass(320);
    t.equal(keeper.hosts.mayCommand(host), true, 'told within 50 ms, heard within 100, given up, and seen so within 100 more');
  }
});

/** As a host's agent does it: from one to the next that it has not just tried, and wherever it is sent. Answers who took it in. */
async function look(sides: readonly Side[], host: HostId, unreachable: string[]): Promise<Side | null> {
  let at = sides.find(({ ownership }) => !unreachable.includes(`ws://${ownership.name}`))!;
  for (let tries = 0; tries < 10; tries++) {
    const admission = await at.hosts.admit(host, { ...MOVES_ON, unreachable: [...unreachable] });
    if (admission.here) {
      at.connected.add(host);
      return at;
    }
    if (admission.url === null) unreachable.push(`ws://${at.ownership.name}`);
    const { url } = admission;
    at = sides.find(({ ownership: { name } }) => (url === null ? !unreachable.includes(`ws://${name}`) : url === `ws://${name}`)) ?? at;
  }
  return null;
}

t.test('who does not reach the table sends its agents on once its lease has ended, and others have their hosts at once', async (t) => {
  const { leases, join, pass } = world();
  const sides = [await join('a'), await join('b'), await join('c')];
  const [a, b] = sides as [Side, Side];
  await pass(LEASE_MS);
  for (const host of HOSTS) await look(sides, host, []);
  const ofA = [...a.connected];
  t.ok(ofA.length > 5);
  leases.cut('a', true);
  await pass(0.8 * LEASE_MS);
  t.equal(a.redirected.size, 0, 'its lease may yet be renewed');
  await pass(0.3 * LEASE_MS);
  t.same([...a.redirected.keys()].sort(), ofA.sort());
  t.ok([...a.redirected.values()].every(({ url }) => url === null));
  for (const host of ofA) {
    const taker = (await look(sides, host, ['ws://a']))!;
    t.not(taker, a);
    t.equal(taker.hosts.mayCommand(host), true, 'without waiting for anything');
  }
  t.match(await a.hosts.admit(HOSTS[0]!, MOVES_ON), { here: false, url: null }, 'nor does it keep one that comes meanwhile');
  t.match(await a.hosts.admit(HOSTS[0]!, HELLO), { here: true, epoch: 0 }, 'an older one cannot be sent on so');
  t.same(a.forgotten, []);
  leases.cut('a', false);
  await pass(90_000);
  t.same(a.forgotten.sort(), ofA.sort(), 'what did not come back is not kept');
  t.ok(b.ownership.members().length === 3);
});

t.test('nobody reaches the table: each agent ends at one that keeps it, and is asked to look again once a minute', async (t) => {
  const { leases, join, pass } = world();
  const sides = [await join('a'), await join('b'), await join('c')];
  await pass(LEASE_MS);
  for (const host of HOSTS) await look(sides, host, []);
  leases.away = true;
  await pass(1.2 * LEASE_MS);
  const settle = async (): Promise<number> => {
    let moved = 0;
    for (const side of sides) {
      for (const host of side.redirected.keys()) {
        moved++;
        t.ok(await look(sides, host, [`ws://${side.ownership.name}`]), 'one keeps it');
      }
      side.redirected.clear();
    }
    return moved;
  };
  t.equal(await settle(), HOSTS.length);
  t.equal(
    sides.reduce((sum, { connected }) => sum + connected.size, 0),
    HOSTS.length,
  );
  await pass(50_000);
  t.equal(await settle(), 0);
  await pass(12_000);
  t.equal(await settle(), HOSTS.length);
  leases.away = false;
  await pass(LEASE_MS);
  await settle();
  await pass(LEASE_MS);
  for (const host of HOSTS)
    t.equal(sides.filter(({ hosts }) => hosts.mayCommand(host)).length, 1, 'when it is back each host has one owner');
});

t.test('a host whose agent stays away is given back', async (t) => {
  const { join, pass } = world();
  const a = await join('a');
  await a.hosts.admit(HOSTS[0]!, HELLO);
  await pass(14_000);
  t.equal(a.hosts.mayCommand(HOSTS[0]!), true);
  await pass(3000);
  t.equal(a.hosts.mayCommand(HOSTS[0]!), false);
  t.equal(a.hosts.metrics().ownership_given_back_total, 1);
});

t.test('one that joins gets its part, at most sixteen hosts a round', async (t) => {
  const { join, pass } = world();
  const a = await join('a');
  for (const host of HOSTS) {
    await a.hosts.admit(host, HELLO);
    a.connected.add(host);
  }
  await join('b');
  let before = 0;
  for (let second = 0; second < 60; second++) {
    await pass(1000);
    t.ok(a.redirected.size - before <= 16, `${a.redirected.size - before} in a second`);
    before = a.redirected.size;
  }
  t.ok(before > 8 && before < 32, `${before} of ${HOSTS.length} moved`);
  t.ok([...a.redirected.values()].every(({ url }) => url === 'ws://b'));
});

t.test('only what is ours is planned; the parts of a budget never exceed it', async (t) => {
  const snapshot = {
    hosts: [{ id: 'x' }, { id: 'y' }],
    vms: [
      { id: 1, host: 'x' },
      { id: 2, host: 'y' },
    ],
    recentChanges: [],
  } as never;
  t.match(
    ownedPart(snapshot, (host) => host === 'x'),
    { hosts: [{ id: 'x' }], vms: [{ id: 1 }] },
  );
  t.equal(
    ownedPart(snapshot, () => true),
    snapshot,
  );
  for (const members of [1, 2, 3, 7]) {
    const { blastRadius } = budgetShare(FLEET_DEFAULTS as FleetPolicy, members);
    t.ok(members * blastRadius.vmsPerPlan <= FLEET_DEFAULTS.blastRadius.vmsPerPlan);
    t.ok(members * blastRadius.vmsPerWindow <= FLEET_DEFAULTS.blastRadius.vmsPerWindow);
  }
});
