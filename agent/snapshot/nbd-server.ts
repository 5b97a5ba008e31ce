/**
 * Serves one range of bytes, chunk by chunk, as a read-only NBD export on a Unix socket. Input: the socket's path, the range's
 * size, a source of chunks; output: a server that tells which chunks have been asked for. A chunk that cannot be had is asked for
 * again until it can: whoever waits for it (a guest's vCPU, in the end) stands still, which can be mended, where an error would
 * end the guest. Of a disk a reader may be told of an error after a while, where its guest is stopped for that and asks again later.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { serveSession } from '../nbd/nbd-session.ts';
import { answer, COMMAND, ERROR, type NbdRequest } from '../nbd/nbd-wire.ts';
import { CHUNK_BYTES, chunkCount } from './chunk.ts';

const RETRY_MS = 500;

export interface NbdOptions {
  path: string;
  bytes: number;
  clock: Clock;
  chunk(index: number): Promise<Buffer>;
  /** These are on their way to whoever asked. */
  answered?(firstChunk: number, lastChunk: number): void;
  /** So many bytes of a chunk have been answered with. */
  given?(index: number, bytes: number): void;
  /** A chunk could not be had, and is tried again; null: it came after all. */
  onStuck(chunk: number, problem: unknown): void;
  /** Who asks is told of an error after so long, and what it asked for is tried on all the same; absent = it waits. */
  answerMsMax?: number;
}

export interface NbdServer {
  /** Asked for at least once. */
  asked(chunk: number): boolean;
  /** In the order in which they were first asked for. */
  readonly order: readonly number[];
  /** Requests for chunks that could not be had, and are tried again. */
  readonly stuck: number;
  close(): Promise<void>;
}

export async function serveNbd(options: NbdOptions): Promise<NbdServer> {
  const asked = new Uint8Array(chunkCount(options.bytes));
  const state: ServerState = { closed: false, asked, order: [], stuck: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveSession(socket, {
      info: { bytes: options.bytes, readOnly: true, description: '' },
      respond: (request) => respond(request, options, state),
    });
  });
  await listening(server, options.path);
  return {
    asked: (chunk) => asked[chunk] === 1,
    order: state.order,
    get stuck() {
      return state.stuck;
    },
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
  stuck: number;
}

async function respond(request: NbdRequest, options: NbdOptions, state: ServerState): Promise<readonly Buffer[]> {
  const { offset, length } = request;
  if (request.command !== COMMAND.read) return answer(request, ERROR.none);
  const first = Math.floor(offset / CHUNK_BYTES);
  const last = Math.floor((offset + length - 1) / CHUNK_BYTES);
  // Side by side: one chunk is read from the disk while another is decrypted.
  const coming = Promise.all(Array.from({ length: last - first + 1 }, (_, place) => fetched(first + place, options, state)));
  const chunks = await inTime(coming, options);
  if (chunks === null) return answer(request, ERROR.io);
  const parts = chunks.map((bytes, place) => {
    const start = (first + place) * CHUNK_BYTES;
    const part = bytes.subarray(Math.max(0, offset - start), Math.min(bytes.length, offset + length - start));
    options.given?.(first + place, part.length);
    return part;
  });
  options.answered?.(first, last);
  return answer(request, 0, parts);
}

/** Null: they did not come in time. */
async function inTime(coming: Promise<Buffer[]>, { answerMsMax, clock }: NbdOptions): Promise<Buffer[] | null> {
  if (answerMsMax === undefined) return coming;
  let timer: Timer | null = null;
  const late = new Promise<null>((resolve) => {
    timer = clock.setTimeout(() => resolve(null), answerMsMax);
  });
  // Nobody waits for it any more when the server is closed amid its tries.
  coming.catch(() => undefined);
  return Promise.race([coming, late]).finally(() => timer?.cancel());
}

async function fetched(index: number, { chunk, onStuck, clock }: NbdOptions, state: ServerState): Promise<Buffer> {
  if (state.asked[index] === 0) state.order.push(index);
  state.asked[index] = 1;
  for (let failures = 0; ; failures++) {
    try {
      const bytes = await chunk(index);
      if (failures > 0) {
        state.stuck--;
        onStuck(index, null);
      }
      return bytes;
    } catch (error) {
      if (state.closed) throw error;
      if (failures === 0) {
        state.stuck++;
        onStuck(index, error);
      }
      await sleep(clock, RETRY_MS);
    }
  }
}
