/**
 * One client of an NBD export: its greeting, then requests, each answered when it is ready. Input: the connection, what the export
 * is, who answers; output: nothing, until the connection ends. A client that breaks the protocol is cut off.
 */
import type { Duplex } from 'node:stream';
import { createTaker } from './byte-taker.ts';
import {
  acknowledged,
  answer,
  COMMAND,
  ERROR,
  type ExportInfo,
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

/** Options carry names; more is not a client's greeting. */
const OPTION_BYTES_MAX = 4096;
/** What one request may ask for or bring: QEMU asks for at most this. */
const REQUEST_BYTES_MAX = 32 * 1024 * 1024;
/** Under way at once, with their bytes in memory; a client that asks for more waits. */
const PENDING_BYTES_MAX = 64 * 1024 * 1024;

export interface NbdExport {
  info: ExportInfo;
  /** Reads, writes and flushes within the export's bounds; a rejection ends the connection. */
  respond(request: NbdRequest, data: Buffer): Promise<readonly Buffer[]>;
}

export function serveSession(socket: Duplex, served: NbdExport): void {
  socket.on('error', () => socket.destroy());
  void converse(socket, served).catch(() => socket.destroy());
}

async function converse(socket: Duplex, served: NbdExport): Promise<void> {
  const take = createTaker(socket);
  socket.write(greeting());
  await take(FLAGS_BYTES);
  if (!(await negotiate(socket, take, served.info))) {
    socket.end();
    return;
  }
  const pending = new Pending();
  for (;;) {
    const request = readRequest(await take(REQUEST_BYTES));
    if (request === null || request.command === COMMAND.disconnect) break;
    if (request.command === COMMAND.write && request.length > REQUEST_BYTES_MAX) break;
    const data = request.command === COMMAND.write ? await take(request.length) : Buffer.alloc(0);
    const problem = problemOf(request, served.info);
    if (problem !== ERROR.none) {
      send(socket, answer(request, problem));
      continue;
    }
    await pending.room(request.length);
    // Answers may come in any order: a slow one holds up its own reader alone.
    served
      .respond(request, data)
      .then(
        (parts) => send(socket, parts),
        () => void socket.destroy(),
      )
      .finally(() => pending.done(request.length));
  }
  socket.end();
}

function send(socket: Duplex, parts: readonly Buffer[]): void {
  if (socket.destroyed) return;
  socket.cork();
  for (const part of parts) socket.write(part);
  socket.uncork();
}

/** Bytes of the requests under way. */
class Pending {
  #bytes = 0;
  #wake: (() => void) | null = null;

  async room(bytes: number): Promise<void> {
    while (this.#bytes > 0 && this.#bytes + bytes > PENDING_BYTES_MAX) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#bytes += bytes;
  }

  done(bytes: number): void {
    this.#bytes -= bytes;
    this.#wake?.();
  }
}

function problemOf({ command, offset, length }: NbdRequest, { bytes, readOnly }: ExportInfo): number {
  if (command === COMMAND.flush) return ERROR.none;
  if (command !== COMMAND.read && readOnly) return ERROR.readOnly;
  if (command !== COMMAND.read && command !== COMMAND.write) return ERROR.invalid;
  return length > REQUEST_BYTES_MAX || offset + length > bytes ? ERROR.invalid : ERROR.none;
}

/** False: the client does not want the export. */
async function negotiate(socket: Duplex, take: (bytes: number) => Promise<Buffer>, info: ExportInfo): Promise<boolean> {
  for (;;) {
    const asked = readOption(await take(OPTION_HEAD_BYTES));
    if (asked === null || asked.length > OPTION_BYTES_MAX) return false;
    await take(asked.length);
    if (asked.option === OPTION.abort) socket.write(acknowledged(asked.option));
    if (asked.option === OPTION.abort || asked.option === OPTION.exportName) return false;
    if (asked.option === OPTION.go || asked.option === OPTION.info) socket.write(exportInfo(asked.option, info));
    else socket.write(unsupported(asked.option));
    if (asked.option === OPTION.go) return true;
  }
}
