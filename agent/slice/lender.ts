/**
 * Bytes of this host, lent to one borrower at a time. Input: what is lent, key, address; output: a server. A borrower that comes again
 * under the same name takes the place of its old connection, which may hang, once what that one asked for is done.
 */
import type { Server, TLSSocket } from 'node:tls';
import { errorText } from '../../shared/errors.ts';
import { serveSession } from '../nbd/nbd-session.ts';
import { answer, COMMAND, ERROR, type NbdRequest } from '../nbd/nbd-wire.ts';
import { type Address, serveTls } from '../psk-tls.ts';
import type { Copy } from './mirror.ts';

/** A borrower asks every second whether we live; one that was silent this long is gone. */
const SILENT_MS_MAX = 15_000;

/** What is lent. A rejected request ends its connection. */
export interface LentBytes extends Copy {
  /** Before this borrower sees anything of it; answers which disk it is, where that matters. */
  open(borrower: string): Promise<string | null>;
  /** Nobody borrows any more. */
  close(): Promise<void>;
}

export interface LenderOptions {
  bytes: number;
  lent: LentBytes;
  listen: Address;
  key: Buffer;
  /** This host's name, told to the borrower. */
  host: string;
  /** The borrower that a name stands for; null = none that may come here. */
  borrowerOf(name: string): string | null;
  onChange(borrower: string | null): void;
  onProblem(problem: string): void;
}

export interface Lender {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects when it cannot listen there. */
export async function startLender(options: LenderOptions): Promise<Lender> {
  const { borrowerOf, key, listen } = options;
  const lending = new Lending(options);
  const server = serveTls(
    (name) => (borrowerOf(name) === null ? null : key),
    (socket, name) => lending.take(socket, borrowerOf(name) ?? ''),
  );
  await listening(server, listen);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      await lending.close();
      await closed;
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

class Lending {
  readonly #options: LenderOptions;
  #current: Borrower | null = null;
  readonly #underWay = new Set<Promise<unknown>>();
  /** Opening and closing what is lent, one after another. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: LenderOptions) {
    this.#options = options;
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
      this.#inTurn(() => this.#given());
    });
    this.#inTurn(() => this.#serve(mine));
  }

  async close(): Promise<void> {
    this.#current?.socket.destroy();
    this.#current = null;
    this.#inTurn(() => this.#given());
    await this.#turn;
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      this.#options.onProblem(errorText(error));
      this.#current?.socket.destroy();
    });
  }

  async #given(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    if (this.#current === null) await this.#options.lent.close();
  }

  async #serve(mine: Borrower): Promise<void> {
    // A write of the old connection that came late would undo one of the new.
    await Promise.allSettled(this.#underWay);
    if (this.#current !== mine) return;
    const { bytes, host, lent } = this.#options;
    const disk = await lent.open(mine.name);
    if (this.#current !== mine) return;
    this.#options.onChange(mine.name);
    serveSession(mine.socket, {
      info: { bytes, readOnly: false, description: disk === null ? host : `${host} ${disk}` },
      respond: async (request, data) => {
        if (this.#current !== mine) throw new Error('another connection took its place');
        const answered = this.#respond(request, data);
        this.#underWay.add(answered);
        return answered.finally(() => this.#underWay.delete(answered));
      },
    });
  }

  async #respond(request: NbdRequest, data: Buffer): Promise<readonly Buffer[]> {
    const { command, offset, length } = request;
    const { lent } = this.#options;
    try {
      if (command === COMMAND.read) return answer(request, ERROR.none, [await lent.read(offset, length)]);
      if (command === COMMAND.write) await lent.write(offset, data);
      else await lent.flush();
      return answer(request, ERROR.none);
    } catch (error) {
      this.#options.onProblem(errorText(error));
      return answer(request, ERROR.io);
    }
  }
}
