/**
 * Many seeds of simulated fleets, in as many threads as asked. Input: runs; output: a report each, as they end, and what is
 * wrong with one, in words.
 */
import { Worker } from 'node:worker_threads';
import type { PaceName } from '../../simulation/paces.ts';
import type { SimulationReport } from '../../simulation/world.ts';

export interface FleetRun {
  seed: number;
  hosts: number;
  vms: number;
  hours: number;
  /** Absent: by the run's size. */
  pace?: PaceName;
}

export interface SeedReport {
  run: FleetRun;
  report: SimulationReport | { error: string };
  cpuSeconds: number;
}

/** Simulations leave much behind that is soon garbage: a large nursery saves a tenth of their time. */
const LIMITS = { maxYoungGenerationSizeMb: 128, maxOldGenerationSizeMb: 2048 };

/** Rejects only when a thread itself fails. Runs begin in order and end in any. */
export async function* simulateSeeds(runs: readonly FleetRun[], threads: number): AsyncGenerator<SeedReport> {
  const waiting = [...runs];
  const underWay = new Map<Worker, Promise<{ worker: Worker; done: SeedReport }>>();
  const next = (worker: Worker): void => {
    const run = waiting.shift();
    if (run === undefined) {
      underWay.delete(worker);
      return;
    }
    const answer = new Promise<{ worker: Worker; done: SeedReport }>((resolve, reject) => {
      worker.removeAllListeners();
      worker.once('message', (done: SeedReport) => resolve({ worker, done }));
      worker.once('error', reject);
    });
    underWay.set(worker, answer);
    worker.postMessage(run);
  };
  const workers = Array.from(
    { length: Math.min(threads, runs.length) },
    () => new Worker(new URL('./simulate-worker.ts', import.meta.url), { resourceLimits: LIMITS }),
  );
  try {
    for (const worker of workers) next(worker);
    while (underWay.size > 0) {
      const { worker, done } = await Promise.race(underWay.values());
      next(worker);
      yield done;
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Null: nothing broke, and all was put back. */
export function whatIsWrong({ report }: Pick<SeedReport, 'report'>): string | null {
  if ('error' in report) return report.error;
  const { brokenInvariants, converged, restored, lintRejections } = report;
  const wrong = brokenInvariants.map(({ rule, message }) => `${rule}: ${message}`);
  if (!converged) wrong.push('did not converge after healing');
  if (!restored) wrong.push('restore did not put everything back');
  if (lintRejections > 0) wrong.push(`the lint struck out ${lintRejections} steps`);
  return wrong.length === 0 ? null : wrong.join('; ');
}

export const replayOf = ({ seed, hosts, vms, hours, pace }: FleetRun): string =>
  `headroom simulate --seed ${seed} --hosts ${hosts} --vms ${vms} --hours ${hours} --faults all${pace === undefined ? '' : ` --pace ${pace}`}`;
