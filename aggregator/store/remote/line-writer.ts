/**
 * Writes line protocol and waits until it is stored: one request per body, nothing kept back. Input: bodies; output:
 * resolved when the server has all of them, rejected with STORE_UNAVAILABLE or PERMISSION, and then nothing may be
 * acknowledged (what was stored already is stored again by the next try, in place). The client library sends; its own
 * retry buffer, which drops silently and may send twice, is not used: what waits here is counted in bytes and bounded.
 */
import { HttpError, InfluxDB } from '@influxdata/influxdb-client';
import { type BackoffOptions, backoffMs } from '../../../shared/backoff.ts';
import type { Clock } from '../../../shared/clock.ts';
import { sleep } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { Prng } from '../../../shared/prng.ts';
import type { Resolution } from '../series-store.ts';
import { type HttpEndpoint, quoted } from './http-endpoint.ts';
import type { LineBody } from './line-protocol.ts';
import { readWriteAnswer } from './write-answer.ts';

export interface LineWriterOptions {
  endpoint: HttpEndpoint;
  /** Where lines of a target go, with database and precision in the query. */
  pathOf: (target: Resolution) => string;
  clock: Clock;
  prng: Prng;
  gzip: boolean;
  timeoutMs: number;
  /** How long one write is tried again before it is given back, ms. */
  retryForMs: number;
  /** Characters of bodies under way; beyond it writes are refused. */
  waitingMax: number;
  /** Lines lost for ever, with the server's words. */
  onRefusedLines: (reason: string, lines: number, said: string) => void;
}

interface Sent {
  status: number;
  text: string;
  retryAfterMs: number | null;
}

const BACKOFF: BackoffOptions = { baseMs: 200, capMs: 5000 };
/** A server that says to wait longer gets its way by the write being given back. */
const RETRY_AFTER_MS_MAX = 5000;
/** Looking for the lines a server will not have, by halves: a few bad ones, not a server that refuses everything. */
const SPLITS_MAX = 64;
/** Below this a compressed body saves nothing. */
const GZIP_FROM_BYTES = 1024;

export class LineWriter {
  readonly #options: LineWriterOptions;
  readonly #client: InfluxDB;
  #waiting = 0;
  #closed = false;
  retries = 0;

  constructor(options: LineWriterOptions) {
    this.#options = options;
    const { endpoint, timeoutMs } = options;
    this.#client = new InfluxDB({ url: endpoint.base, timeout: timeoutMs, headers: { ...endpoint.headers } });
  }

  async write(target: Resolution, bodies: readonly LineBody[]): Promise<void> {
    const size = bodies.reduce((sum, { text }) => sum + text.length, 0);
    if (this.#waiting > 0 && this.#waiting + size > this.#options.waitingMax) {
      throw new HeadroomError('STORE_UNAVAILABLE', `${this.#waiting} bytes wait to be stored, no more are taken; send again later`);
    }
    this.#waiting += size;
    try {
      // One after the other: the order of writes is the order of acknowledgement, and the server is busy with one anyway.
      for (const body of bodies) await this.#writeBody(target, body, { splits: SPLITS_MAX });
    } finally {
      this.#waiting -= size;
    }
  }

  /** Writes that wait for another try are given back at once. */
  close(): void {
    this.#closed = true;
  }

  async #writeBody(target: Resolution, body: LineBody, left: { splits: number }): Promise<void> {
    const { endpoint, pathOf, onRefusedLines } = this.#options;
    const path = pathOf(target);
    const { status, text } = await this.#sendUntilAnswered(path, body.text);
    const answer = readWriteAnswer(status, text);
    if (answer.kind === 'stored') return;
    if (answer.kind === 'partial') {
      onRefusedLines(answer.reason, answer.refusedLines, quoted(text));
      return;
    }
    if (answer.kind !== 'unusable' || left.splits <= 0) throw endpoint.refused(path, status, text);
    if (body.lines === 1) {
      onRefusedLines('refused-by-server', 1, quoted(text));
      return;
    }
    left.splits--;
    for (const half of halves(body)) await this.#writeBody(target, half, left);
  }

  /** Tries again on 429, 5xx and no answer, for as long as allowed. Rejects with STORE_UNAVAILABLE. */
  async #sendUntilAnswered(path: string, text: string): Promise<Sent> {
    const { clock, prng, retryForMs, endpoint } = this.#options;
    const startMs = clock.monotonicMs();
    for (let attempt = 0; ; attempt++) {
      let problem: HeadroomError;
      let askedMs = 0;
      try {
        const sent = await this.#send(path, text);
        if (readWriteAnswer(sent.status, sent.text).kind !== 'later') return sent;
        problem = endpoint.refused(path, sent.status, sent.text);
        askedMs = sent.retryAfterMs ?? 0;
      } catch (error) {
        problem = endpoint.unreachable(error);
      }
      const delayMs = Math.max(askedMs, backoffMs(attempt, BACKOFF, prng));
      const spentMs = clock.monotonicMs() - startMs;
      if (this.#closed || askedMs > RETRY_AFTER_MS_MAX || spentMs + delayMs > retryForMs) throw problem;
      this.retries++;
      await sleep(clock, delayMs);
    }
  }

  #send(path: string, text: string): Promise<Sent> {
    const { gzip, clock } = this.#options;
    return new Promise((resolve, reject) => {
      let status = 0;
      const options = {
        method: 'POST',
        headers: { 'content-type': 'text/plain; charset=utf-8' },
        ...(gzip ? { gzipThreshold: GZIP_FROM_BYTES } : {}),
      };
      this.#client.transport.send(path, text, options, {
        responseStarted: (_headers, code) => {
          status = code ?? 0;
        },
        error: (error) => {
          // Answers from 300 on come as errors.
          if (!(error instanceof HttpError)) reject(error);
          else resolve({ status: error.statusCode, text: errorBody(error), retryAfterMs: retryAfterMs(error, clock) });
        },
        complete: () =>
          status === 0 ? reject(new Error('the connection ended without an answer')) : resolve({ status, text: '', retryAfterMs: null }),
      });
    });
  }
}

/** The client cuts long bodies, InfluxDB 1 repeats its error in a header. */
function errorBody(error: HttpError): string {
  return [error.headers?.['x-influxdb-error']].flat()[0] ?? error.body ?? error.message;
}

/** Retry-After is seconds or a date. */
function retryAfterMs(error: HttpError, clock: Clock): number | null {
  const value = [error.headers?.['retry-after']].flat()[0];
  if (value === undefined) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - clock.wallMs();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}

function halves({ text, lines }: LineBody): LineBody[] {
  const all = text.split('\n').slice(0, lines);
  const middle = all.length >> 1;
  return [all.slice(0, middle), all.slice(middle)].map((part) => ({ text: `${part.join('\n')}\n`, lines: part.length }));
}
