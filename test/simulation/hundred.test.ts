/**
 * Goal: half a day of a hundred fleets of 4 hosts and 40 VMs under every fault, as coarse as fleet-years: no invariant broken,
 * converged once healed, all put back by restore. The seeds are the first hundred, whatever they bring; a failure prints what
 * replays it.
 */
import { availableParallelism, setPriority } from 'node:os';
import t from 'tap';
import { FAULT_KINDS } from '../../simulation/faults.ts';
import { type FleetRun, replayOf, simulateSeeds, whatIsWrong } from '../support/simulate-seeds.ts';

// Minutes of nothing but work: what else is tested meanwhile goes first, and its clock is not slowed by this.
t.setTimeout(1_800_000);
setPriority(10);

const RUNS = Array.from({ length: 100 }, (_, i): FleetRun => ({ seed: i + 1, hosts: 4, vms: 40, hours: 12, pace: 'short-days' }));
/** Each takes some hundred MiB. */
const THREADS_MAX = 4;
/** Of a fleet's changes in half a day: far fewer would mean that hardly anything was put to the test. */
const CHANGES_MEAN_MIN = 300;

t.test('a hundred fleets', async (t) => {
  const injected = new Map<string, number>();
  let [changes, cpuTotal] = [0, 0];
  for await (const done of simulateSeeds(RUNS, Math.min(THREADS_MAX, availableParallelism()))) {
    const { run, report, cpuSeconds } = done;
    t.equal(whatIsWrong(done), null, `seed ${run.seed} in ${cpuSeconds.toFixed(1)} s: ${replayOf(run)}`);
    cpuTotal += cpuSeconds;
    if ('error' in report) continue;
    changes += report.changesApplied;
    for (const [kind, count] of Object.entries(report.faultsInjected)) injected.set(kind, (injected.get(kind) ?? 0) + count);
  }
  t.comment(`${cpuTotal.toFixed(0)} s of CPU, ${changes} changes applied`);
  t.ok(changes > CHANGES_MEAN_MIN * RUNS.length, `${changes} changes applied`);
  for (const kind of FAULT_KINDS) t.ok((injected.get(kind) ?? 0) > RUNS.length / 2, `${kind} was injected ${injected.get(kind)} times`);
});
