/**
 * A pool of threads for heavy models, within a CPU budget: after each fit a thread rests until, over time, it has used its
 * share of a core. Fit requests and training sets in, what was learnt out. Requests wait in line, at most so many.
 */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { FitRequest, FitService } from '../core/forecast/fitted/fit.ts';
import type { LstmSeries } from '../core/forecast/lstm/lstm-inputs.ts';

export type FitJob = { kind: 'fit'; request: FitRequest } | { kind: 'train'; series: readonly LstmSeries[]; seed: number; batches: number };

export interface FitAnswer {
  learnt: Float64Array | Float32Array | null;
  cpuSeconds: number;
  /** What went wrong with the job itself. */
  error: string | null;
}

export interface FitPoolOptions {
  clock: Clock;
  threads: number;
  /** Cores a thread may use on average, 0..1. */
  cpuShare: number;
}

/** Requests that may wait: a fleet's owner asks for the next when one is done, so more means it lost count. */
const WAITING_MAX = 256;

interface Waiting {
  job: FitJob;
  resolve(answer: FitAnswer): void;
  reject(error: unknown): void;
}

export class FitPool implements FitService {
  readonly #options: FitPoolOptions;
  readonly #waiting: Waiting[] = [];
  readonly #threads: Promise<void>[] = [];
  readonly #workers = new Set<Worker>();
  #wake: (() => void)[] = [];
  #closed = false;
  readonly #closing = Promise.withResolvers<void>();

  constructor(options: FitPoolOptions) {
    this.#options = options;
    for (let i = 0; i < options.threads; i++) this.#threads.push(this.#run());
  }

  async fit(request: FitRequest): Promise<{ fit: Float64Array | null; cpuSeconds: number }> {
    const { learnt, cpuSeconds } = await this.#ask({ kind: 'fit', request });
    return { fit: learnt as Float64Array | null, cpuSeconds };
  }

  /** Weights of the network, null when no series is long enough. 1,000 batches take some ten seconds of CPU. */
  async train(series: readonly LstmSeries[], seed: number, batches: number): Promise<{ weights: Float32Array | null; cpuSeconds: number }> {
    const { learnt, cpuSeconds } = await this.#ask({ kind: 'train', series, seed, batches });
    return { weights: learnt as Float32Array | null, cpuSeconds };
  }

  #ask(job: FitJob): Promise<FitAnswer> {
    if (this.#closed) return Promise.reject(new HeadroomError('CANCELLED', 'the fit pool is closed'));
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new HeadroomError('UNAVAILABLE', `${WAITING_MAX} fits wait already; ask again when some are done`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject });
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** One thread's life: it is started with its first job, and anew after a crash. */
  async #run(): Promise<void> {
    const { clock, cpuShare } = this.#options;
    let worker: Worker | null = null;
    while (!this.#closed) {
      const next = this.#waiting.shift();
      if (!next) {
        await new Promise<void>((wake) => this.#wake.push(wake));
        continue;
      }
      const startedMs = clock.monotonicMs();
      try {
        worker ??= this.#start();
        const answer = await asked(worker, next.job);
        if (answer.error !== null) next.reject(new HeadroomError('ENVIRONMENT', `a fit failed: ${answer.error}`));
        else next.resolve(answer);
        const restMs = (answer.cpuSeconds * 1000) / cpuShare - (clock.monotonicMs() - startedMs);
        if (restMs > 0 && !this.#closed) await this.#rest(restMs);
      } catch (error) {
        next.reject(error);
        if (worker) this.#workers.delete(worker);
        await worker?.terminate();
        worker = null;
      }
    }
  }

  #start(): Worker {
    // The libraries tell of each failed optimisation; that is an answer without a path, and nothing for a log.
    const worker = new Worker(new URL('./fit-worker.ts', import.meta.url), { name: 'fit', stdout: true, stderr: true });
    worker.stdout.resume();
    worker.stderr.resume();
    worker.unref();
    this.#workers.add(worker);
    return worker;
  }

  /** Until the time is over or the pool is closed. */
  async #rest(restMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimeout(resolve, restMs);
    await Promise.race([promise, this.#closing.promise]);
    timer.cancel();
  }

  /** What waits is rejected; fits under way are given up. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.resolve();
    for (const { reject } of this.#waiting.splice(0)) reject(new HeadroomError('CANCELLED', 'the fit pool is closed'));
    await Promise.all([...this.#workers].map((worker) => worker.terminate()));
    for (const wake of this.#wake.splice(0)) wake();
    await Promise.all(this.#threads);
  }
}

function asked(worker: Worker, job: FitJob): Promise<FitAnswer> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      worker.off('message', answered).off('error', failed).off('exit', left);
    };
    const answered = (answer: FitAnswer): void => {
      end();
      resolve(answer);
    };
    const failed = (error: unknown): void => {
      end();
      reject(new HeadroomError('ENVIRONMENT', 'the thread that fits models has failed', { cause: error }));
    };
    const left = (): void => {
      end();
      reject(new HeadroomError('CANCELLED', 'the thread that fits models has ended'));
    };
    worker.on('message', answered).on('error', failed).on('exit', left);
    worker.postMessage(job);
  });
}
