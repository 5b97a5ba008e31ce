/** Goal: ownership over a real etcd keeps the seam's contract, on a real clock. */
import t from 'tap';
import { connectEtcd, type EtcdConnection } from '../../aggregator/etcd/connection.ts';
import { etcdLeaseTable } from '../../aggregator/etcd/etcd-lease-table.ts';
import type { LeaseTable } from '../../aggregator/ownership/lease-table.ts';
import { joinOwnership } from '../../aggregator/ownership/leased-ownership.ts';
import type { Ownership } from '../../aggregator/ownership/ownership.ts';
import { sleep, systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import { startEtcd } from '../support/etcd.ts';
import { leaseTableContract } from './lease-table-contract.ts';
import { type OwnershipFleet, ownershipContract } from './ownership-contract.ts';

/** The least that etcd grants, so that the tests need not wait long for its end. */
const LEASE_MS = 2000;

const etcd = await startEtcd();
t.teardown(() => etcd.stop());
let fleets = 0;

/** Answers like a table that cannot be reached once it is cut. */
function cuttable(table: LeaseTable): { table: LeaseTable; cut: () => void } {
  let away = false;
  const guard = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (away) throw new HeadroomError('UNAVAILABLE', 'cut off');
      return call(...args);
    };
  };
  const { grant, renew, revoke, take, free, put, get, list } = table;
  return {
    table: {
      ...{ grant: guard(grant), renew: guard(renew), revoke: guard(revoke), take: guard(take) },
      ...{ free: guard(free), put: guard(put), get: guard(get), list: guard(list) },
    },
    cut: () => {
      away = true;
    },
  };
}

async function fleet(): Promise<OwnershipFleet> {
  const prefix = `headroom-${++fleets}/`;
  const joined: { ownership: Ownership; connection: EtcdConnection }[] = [];
  const cuts = new Map<string, () => void>();
  return {
    async join(name) {
      const connection = connectEtcd({ endpoints: etcd.endpoints });
      const { table, cut } = cuttable(etcdLeaseTable(connection, prefix));
      cuts.set(name, cut);
      const url = `ws://127.0.0.1:1/${name}`;
      const ownership = await joinOwnership({
        table,
        clock: systemClock,
        log: createLogger(() => undefined, systemClock, 'error'),
        name,
        url,
        leaseMs: LEASE_MS,
      });
      joined.push({ ownership, connection });
      return ownership;
    },
    settle: () => sleep(systemClock, LEASE_MS / 2),
    async lapse(name) {
      cuts.get(name)!();
      // etcd looks for leases that have ended twice a second.
      await sleep(systemClock, LEASE_MS + 1200);
    },
    async close() {
      for (const { ownership, connection } of joined) {
        await ownership.close();
        connection.close();
      }
    },
  };
}

const ownConnection = connectEtcd({ endpoints: etcd.endpoints });
t.teardown(() => ownConnection.close());
leaseTableContract(t, () => etcdLeaseTable(ownConnection, 'table/'));
ownershipContract(t, { several: true, fleet });

t.test('a lease that has ended costs nothing but what was asked under it, though all was asked at once', async (t) => {
  const connection = connectEtcd({ endpoints: etcd.endpoints });
  t.teardown(() => connection.close());
  const table = etcdLeaseTable(connection, 'together/');
  const [ended, lives] = [await table.grant(LEASE_MS), await table.grant(LEASE_MS)];
  await table.revoke(ended);
  const before = await table.take(lives, 'hosts/before', 'b');
  const [late, taken, freed, read] = await Promise.allSettled([
    table.take(ended, 'hosts/one', 'a'),
    table.take(lives, 'hosts/two', 'b'),
    table.free('hosts/before', before.entry.revision),
    table.get('hosts/before'),
  ]);
  t.match(late, { status: 'rejected', reason: { code: 'LEASE_EXPIRED' } });
  t.match(taken, { status: 'fulfilled', value: { mine: true } });
  t.equal(freed.status, 'fulfilled');
  t.equal(read.status, 'fulfilled');
  t.equal(await table.get('hosts/before'), null);
  t.equal((await table.get('hosts/two'))?.value, 'b');
});
