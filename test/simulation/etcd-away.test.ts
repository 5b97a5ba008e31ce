/**
 * Goal: what aggregators share is away for an hour: no command goes out, nothing shrinks, every row is still taken and stored;
 * when it is back the same owner goes on under a higher epoch, and what happened meanwhile is on record.
 */
import t from 'tap';
import { joinOwnership } from '../../aggregator/ownership/leased-ownership.ts';
import { MemoryLeases } from '../../aggregator/ownership/memory-lease-table.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import { NodeClock } from '../../simulation/clock.ts';
import { AggregatorWorld, DAY_MS } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const HOUR_MS = 3_600_000;
const POLICY = `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
  reserve: {memoryMiB: 512}
  blastRadius: {vmsPerPlan: 4, vmsPerHostPerPlan: 4, vmsPerWindow: 1000, window: 1m}
defaults:
  cpu: {mode: auto, enforcement: cap-always, violationBudget: 0.05, marginFraction: 0.1, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 5s, stepLimitShrinkFraction: 1, stepLimitGrowFraction: 10}
`;

/** Refuses as long as the table of leases does. */
function awayWith(ledger: LedgerStore, leases: MemoryLeases): LedgerStore {
  const guard = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (leases.away) throw new HeadroomError('UNAVAILABLE', 'the ledger does not answer');
      return call(...args);
    };
  };
  const { append, putAllocation, removeVm, putBlob, getBlob } = ledger;
  return {
    ...ledger,
    ...{ append: guard(append), putAllocation: guard(putAllocation), removeVm: guard(removeVm) },
    ...{ putBlob: guard(putBlob), getBlob: guard(getBlob) },
  };
}

t.test('an hour without etcd', async (t) => {
  const pulse = (atMs: number) => (atMs % DAY_MS < DAY_MS / 2 ? { cores: 1.2, memoryMiB: 600 } : { cores: 0.45, memoryMiB: 200 });
  const world = new AggregatorWorld([fakeVm(testVmId(1), 'vm-1', pulse)], POLICY);
  const leases = new MemoryLeases(new NodeClock(world.time));
  const clock = new NodeClock(world.time);
  const table = leases.tableOf('a');
  const log = createLogger(() => undefined, clock, 'error');
  const ownership = await joinOwnership({ table, clock, log, name: 'a', url: 'ws://127.0.0.1:1/v1/agents', leaseMs: 3000 });
  world.ledger = awayWith(world.ledger, leases);
  world.more = { ownership };
  await world.start();
  world.host.live();
  await world.run(4 * DAY_MS);
  const { host, aggregator } = world;
  const epochBefore = host.leases.at(-1)!.epoch;
  t.ok(host.commands.length > 4, `${host.commands.length} commands`);

  leases.away = true;
  await world.run(10_000);
  const [commands, granted, stored] = [host.commands.length, host.leases.length, aggregator.service.metrics().ingest_rows_stored_total!];
  const inForce = structuredClone(host.vms[0]!.cpu);
  await world.run(HOUR_MS);
  t.equal(host.commands.length, commands, 'no command');
  t.equal(host.leases.length, granted, 'no lease is renewed: the host goes on by its own fail-safe');
  t.same(host.vms[0]!.cpu, inForce, 'nothing shrinks');
  const during = aggregator.service.metrics();
  t.ok(
    during.ingest_rows_stored_total! - stored >= (2 * HOUR_MS) / 1000 - 10,
    `${during.ingest_rows_stored_total! - stored} rows were stored`,
  );
  t.equal(during.ownership_lapsed, 1);
  t.equal(host.connected, true);

  leases.away = false;
  await world.run(2 * DAY_MS);
  t.ok(host.commands.length > commands, 'it goes on');
  t.ok(host.leases.at(-1)!.epoch > epochBefore, 'under a higher epoch');
  t.equal((await world.ledger.verify()).ok, true);
  const outcomes = await world.ledger.entries({ kind: 'outcome', limit: 10_000 });
  t.equal(
    outcomes.filter(({ body }) => body.kind === 'outcome' && body.outcome === 'applied').length,
    host.commands.length,
    'every change is on record',
  );
});
