/**
 * The host that holds a snapshot, asked by the one that brings its VM back. Input: where, the key, the VM; output: answers, many at once.
 * Connects when something is asked and again when the connection was lost; a holder that says nothing for a while is away, which the one
 * who asks is told at once rather than when TCP gives up.
 */
import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { createTaker } from '../nbd/byte-taker.ts';
import { type Address, connectTls } from '../psk-tls.ts';
import { ANSWER_HEAD_BYTES, NO_NAME, type QuestionKind, questionBytes, readAnswerHead } from './lend-wire.ts';
import type { SnapshotSource } from './snapshot-store.ts';

const CONNECT_MS = 2000;
/** While something is asked for: a disk that is slow answers within it. */
const SILENT_MS_MAX = 5000;
/** As long as the longest manifest. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;

export interface HolderOptions {
  /** Its name, in words. */
  host: string;
  address: Address;
  key: Buffer;
  vm: string;
  clock: Clock;
}

export interface Holder extends SnapshotSource {
  /** Of all answers so far. */
  readonly receivedBytes: number;
  ask(kind: QuestionKind, name?: string): Promise<Buffer>;
  close(): void;
}

interface Waiting {
  resolve(bytes: Buffer): void;
  reject(error: Error): void;
}

interface Line {
  socket: TLSSocket;
  waiting: Map<number, Waiting>;
  heardMs: number;
}

export function openHolder(options: HolderOptions): Holder {
  return new AskedHolder(options);
}

class AskedHolder implements Holder {
  receivedBytes = 0;
  readonly #options: HolderOptions;
  #line: Promise<Line> | null = null;
  #watch: Timer | null = null;
  #number = 0;
  #closed = false;

  constructor(options: HolderOptions) {
    this.#options = options;
  }

  manifest(id: string): Promise<Buffer> {
    return this.ask('manifest', id);
  }

  record(digest: string): Promise<Buffer> {
    return this.ask('record', digest);
  }

  /** Rejects with UNAVAILABLE when it is away, with CONFLICT and its words when it refuses. */
  async ask(kind: QuestionKind, name = NO_NAME): Promise<Buffer> {
    const line = await this.#connected();
    if (line.socket.destroyed) throw this.#away('the connection was lost');
    const number = this.#number++ % 2 ** 32;
    return new Promise((resolve, reject) => {
      // The silence of before was nobody's.
      if (line.waiting.size === 0) line.heardMs = this.#options.clock.monotonicMs();
      line.waiting.set(number, { resolve, reject });
      line.socket.write(questionBytes({ kind, number, name }));
    });
  }

  close(): void {
    this.#closed = true;
    this.#watch?.cancel();
    void this.#line?.then(({ socket }) => socket.destroy()).catch(() => undefined);
  }

  #connected(): Promise<Line> {
    if (this.#closed) return Promise.reject(this.#away('nothing more is asked of it'));
    this.#line ??= this.#connect().catch((error: unknown) => {
      this.#line = null;
      throw this.#away(errorText(error));
    });
    return this.#line;
  }

  async #connect(): Promise<Line> {
    const { address, key, vm, clock } = this.#options;
    const socket = await connectTls(address, key, vm, CONNECT_MS);
    const line: Line = { socket, waiting: new Map(), heardMs: clock.monotonicMs() };
    socket.on('error', () => socket.destroy());
    socket.on('data', () => {
      line.heardMs = clock.monotonicMs();
    });
    const watch = clock.setInterval(() => {
      if (line.waiting.size > 0 && clock.monotonicMs() - line.heardMs > SILENT_MS_MAX) socket.destroy();
    }, SILENT_MS_MAX / 5);
    this.#watch = watch;
    const lost = this.#receive(line).catch((error: unknown) => errorText(error));
    void lost.then((why) => {
      watch.cancel();
      socket.destroy();
      this.#line = null;
      for (const { reject } of line.waiting.values()) reject(this.#away(why));
      line.waiting.clear();
    });
    if (this.#closed) socket.destroy();
    return line;
  }

  async #receive({ socket, waiting }: Line): Promise<never> {
    const take = createTaker(socket);
    for (;;) {
      const { number, granted, length } = readAnswerHead(await take(ANSWER_HEAD_BYTES));
      const asked = waiting.get(number);
      if (asked === undefined || length > ANSWER_BYTES_MAX) throw new Error('it answers what was not asked');
      const bytes = Buffer.from(await take(length));
      waiting.delete(number);
      this.receivedBytes += length;
      if (granted) asked.resolve(bytes);
      else asked.reject(new HeadroomError('CONFLICT', `host ${this.#options.host} refuses: ${bytes.toString()}`));
    }
  }

  #away(why: string): HeadroomError {
    const { host, address } = this.#options;
    return new HeadroomError('UNAVAILABLE', `host ${host} (${address.host}:${address.port}), which holds the snapshot, is away: ${why}`);
  }
}
