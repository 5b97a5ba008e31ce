/**
 * What every Ownership must do, run against each adapter. `open` answers another aggregator of the same fleet; `several`
 * says whether there can be more than one; `lapse` lets one's lease end as if its process had been killed, and waits for it.
 */
import type { Test } from 'tap';
import type { Claim, Ownership } from '../../aggregator/ownership/ownership.ts';
import { type HostId, hostId } from '../../shared/ids.ts';

export interface OwnershipAdapter {
  /** A fleet of its own for each test. */
  fleet(): Promise<OwnershipFleet>;
  several: boolean;
}

export interface OwnershipFleet {
  join(name: string): Promise<Ownership>;
  /** Everyone has heard of everyone. */
  settle(): Promise<void>;
  /** Cuts one off from the others until its leases have ended, as they see it. */
  lapse(name: string): Promise<void>;
  close(): Promise<void>;
}

const HOSTS = Array.from({ length: 12 }, (_, i) => hostId(`kvm${i}`));

export const epochIn = (claim: Claim): number => (claim.kind === 'held' ? claim.epoch : Number.NaN);

export function ownershipContract(t: Test, adapter: OwnershipAdapter): void {
  const withFleet = (name: string, run: (t: Test, fleet: OwnershipFleet) => Promise<void>): void => {
    t.test(name, async (t) => {
      const fleet = await adapter.fleet();
      t.teardown(() => fleet.close());
      await run(t, fleet);
    });
  };

  withFleet('one alone gets every host it asks for, with an epoch, and the fleet', async (t, fleet) => {
    const a = await fleet.join('a');
    await fleet.settle();
    t.same(
      a.members().map(({ name }) => name),
      ['a'],
    );
    for (const host of HOSTS) {
      const epoch = epochIn(await a.claim(host));
      t.ok(epoch >= 1);
      t.equal(a.epochOf(host), epoch);
      t.equal(epochIn(await a.claim(host)), epoch, 'a claim of what is held changes nothing');
    }
    t.ok((a.fleetEpoch() ?? 0) >= 1);
    t.same(a.misplaced(10), []);
  });

  withFleet('who has closed holds nothing', async (t, fleet) => {
    const a = await fleet.join('a');
    await a.claim(HOSTS[0]!);
    await a.close();
    t.equal(a.epochOf(HOSTS[0]!), null);
    t.equal(a.fleetEpoch(), null);
    t.equal((await a.claim(HOSTS[0]!)).kind, 'unknown');
  });

  if (!adapter.several) return;

  const owners = (all: readonly Ownership[], host: HostId): Ownership[] => all.filter((each) => each.epochOf(host) !== null);
  /** Each host asks as its agent would: wherever it is sent. */
  const settleHost = async (all: readonly Ownership[], host: HostId): Promise<Ownership> => {
    let at = all[0]!;
    for (let i = 0; i < 10; i++) {
      const claim = await at.claim(host);
      if (claim.kind === 'held') return at;
      if (claim.kind === 'elsewhere') at = all.find(({ name }) => name === claim.owner.name)!;
    }
    throw new Error(`${host} finds no owner`);
  };

  withFleet('every host finds one owner, wherever it asks first', async (t, fleet) => {
    const all = [await fleet.join('a'), await fleet.join('b'), await fleet.join('c')];
    await fleet.settle();
    const names = new Set<string>();
    for (const host of HOSTS) {
      const owner = await settleHost(all, host);
      names.add(owner.name);
      t.same(owners(all, host), [owner]);
      for (const other of all.filter((each) => each !== owner)) {
        t.match(await other.claim(host), { kind: 'elsewhere', owner: { name: owner.name } });
        t.match(await other.claim(host, { here: true }), { kind: 'elsewhere', owner: { name: owner.name } }, 'what is taken stays taken');
      }
    }
    t.equal(names.size, 3, 'they share the hosts');
    t.equal(all.filter((each) => each.fleetEpoch() !== null).length, 1, 'one decides for the fleet');
  });

  withFleet('two that claim at once do not both get it', async (t, fleet) => {
    const all = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    for (const host of HOSTS) {
      const claims = await Promise.all(all.map((each) => each.claim(host, { here: true })));
      t.equal(claims.filter(({ kind }) => kind === 'held').length, 1);
      t.equal(owners(all, host).length, 1);
    }
  });

  withFleet('hundreds that are claimed, given back and claimed by another at once go each their own way', async (t, fleet) => {
    const [a, b] = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    const many = Array.from({ length: 250 }, (_, i) => hostId(`many${i}`));
    const first = new Map<HostId, number>();
    const claims = await Promise.all(many.map((host, i) => (i % 3 === 0 ? b : a).claim(host, { here: true })));
    for (const [i, claim] of claims.entries()) first.set(many[i]!, epochIn(claim));
    t.ok(claims.every(({ kind }) => kind === 'held'));
    const ofA = many.filter((host) => a.epochOf(host) !== null);
    t.equal(ofA.length, 166);
    const others = await Promise.all(many.map((host) => b.claim(host, { here: true })));
    t.same(
      others.map((claim) => (claim.kind === 'held' ? 'b' : claim.kind === 'elsewhere' ? claim.owner.name : '')),
      many.map((_, i) => (i % 3 === 0 ? 'b' : 'a')),
      'what is taken stays taken',
    );
    await Promise.all(ofA.map((host) => a.release(host)));
    b.want(new Map(ofA.map((host) => [host, 'a'])));
    await fleet.settle();
    const again = await Promise.all(ofA.map((host) => b.claim(host, { here: true })));
    for (const [i, claim] of again.entries()) t.ok(epochIn(claim) > first.get(ofA[i]!)!, `${ofA[i]}`);
  });

  withFleet('given back, it is free, and the next epoch is above', async (t, fleet) => {
    const [a, b] = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    const host = HOSTS[0]!;
    const first = epochIn(await a.claim(host, { here: true }));
    await a.release(host);
    t.equal(a.epochOf(host), null);
    const second = epochIn(await b.claim(host, { here: true }));
    t.ok(second > first, `${second} > ${first}`);
    await b.release(host);
    t.ok(epochIn(await a.claim(host, { here: true })) > second);
  });

  withFleet('an owner hears who waits for its hosts, whoever waits hears when one is given up, and both forget it', async (t, fleet) => {
    const [a, b] = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    const host = HOSTS[0]!;
    const first = epochIn(await a.claim(host, { here: true }));
    t.match(await b.claim(host, { here: true }), { kind: 'elsewhere' });
    const asked: string[] = [];
    let free = 0;
    a.onWanted((hosts) => asked.push(...hosts));
    b.onFree(() => free++);
    b.want(
      new Map([
        [host, 'a'],
        [HOSTS[1]!, 'c'],
      ]),
    );
    await fleet.settle();
    t.same([...new Set(asked)], [host], 'what is thought to be another owner’s is not asked of it');
    t.equal(a.epochOf(host), first, 'it may keep it');
    free = 0;
    await a.release(host);
    await fleet.settle();
    t.ok(free > 0);
    t.ok(epochIn(await b.claim(host, { here: true })) > first, 'what was known of its owner is no longer believed');
    b.want(new Map());
    await fleet.settle();
    asked.length = 0;
    await fleet.settle();
    t.same(asked, []);
  });

  withFleet('while a host is being given back it is not ours to claim again', async (t, fleet) => {
    const [a, b] = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    for (const host of HOSTS) {
      const first = epochIn(await a.claim(host, { here: true }));
      const released = a.release(host);
      t.equal((await a.claim(host, { here: true })).kind, 'unknown');
      await released;
      const claims = await Promise.all([a.claim(host, { here: true }), a.claim(host, { here: true }), b.claim(host, { here: true })]);
      const epochs = claims.flatMap((claim) => (claim.kind === 'held' ? [claim.epoch] : []));
      t.equal(new Set(epochs).size, 1);
      t.ok(epochs[0]! > first);
      t.equal(owners([a, b], host).length, 1);
    }
  });

  withFleet('whose lease ended holds nothing by its own clock before another gets it, with a higher epoch', async (t, fleet) => {
    const [a, b] = [await fleet.join('a'), await fleet.join('b')];
    await fleet.settle();
    const lost: string[] = [];
    a.onLost((hosts) => lost.push(...hosts));
    const firsts = new Map<HostId, number>();
    for (const host of HOSTS) firsts.set(host, epochIn(await a.claim(host, { here: true })));
    await fleet.lapse('a');
    for (const host of HOSTS) t.equal(a.epochOf(host), null);
    t.equal(a.fleetEpoch(), null);
    t.same(lost.sort(), [...HOSTS].sort());
    await fleet.settle();
    t.same(
      b.members().map(({ name }) => name),
      ['b'],
    );
    for (const host of HOSTS) t.ok(epochIn(await b.claim(host)) > firsts.get(host)!);
    t.ok((b.fleetEpoch() ?? 0) > 0, 'and the fleet has one who decides');
  });
}
