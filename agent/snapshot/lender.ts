/**
 * Snapshots of this host for others that bring their VMs back, each by a key of its own. Input: an address, keys by VM, what is lent;
 * output: a server. Whoever comes again for a VM takes the place of its old connection, which may hang.
 */
import type { Server, TLSSocket } from 'node:tls';
import { errorText } from '../../shared/errors.ts';
import { createTaker } from '../nbd/byte-taker.ts';
import { type Address, serveTls } from '../psk-tls.ts';
import { answerHead, QUESTION_BYTES, type Question, type QuestionKind, readQuestion } from './lend-wire.ts';

/** Under way for one asker, with their bytes in memory; one that asks for more waits. */
const PENDING_MAX = 64;
/** An asker that has been silent so long has gone, or will connect again. */
const SILENT_MS_MAX = 600_000;

/** What one asker may have. Each rejects with why not. */
export interface Lending {
  answer(kind: QuestionKind, name: string): Promise<Buffer>;
  close(): void;
}

export interface SnapshotLenderOptions {
  listen: Address;
  /** Null: nothing of this VM is lent. */
  keyOf(vm: string): Buffer | null;
  lending(vm: string): Promise<Lending>;
  /** Resolves when a record may be read and sent to who asks for this VM, with what to call once it is on its way. */
  turn(vm: string): Promise<() => void>;
}

export interface SnapshotLender {
  readonly port: number;
  /** Nothing of it is lent any more. */
  end(vm: string): void;
  close(): Promise<void>;
}

/** Rejects when it cannot listen there. */
export async function startSnapshotLender({ listen, keyOf, lending, turn }: SnapshotLenderOptions): Promise<SnapshotLender> {
  const askers = new Map<string, TLSSocket>();
  const server = serveTls(keyOf, (socket, vm) => {
    askers.get(vm)?.destroy();
    askers.set(vm, socket);
    socket.setNoDelay(true);
    socket.setTimeout(SILENT_MS_MAX, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (askers.get(vm) === socket) askers.delete(vm);
    });
    const talk = { begin: () => lending(vm), turn: () => turn(vm) };
    void converse(socket, talk).catch(() => socket.destroy());
  });
  await listening(server, listen);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    end: (vm) => void askers.get(vm)?.destroy(),
    async close() {
      for (const socket of askers.values()) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listening(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
}

interface Talk {
  begin(): Promise<Lending>;
  turn(): Promise<() => void>;
}

async function converse(socket: TLSSocket, { begin, turn }: Talk): Promise<void> {
  const take = createTaker(socket);
  const lending = await begin();
  const pending = new Set<Promise<void>>();
  const write = writerTo(socket);
  try {
    for (;;) {
      const question = readQuestion(await take(QUESTION_BYTES));
      if (question === null) break;
      while (pending.size >= PENDING_MAX) await Promise.race(pending);
      const answering: Promise<void> = answered(write, lending, turn, question).finally(() => pending.delete(answering));
      pending.add(answering);
    }
  } finally {
    await Promise.allSettled(pending);
    lending.close();
    socket.destroy();
  }
}

type Write = (parts: readonly Buffer[]) => Promise<void>;

/** Resolves when there is room for more: one that is slow to read holds up its own answers. */
function writerTo(socket: TLSSocket): Write {
  let room: Promise<void> | null = null;
  return async (parts) => {
    if (socket.destroyed) return;
    let full = false;
    for (const part of parts) full = !socket.write(part);
    if (!full) return;
    room ??= new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        room = null;
        resolve();
      };
      socket.on('drain', done);
      socket.on('close', done);
    });
    await room;
  };
}

async function answered(write: Write, lending: Lending, turn: Talk['turn'], { kind, number, name }: Question): Promise<void> {
  // What is small, and what the other host decides by, stands in no line.
  const ended = kind === 'record' ? await turn() : null;
  try {
    const found = await lending.answer(kind, name).then(
      (bytes) => ({ granted: true, bytes }),
      (error: unknown) => ({ granted: false, bytes: Buffer.from(errorText(error)) }),
    );
    await write([answerHead({ number, granted: found.granted, length: found.bytes.length }), found.bytes]);
  } finally {
    ended?.();
  }
}
