/**
 * Goal: whole simulated fleets under every fault break no invariant, converge once healed, and are put back by restore:
 * fixed seeds (also those that once broke), and a batch drawn anew each time, which prints what replays a failure.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { FAULT_KINDS } from '../../simulation/faults.ts';
import { type SimulationReport, World } from '../../simulation/world.ts';

interface Run {
  seed: number;
  hosts: number;
  vms: number;
  hours: number;
}

// The machine may be busy with real guests at the same time.
t.setTimeout(600_000);

const ALL = new Set(FAULT_KINDS);
const { runs } = JSON.parse(readFileSync(new URL('./regressions.json', import.meta.url), 'utf8')) as { runs: Run[] };
const RANDOM_RUNS = 3;

const simulate = (run: Run, faults = ALL): Promise<SimulationReport> => new World({ ...run, faults }).run();

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function replay({ seed, hosts, vms, hours }: Run): string {
  return `SEED=${seed} COMMIT=${commit()}: headroom simulate --seed ${seed} --hosts ${hosts} --vms ${vms} --hours ${hours} --faults all`;
}

function check(t: Test, run: Run, report: SimulationReport): void {
  t.same(report.brokenInvariants, [], replay(run));
  t.ok(report.converged, 'converged after healing');
  t.ok(report.restored, 'restore put everything back');
  t.equal(report.lintRejections, 0, 'the lint found nothing wrong with the plans');
}

for (const run of runs) {
  t.test(`seed ${run.seed}`, async (t) => {
    const report = await simulate(run);
    check(t, run, report);
    t.ok(report.changesApplied > 0, `${report.changesApplied} changes were applied`);
    for (const kind of ALL)
      if (kind !== 'lyingGuest') t.ok((report.faultsInjected[kind] ?? 0) > 0 || run.hours < 8, `${kind} was injected`);
  });
}

for (let i = 0; i < RANDOM_RUNS; i++) {
  const run = { seed: randomInt(2 ** 31), hosts: 2, vms: 8, hours: 5 };
  t.test(`random seed ${run.seed}`, async (t) => check(t, run, await simulate(run)));
}

t.test('the same seed gives the same run', async (t) => {
  const run = { seed: 5, hosts: 1, vms: 4, hours: 4 };
  t.same(await simulate(run), await simulate(run));
});

t.test('without faults nothing breaks, and plans are carried out as planned', async (t) => {
  const report = await simulate({ seed: 3, hosts: 1, vms: 6, hours: 6 }, new Set());
  t.same(report.brokenInvariants, []);
  t.ok(report.changesApplied > 0);
  t.equal(report.changesApplied, report.steps);
});
