/**
 * Goal: a hundred fleets of twelve hours, in days of two, sampled and planned once a minute, break no invariant under
 * every fault, converge once healed, and are put back by restore. What fails prints what replays it.
 */
import { availableParallelism } from 'node:os';
import t from 'tap';
import { type FleetRun, replayOf, simulateSeeds, whatIsWrong } from '../support/simulate-seeds.ts';

t.setTimeout(900_000);

const RUNS = Array.from({ length: 100 }, (_, i): FleetRun => ({ seed: 1000 + i, hosts: 4, vms: 40, hours: 12, pace: 'short-days' }));
/** Each takes some hundred MiB. */
const THREADS_MAX = 4;

t.test('a hundred fleets', async (t) => {
  let changes = 0;
  for await (const done of simulateSeeds(RUNS, Math.min(THREADS_MAX, availableParallelism()))) {
    t.equal(whatIsWrong(done), null, `SEED=${done.run.seed}: ${replayOf(done.run)}`);
    if (!('error' in done.report)) changes += done.report.changesApplied;
  }
  t.ok(changes > RUNS.length * 100, `${changes} changes were applied`);
});
