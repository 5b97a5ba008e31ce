/**
 * Goal: whole simulated fleets under every fault break no invariant, converge once healed, and are put back by restore:
 * fixed seeds (also those that once broke, and some of half a day), and a batch drawn anew each time, which prints what
 * replays a failure. `npm run soak -- simulate` runs the many there is no time for here.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import t from 'tap';
import { FAULT_KINDS } from '../../simulation/faults.ts';
import { type SimulationReport, World } from '../../simulation/world.ts';
import { type FleetRun, replayOf, simulateSeeds, whatIsWrong } from '../support/simulate-seeds.ts';

// The machine may be busy with real guests at the same time.
t.setTimeout(900_000);

const { runs: regressions } = JSON.parse(readFileSync(new URL('./regressions.json', import.meta.url), 'utf8')) as { runs: FleetRun[] };
/** Of the size that the long run takes a hundred of. */
const HALF_DAYS = [1, 2].map((seed): FleetRun => ({ seed, hosts: 4, vms: 40, hours: 12 }));
const DRAWN = Array.from({ length: 3 }, (): FleetRun => ({ seed: randomInt(2 ** 31), hosts: 2, vms: 8, hours: 5 }));
/** Each takes some hundred MiB. */
const THREADS_MAX = 4;

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

t.test('fleets under every fault', async (t) => {
  const threads = Math.min(THREADS_MAX, availableParallelism());
  const injected = new Map<string, number>();
  for await (const done of simulateSeeds([...HALF_DAYS, ...regressions, ...DRAWN], threads)) {
    const { run, report, cpuSeconds } = done;
    const wrong = whatIsWrong(done);
    t.equal(wrong, null, `seed ${run.seed} in ${cpuSeconds.toFixed(1)} s; SEED=${run.seed} COMMIT=${commit()}: ${replayOf(run)}`);
    if ('error' in report) continue;
    // A small fleet drawn by chance may have nothing to do.
    if (!DRAWN.some(({ seed }) => seed === run.seed)) t.ok(report.changesApplied > 0, `${report.changesApplied} changes were applied`);
    for (const [kind, count] of Object.entries(report.faultsInjected)) injected.set(kind, (injected.get(kind) ?? 0) + count);
  }
  for (const kind of FAULT_KINDS) t.ok((injected.get(kind) ?? 0) > 0, `${kind} was injected ${injected.get(kind)} times`);
});

const simulate = (run: FleetRun, faults: ReadonlySet<(typeof FAULT_KINDS)[number]>): Promise<SimulationReport> =>
  new World({ ...run, faults }).run();

t.test('the same seed gives the same run', async (t) => {
  const run = { seed: 5, hosts: 1, vms: 4, hours: 4 };
  t.same(await simulate(run, new Set(FAULT_KINDS)), await simulate(run, new Set(FAULT_KINDS)));
});

t.test('without faults nothing breaks, and plans are carried out as planned', async (t) => {
  const report = await simulate({ seed: 3, hosts: 1, vms: 6, hours: 6 }, new Set());
  t.same(report.brokenInvariants, []);
  t.ok(report.changesApplied > 0);
  t.equal(report.changesApplied, report.steps);
});
