/**
 * Memory of this host, lent to one borrower at a time. Input: size, key, address; output: a server that holds the bytes, zeroed
 * before anybody sees them. A borrower that comes again under the same name takes the place of its old connection, which may hang.
 */
import type { Server, TLSSocket } from 'node:tls';
import { serveSession } from '../nbd/nbd-session.ts';
import { answer, COMMAND, ERROR, type NbdRequest } from '../nbd/nbd-wire.ts';
import { type Address, serveTls } from '../psk-tls.ts';

/** A borrower asks every second whether we live; one that was silent this long is gone. */
const SILENT_MS_MAX = 15_000;
/** Zeroed between looking after connections. */
const ZERO_BYTES_AT_ONCE = 64 * 1024 * 1024;

export interface LenderOptions {
  bytes: number;
  listen: Address;
  key: Buffer;
  /** This host's name, told to the borrower. */
  host: string;
  isName(name: string): boolean;
  onChange(borrower: string | null): void;
}

export interface Lender {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects when it cannot listen there. */
export async function startLender(options: LenderOptions): Promise<Lender> {
  const slice = new LentMemory(options);
  const server = serveTls(
    (name) => (options.isName(name) ? options.key : null),
    (socket, name) => slice.take(socket, name),
  );
  await listening(server, options.listen);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.listen.port,
    async close() {
      slice.close();
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

interface Borrower {
  socket: TLSSocket;
  name: string;
}

class LentMemory {
  readonly #options: LenderOptions;
  readonly #memory: Buffer;
  #current: Borrower | null = null;
  #dirty = false;
  #zeroing: Promise<void> | null = null;

  constructor(options: LenderOptions) {
    this.#options = options;
    // Written to, so that the pages are here from now on: what is lent is not there for others, and the host's free memory shows it.
    this.#memory = Buffer.alloc(options.bytes).fill(0);
  }

  take(socket: TLSSocket, name: string): void {
    socket.on('error', () => socket.destroy());
    if (this.#current !== null && this.#current.name !== name) {
      socket.destroy();
      return;
    }
    this.#current?.socket.destroy();
    const mine = { socket, name };
    this.#current = mine;
    socket.setNoDelay(true);
    socket.setTimeout(SILENT_MS_MAX, () => socket.destroy());
    socket.on('close', () => {
      if (this.#current !== mine) return;
      this.#current = null;
      this.#options.onChange(null);
      void this.#zeroed();
    });
    void this.#serve(mine);
  }

  close(): void {
    this.#current?.socket.destroy();
  }

  async #serve(mine: Borrower): Promise<void> {
    await this.#zeroed();
    if (this.#current !== mine) return;
    this.#options.onChange(mine.name);
    serveSession(mine.socket, {
      info: { bytes: this.#options.bytes, readOnly: false, description: this.#options.host },
      respond: async (request, data) => {
        if (this.#current !== mine) throw new Error('another connection took its place');
        return this.#respond(request, data);
      },
    });
  }

  #respond(request: NbdRequest, data: Buffer): readonly Buffer[] {
    const { command, offset, length } = request;
    if (command === COMMAND.read) return answer(request, ERROR.none, [this.#memory.subarray(offset, offset + length)]);
    if (command === COMMAND.write) {
      this.#dirty = true;
      data.copy(this.#memory, offset);
    }
    return answer(request, ERROR.none);
  }

  /** Nobody sees what another guest left. */
  #zeroed(): Promise<void> {
    if (!this.#dirty) return Promise.resolve();
    this.#zeroing ??= this.#zero();
    return this.#zeroing;
  }

  async #zero(): Promise<void> {
    for (let at = 0; at < this.#memory.length; at += ZERO_BYTES_AT_ONCE) {
      this.#memory.fill(0, at, Math.min(this.#memory.length, at + ZERO_BYTES_AT_ONCE));
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#dirty = false;
    // In the same turn: what is written from here on is another's to clear.
    this.#zeroing = null;
  }
}
