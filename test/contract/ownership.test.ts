/** Goal: the one aggregator's ownership, and several aggregators' over a table in memory, keep the seam's contract. */
import t from 'tap';
import { joinOwnership, type LeasedOwnership } from '../../aggregator/ownership/leased-ownership.ts';
import { MemoryLeases } from '../../aggregator/ownership/memory-lease-table.ts';
import { soleOwnership } from '../../aggregator/ownership/sole-ownership.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { leaseTableContract } from './lease-table-contract.ts';
import { epochIn, ownershipContract } from './ownership-contract.ts';

const LEASE_MS = 3000;

t.test('sole', async (t) => {
  ownershipContract(t, {
    several: false,
    fleet: async () => ({
      join: async (name) => soleOwnership(1, name),
      settle: async () => undefined,
      lapse: async () => undefined,
      close: async () => undefined,
    }),
  });
});

function memoryFleet() {
  const time = new SimulatedTime(createPrng(5), Date.UTC(2026, 0, 1));
  const leases = new MemoryLeases(new NodeClock(time));
  const joined: LeasedOwnership[] = [];
  const pass = (ms: number): Promise<void> => time.runUntil(time.nowMs + ms);
  return {
    time,
    leases,
    pass,
    async join(name: string, table = leases.tableOf(name)) {
      const clock = new NodeClock(time);
      const each = await joinOwnership({
        ...{ table, clock, log: createLogger(() => undefined, clock, 'error'), name },
        ...{ url: `ws://127.0.0.1:1/${name}`, leaseMs: LEASE_MS },
      });
      joined.push(each);
      return each;
    },
    settle: () => pass(LEASE_MS),
    async lapse(name: string) {
      leases.cut(name, true);
      await pass(LEASE_MS + 1);
    },
    async close() {
      for (const each of joined) await each.close();
    },
  };
}

t.test('leased, in memory', async (t) => {
  leaseTableContract(t, () => memoryFleet().leases.tableOf('a'));
  ownershipContract(t, { several: true, fleet: async () => memoryFleet() });
});

t.test('a table that is away for less than a lease costs nothing but decisions meanwhile', async (t) => {
  const fleet = memoryFleet();
  const a = await fleet.join('a');
  const host = hostId('kvm1');
  const epoch = epochIn(await a.claim(host));
  fleet.leases.away = true;
  await fleet.pass(0.8 * LEASE_MS);
  t.equal(a.epochOf(host), epoch);
  await fleet.pass(0.15 * LEASE_MS);
  t.equal(a.epochOf(host), null, 'before the table could end it');
  fleet.leases.away = false;
  await fleet.pass(0.3 * LEASE_MS);
  t.equal(a.metrics().ownership_leases_lost_total, 1, 'the table ended it meanwhile');
  t.ok(epochIn(await a.claim(host)) > epoch);
});

t.test('a host that was taken for us with the answer lost is ours when we look again, whoever should have it', async (t) => {
  const fleet = memoryFleet();
  const [table, lost] = [fleet.leases.tableOf('a'), new Set<string>()];
  const a = await fleet.join('a', {
    ...table,
    async take(lease, key, value) {
      const taken = await table.take(lease, key, value);
      if (!key.startsWith('hosts/') || lost.has(key)) return taken;
      lost.add(key);
      throw new HeadroomError('UNAVAILABLE', 'the answer was lost');
    },
  });
  const b = await fleet.join('b');
  await fleet.settle();
  for (let i = 0; i < 12; i++) {
    const host = hostId(`kvm${i}`);
    t.equal((await a.claim(host, { here: true })).kind, 'unknown');
    t.match(await b.claim(host), { kind: 'elsewhere', owner: { name: 'a' } });
    t.equal((await a.claim(host)).kind, 'held', 'and not another’s, nor our own to be sent to');
  }
});

t.test('a host that the table has as ours, and we do not, is freed for whoever waits for it', async (t) => {
  const fleet = memoryFleet();
  const table = fleet.leases.tableOf('a');
  let heard = false;
  const a = await fleet.join('a', {
    ...table,
    async free(key, revision) {
      if (!heard) throw new HeadroomError('UNAVAILABLE', 'not heard');
      await table.free(key, revision);
    },
  });
  const b = await fleet.join('b');
  await fleet.settle();
  const host = hostId('kvm1');
  const epoch = epochIn(await a.claim(host, { here: true }));
  await t.rejects(a.release(host), { code: 'UNAVAILABLE' });
  b.want(new Map([[host, 'a']]));
  await fleet.settle();
  t.match(await b.claim(host, { here: true }), { kind: 'elsewhere' }, 'as long as that fails');
  heard = true;
  await fleet.settle();
  t.ok(epochIn(await b.claim(host, { here: true })) > epoch);
});

t.test('a second of the same name waits for the lease of the first to end', async (t) => {
  const fleet = memoryFleet();
  await fleet.join('a');
  await t.rejects(fleet.join('a'), { code: 'UNAVAILABLE', message: /another aggregator is called "a"/ });
});

t.test('hosts move for balance only when members stay the same for a while, a few a round', async (t) => {
  const fleet = memoryFleet();
  const a = await fleet.join('a');
  for (let i = 0; i < 20; i++) await a.claim(hostId(`kvm${i}`));
  await fleet.join('b');
  await fleet.settle();
  t.same(a.misplaced(5), []);
  await fleet.pass(11 * LEASE_MS);
  const moves = a.misplaced(3);
  t.equal(moves.length, 3);
  t.ok(moves.every(({ to }) => to.name === 'b'));
  const all = a.misplaced(100).length;
  t.ok(all > 3 && all < 20, `${all} of 20`);
});
