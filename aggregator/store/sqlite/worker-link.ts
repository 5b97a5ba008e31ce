/**
 * Calls into a store's worker thread. Input: an operation's name and its arguments. Output: its answer, or its
 * HeadroomError. When the worker dies, every open and later call rejects with STORE_UNAVAILABLE.
 */
import { type Transferable, Worker } from 'node:worker_threads';
import { type ErrorCode, errorText, HeadroomError } from '../../../shared/errors.ts';

/** Main thread → worker. */
export interface Call {
  id: number;
  operation: string;
  argument: unknown;
}

export interface ErrorParts {
  code: ErrorCode;
  message: string;
}

/** Worker → main thread; the answer to call 0 says that the store is open. */
export type Answer = { id: number; value: unknown } | { id: number; error: ErrorParts } | { report: string };

const OPENING = 0;

export class WorkerLink {
  readonly #worker: Worker;
  readonly #what: string;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #nextId = OPENING;
  #dead: HeadroomError | null = null;
  #closing = false;

  private constructor(worker: Worker, what: string, onReport: (message: string) => void) {
    this.#worker = worker;
    this.#what = what;
    worker.on('message', (answer: Answer) => ('report' in answer ? onReport(answer.report) : this.#settle(answer)));
    worker.on('error', (error) => this.#die(error));
    worker.on('exit', () => this.#die(null));
  }

  /** Starts the worker and waits until its store is open. Rejects with the worker's error when it cannot be opened. */
  static async open(url: URL, workerData: unknown, what: string, onReport: (message: string) => void): Promise<WorkerLink> {
    const link = new WorkerLink(new Worker(url, { workerData, name: what }), what, onReport);
    await link.#expect(link.#nextId++);
    return link;
  }

  call<T>(operation: string, argument: unknown, transfer: readonly Transferable[] = []): Promise<T> {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    try {
      this.#worker.postMessage({ id, operation, argument } satisfies Call, transfer);
    } catch (error) {
      // Functions and the like cannot cross to another thread.
      const problem = `${operation}: ${errorText(error)}; only plain data can be stored`;
      return Promise.reject(new HeadroomError('INVARIANT_BROKEN', problem, { cause: error }));
    }
    return this.#expect<T>(id);
  }

  /** Lets the worker finish what it was given, then ends it. */
  async close(): Promise<void> {
    if (this.#closing || this.#dead) return;
    const finished = this.call('close', null);
    this.#closing = true;
    try {
      await finished;
    } finally {
      await this.#worker.terminate();
    }
  }

  #expect<T>(id: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: never) => void, reject });
    });
  }

  #settle(answer: Exclude<Answer, { report: string }>): void {
    const waiting = this.#waiting.get(answer.id);
    if (!waiting) return;
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting.reject(new HeadroomError(answer.error.code, answer.error.message));
    else waiting.resolve(answer.value as never);
  }

  #die(error: unknown): void {
    if (this.#dead) return;
    const why = this.#closing ? 'it is closed' : error === null ? 'its thread ended' : errorText(error);
    this.#dead = new HeadroomError('STORE_UNAVAILABLE', `the ${this.#what} cannot be used: ${why}`, { cause: error });
    for (const { reject } of this.#waiting.values()) reject(this.#dead);
    this.#waiting.clear();
  }
}
