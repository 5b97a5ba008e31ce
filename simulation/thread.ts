/**
 * A simulated fleet in a thread of its own, for the size of its nursery: a simulation leaves much behind that is soon garbage,
 * and a large one saves a tenth of its time. Input: what to run; output: progress, and the report. Rejects with what ended the run.
 */
import { Worker } from 'node:worker_threads';
import type { PaceName } from './paces.ts';
import type { SimulationOptions, SimulationReport } from './world.ts';

export type ThreadRun = Pick<SimulationOptions, 'seed' | 'hosts' | 'vms' | 'hours' | 'faults'> & {
  /** Absent: by the run's size. */
  pace?: PaceName | undefined;
};

/** What the thread says: hours simulated so far, at last the report. */
export type ThreadWord = { hours: number } | { report: SimulationReport };

/** A fleet of hundreds of VMs lives in some hundred MiB; the ledger of a fleet-year needs more. */
const LIMITS = { maxYoungGenerationSizeMb: 192, maxOldGenerationSizeMb: 8192 };

export function simulateInThread(run: ThreadRun, onProgress: (hours: number) => void): Promise<SimulationReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./thread-worker.ts', import.meta.url), { workerData: run, resourceLimits: LIMITS });
    worker.on('message', (word: ThreadWord) => ('report' in word ? resolve(word.report) : onProgress(word.hours)));
    worker.on('error', reject);
  });
}
