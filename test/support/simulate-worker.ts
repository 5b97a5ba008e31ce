/** One thread that simulates fleets, seed after seed. Input: what to run, as messages; output: reports with the CPU they took. */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../shared/assert.ts';
import { errorText } from '../../shared/errors.ts';
import { FAULT_KINDS } from '../../simulation/faults.ts';
import { PACES } from '../../simulation/paces.ts';
import { World } from '../../simulation/world.ts';
import type { FleetRun, SeedReport } from './simulate-seeds.ts';

assert(parentPort !== null, 'simulate-worker.ts runs in a thread');
const port = parentPort;

port.on('message', async (run: FleetRun) => {
  const before = process.threadCpuUsage();
  let report: SeedReport['report'];
  try {
    const paces = run.pace && PACES[run.pace];
    report = await new World({ ...run, paces, faults: new Set(FAULT_KINDS) }).run();
  } catch (error) {
    report = { error: errorText(error) };
  }
  const { user, system } = process.threadCpuUsage(before);
  port.postMessage({ run, report, cpuSeconds: (user + system) / 1e6 } satisfies SeedReport);
});
