/**
 * Serves one range of bytes, chunk by chunk, as a read-only NBD export on a Unix socket. Input: the socket's path, the range's
 * size, a source of chunks; output: a server that tells which chunks have been asked for. A chunk that cannot be had is asked for
 * again until it can: whoever waits for it (a guest's vCPU, in the end) stands still, which can be mended, where an error would
 * end the guest.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, sleep } from '../../shared/clock.ts';
import { CHUNK_BYTES, chunkCount } from './chunk.ts';
import {
  acknowledged,
  answer,
  COMMAND,
  ERROR,
  exportInfo,
  FLAGS_BYTES,
  greeting,
  type NbdRequest,
  OPTION,
  OPTION_HEAD_BYTES,
  REQUEST_BYTES,
  readOption,
  readRequest,
  unsupported,
} from './nbd-wire.ts';

const RETRY_MS = 500;
/** Options carry names; more is not a client's greeting. */
const OPTION_BYTES_MAX = 4096;
/** What one request may ask for: QEMU asks for at most this. */
const READ_BYTES_MAX = 32 * 1024 * 1024;

export interface NbdOptions {
  path: string;
  bytes: number;
  clock: Clock;
  chunk(index: number): Promise<Buffer>;
  /** So many bytes of a chunk have been answered with. */
  given?(index: number, bytes: number): void;
  /** A chunk could not be had, and is tried again; null: it came after all. */
  onStuck(chunk: number, problem: unknown): void;
}

export interface NbdServer {
  /** Asked for at least once. */
  asked(chunk: number): boolean;
  /** In the order in which they were first asked for. */
  readonly order: readonly number[];
  close(): Promise<void>;
}

export async function serveNbd(options: NbdOptions): Promise<NbdServer> {
  const asked = new Uint8Array(chunkCount(options.bytes));
  const state: ServerState = { closed: false, asked, order: [] };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    void converse(socket, options, state).catch(() => socket.destroy());
  });
  await listening(server, options.path);
  return {
    asked: (chunk) => asked[chunk] === 1,
    order: state.order,
    async close() {
      state.closed = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}

interface ServerState {
  closed: boolean;
  asked: Uint8Array;
  order: number[];
}

async function converse(socket: Socket, options: NbdOptions, state: ServerState): Promise<void> {
  const take = createTaker(socket);
  socket.write(greeting());
  await take(FLAGS_BYTES);
  if (!(await negotiate(socket, take, options.bytes))) {
    socket.end();
    return;
  }
  for (;;) {
    const request = readRequest(await take(REQUEST_BYTES));
    if (request === null || request.command === COMMAND.disconnect) break;
    // Answers may come in any order: a slow chunk holds up its own reader alone.
    void respond(request, options, state).then(
      (bytes) => socket.write(bytes),
      () => socket.destroy(),
    );
  }
  socket.end();
}

/** False: the client does not want the export. */
async function negotiate(socket: Socket, take: (bytes: number) => Promise<Buffer>, bytes: number): Promise<boolean> {
  for (;;) {
    const asked = readOption(await take(OPTION_HEAD_BYTES));
    if (asked === null || asked.length > OPTION_BYTES_MAX) return false;
    await take(asked.length);
    if (asked.option === OPTION.abort) socket.write(acknowledged(asked.option));
    if (asked.option === OPTION.abort || asked.option === OPTION.exportName) return false;
    if (asked.option === OPTION.go || asked.option === OPTION.info) socket.write(exportInfo(asked.option, bytes));
    else socket.write(unsupported(asked.option));
    if (asked.option === OPTION.go) return true;
  }
}

async function respond(request: NbdRequest, options: NbdOptions, state: ServerState): Promise<Buffer> {
  const { command, offset, length } = request;
  if (command === COMMAND.flush) return answer(request, 0);
  if (command !== COMMAND.read) return answer(request, ERROR.readOnly);
  if (length > READ_BYTES_MAX || offset + length > options.bytes) return answer(request, ERROR.invalid);
  const parts: Buffer[] = [];
  for (let at = offset; at < offset + length; ) {
    const index = Math.floor(at / CHUNK_BYTES);
    const from = at - index * CHUNK_BYTES;
    const bytes = await fetched(index, options, state);
    const part = bytes.subarray(from, Math.min(bytes.length, from + offset + length - at));
    parts.push(part);
    options.given?.(index, part.length);
    at += part.length;
  }
  return answer(request, 0, parts);
}

async function fetched(index: number, { chunk, onStuck, clock }: NbdOptions, state: ServerState): Promise<Buffer> {
  if (state.asked[index] === 0) state.order.push(index);
  state.asked[index] = 1;
  for (let failures = 0; ; failures++) {
    try {
      const bytes = await chunk(index);
      if (failures > 0) onStuck(index, null);
      return bytes;
    } catch (error) {
      if (state.closed) throw error;
      if (failures === 0) onStuck(index, error);
      await sleep(clock, RETRY_MS);
    }
  }
}

/** Reads exactly so many bytes, one caller at a time; rejects when the stream ends before. */
function createTaker(socket: Socket): (bytes: number) => Promise<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  let wake: (() => void) | null = null;
  let ended = false;
  socket.on('data', (bytes: Buffer) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    wake?.();
  });
  socket.on('close', () => {
    ended = true;
    wake?.();
  });
  return async (bytes) => {
    while (held.length < bytes) {
      if (ended) throw new Error('the client is gone');
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = held.subarray(0, bytes);
    held = held.subarray(bytes);
    return taken;
  };
}
