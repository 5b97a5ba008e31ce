/**
 * The client's side of an NBD export. Input: a connection; output: reads, writes and flushes, many at once. Rejects everything
 * under way when the connection ends; keeps no time of its own: whoever calls has the deadline.
 */
import type { Duplex } from 'node:stream';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { createTaker } from './byte-taker.ts';
import {
  ANSWER_BYTES,
  COMMAND,
  type ExportInfo,
  GREETING_BYTES,
  goForExport,
  isGreeting,
  OPTION_REPLY_BYTES,
  REPLY,
  readAnswer,
  readInfo,
  readOptionReply,
  request,
} from './nbd-wire.ts';

/** A reply to an option is a few numbers or a short text. */
const REPLY_BYTES_MAX = 4096;

export interface NbdClient {
  readonly info: ExportInfo;
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, data: Buffer): Promise<void>;
  flush(): Promise<void>;
  /** Called once, when the connection is over. */
  onEnd(listener: (reason: string) => void): void;
  destroy(): void;
}

interface Waiting {
  readBytes: number;
  resolve(data: Buffer): void;
  reject(error: Error): void;
}

/** Rejects with CONNECTION_CLOSED when the other side is no NBD server or refuses. */
export async function openNbdClient(socket: Duplex): Promise<NbdClient> {
  socket.on('error', () => socket.destroy());
  const take = createTaker(socket);
  try {
    const info = await negotiate(socket, take);
    return new Client(socket, take, info);
  } catch (error) {
    socket.destroy();
    throw new HeadroomError('CONNECTION_CLOSED', `no NBD export was offered: ${errorText(error)}`, { cause: error });
  }
}

async function negotiate(socket: Duplex, take: (bytes: number) => Promise<Buffer>): Promise<ExportInfo> {
  if (!isGreeting(await take(GREETING_BYTES))) throw new Error('it does not greet as an NBD server');
  socket.write(goForExport());
  let info: ExportInfo = { bytes: 0, readOnly: true, description: '' };
  for (;;) {
    const reply = readOptionReply(await take(OPTION_REPLY_BYTES));
    if (reply === null || reply.length > REPLY_BYTES_MAX) throw new Error('its reply cannot be read');
    const data = await take(reply.length);
    if (reply.reply === REPLY.ack) return info;
    if (reply.reply !== REPLY.info) throw new Error(`it refuses with ${reply.reply.toString(16)}`);
    info = readInfo(data, info);
  }
}

class Client implements NbdClient {
  readonly info: ExportInfo;
  readonly #socket: Duplex;
  readonly #waiting = new Map<bigint, Waiting>();
  #next = 0n;
  #ended: string | null = null;
  #onEnd: ((reason: string) => void) | null = null;

  constructor(socket: Duplex, take: (bytes: number) => Promise<Buffer>, info: ExportInfo) {
    this.#socket = socket;
    this.info = info;
    this.#receive(take).catch((error: unknown) => this.#end(errorText(error)));
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#ask(COMMAND.read, offset, length, null);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    await this.#ask(COMMAND.write, offset, data.length, data);
  }

  async flush(): Promise<void> {
    await this.#ask(COMMAND.flush, 0, 0, null);
  }

  onEnd(listener: (reason: string) => void): void {
    this.#onEnd = listener;
    if (this.#ended !== null) listener(this.#ended);
  }

  destroy(): void {
    this.#end('closed on this side');
  }

  #ask(command: number, offset: number, length: number, data: Buffer | null): Promise<Buffer> {
    if (this.#ended !== null) return Promise.reject(new HeadroomError('CONNECTION_CLOSED', this.#ended));
    const handle = this.#next++;
    const done = new Promise<Buffer>((resolve, reject) => {
      this.#waiting.set(handle, { readBytes: command === COMMAND.read ? length : 0, resolve, reject });
    });
    this.#socket.write(request(command, handle, offset, length));
    if (data !== null) this.#socket.write(data);
    return done;
  }

  async #receive(take: (bytes: number) => Promise<Buffer>): Promise<never> {
    for (;;) {
      const head = readAnswer(await take(ANSWER_BYTES));
      const waiting = head === null ? undefined : this.#waiting.get(head.handle);
      if (head === null || waiting === undefined) throw new Error('it answers what was not asked');
      const data = head.error === 0 ? await take(waiting.readBytes) : Buffer.alloc(0);
      this.#waiting.delete(head.handle);
      if (head.error === 0) waiting.resolve(data);
      else waiting.reject(new HeadroomError('UNAVAILABLE', `the export answered with error ${head.error}`));
    }
  }

  #end(reason: string): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(new HeadroomError('CONNECTION_CLOSED', reason));
    this.#waiting.clear();
    this.#onEnd?.(reason);
  }
}
