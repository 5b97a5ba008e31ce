/**
 * The thread in which heavy models are fitted and the network is trained. Messages in: a fit request, or series and a seed;
 * out: what was learnt and the CPU seconds of this thread it took. It keeps nothing between messages.
 */
import { parentPort } from 'node:worker_threads';
import { assert } from '../../shared/assert.ts';
import { errorText } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import { trainLstm } from '../core/forecast/lstm/lstm-training.ts';
import type { FitAnswer, FitJob } from './fit-pool.ts';
import { fitInPlace } from './fitters.ts';

const port = parentPort;
assert(port !== null, 'fit-worker.ts runs as a worker thread');

function learnt(job: FitJob): Float64Array | Float32Array | null {
  if (job.kind === 'fit') return fitInPlace(job.request);
  return trainLstm(job.series, createPrng(job.seed, 'lstm'), job.batches);
}

port.on('message', (job: FitJob) => {
  const before = process.threadCpuUsage();
  const answer: FitAnswer = { learnt: null, cpuSeconds: 0, error: null };
  try {
    answer.learnt = learnt(job);
  } catch (error) {
    answer.error = errorText(error);
  }
  const { user, system } = process.threadCpuUsage(before);
  answer.cpuSeconds = (user + system) / 1e6;
  port.postMessage(answer);
});
