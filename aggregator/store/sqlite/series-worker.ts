/**
 * The thread of the embedded series store. Input: calls of SqliteSeriesStore. Output: their answers. Appends that arrive
 * within one group window are committed together and answered together; background work runs in small steps between
 * messages, and long queries yield between subjects, so that neither holds up an acknowledgement for long.
 */
import { setImmediate } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { systemClock } from '../../../shared/clock.ts';
import type { Subject } from '../../../shared/telemetry.ts';
import type { SeriesQuery, SeriesQueryMany, SeriesResult } from '../series-store.ts';
import { lockDirectory } from './directory-lock.ts';
import { SeriesCore } from './series-core.ts';
import type { SeriesOptions } from './series-options.ts';
import type { Call } from './worker-link.ts';
import { openPort, type WorkerPort } from './worker-port.ts';

export interface SeriesWorkerData {
  directory: string;
  options: SeriesOptions;
  groupMs: number;
  nowMs: number;
}

export interface AppendCall {
  bytes: Uint8Array<ArrayBuffer>;
  nowMs: number;
}

/** A group this large is committed without waiting for more. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;
/** Subjects answered between two looks at the messages that wait. */
const SUBJECTS_PER_TURN = 50;

class SeriesThread {
  readonly #core: SeriesCore;
  readonly #port: WorkerPort;
  readonly #release: () => void;
  readonly #groupMs: number;
  #group: { id: number; bytes: Uint8Array }[] = [];
  #groupBytes = 0;
  #groupTimer = false;
  #lastCommitMs = Number.NEGATIVE_INFINITY;
  #nowMs: number;
  #working = false;
  #worked: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(core: SeriesCore, port: WorkerPort, release: () => void, data: SeriesWorkerData) {
    this.#core = core;
    this.#port = port;
    this.#release = release;
    this.#groupMs = data.groupMs;
    this.#nowMs = data.nowMs;
    port.onCall((call) => void this.#handle(call));
  }

  async #handle({ id, operation, argument }: Call): Promise<void> {
    try {
      if (operation === 'append') this.#collect(id, argument as AppendCall);
      else await this.#answer(id, operation, argument);
    } catch (error) {
      this.#port.fail(id, error);
    }
  }

  async #answer(id: number, operation: string, argument: unknown): Promise<void> {
    switch (operation) {
      case 'query': {
        const result = this.#core.query(argument as SeriesQuery);
        return this.#port.answer(id, result, buffersOf([result]));
      }
      case 'queryMany': {
        const results = await this.#queryMany(argument as SeriesQueryMany);
        return this.#port.answer(id, results, buffersOf(results));
      }
      case 'last': {
        const { withinMs, nowMs, subjects } = argument as { withinMs: number; nowMs: number; subjects?: Subject[] };
        return this.#port.answer(id, this.#core.last(withinMs, nowMs, subjects));
      }
      case 'subjects':
        return this.#port.answer(id, this.#core.subjects());
      case 'maintain':
        this.#nowMs = argument as number;
        await this.#work();
        this.#core.maintain(this.#nowMs);
        return this.#port.answer(id, null);
      case 'status':
        return this.#port.answer(id, this.#core.status());
      default:
        this.#commit();
        this.#closed = true;
        this.#core.close();
        this.#release();
        return this.#port.answer(id, null);
    }
  }

  #collect(id: number, { bytes, nowMs }: AppendCall): void {
    this.#nowMs = nowMs;
    this.#group.push({ id, bytes });
    this.#groupBytes += bytes.length;
    if (this.#groupBytes >= GROUP_BYTES_MAX) this.#commit();
    else if (!this.#groupTimer) {
      this.#groupTimer = true;
      // After a quiet time the first rows need not wait: the window only spaces commits.
      const waitMs = Math.max(0, this.#lastCommitMs + this.#groupMs - systemClock.monotonicMs());
      systemClock.setTimeout(() => {
        this.#groupTimer = false;
        this.#commit();
      }, waitMs);
    }
  }

  #commit(): void {
    const group = this.#group;
    if (group.length === 0 || this.#closed) return;
    this.#group = [];
    this.#groupBytes = 0;
    try {
      this.#core.append(
        group.map(({ bytes }) => bytes),
        this.#nowMs,
      );
      for (const { id } of group) this.#port.answer(id, null);
    } catch (error) {
      for (const { id } of group) this.#port.fail(id, error);
    }
    this.#lastCommitMs = systemClock.monotonicMs();
    void this.#work();
  }

  /** Background work until none is due; one at a time. */
  #work(): Promise<void> {
    if (!this.#working) this.#worked = this.#steps();
    return this.#worked;
  }

  async #steps(): Promise<void> {
    this.#working = true;
    try {
      while (!this.#closed && this.#core.step(this.#nowMs)) await setImmediate();
    } finally {
      // In one turn with the look at what is due: whoever comes next begins anew.
      this.#working = false;
    }
  }

  async #queryMany({ subjects, ...rest }: SeriesQueryMany): Promise<SeriesResult[]> {
    const results: SeriesResult[] = [];
    for (const [i, subject] of subjects.entries()) {
      if (i > 0 && i % SUBJECTS_PER_TURN === 0) await setImmediate();
      results.push(this.#core.query({ ...rest, subject }));
    }
    return results;
  }
}

function buffersOf(results: readonly SeriesResult[]): ArrayBuffer[] {
  return results.flatMap(({ timesMs, columns }) => [timesMs, ...Object.values(columns)].map(({ buffer }) => buffer as ArrayBuffer));
}

const data = workerData as SeriesWorkerData;
const opened = openPort((report) => {
  const lock = lockDirectory(data.directory, 'series');
  try {
    return { core: new SeriesCore(data.directory, data.options, report, data.nowMs), release: lock.release };
  } catch (error) {
    lock.release();
    throw error;
  }
});
if (opened) new SeriesThread(opened.store.core, opened.port, opened.store.release, data);
