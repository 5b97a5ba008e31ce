/**
 * Keeps connections to the daemon: one for control and events, one for bulk statistics, so that a stuck VM never holds up
 * commands. Reconnects with jittered back-off until closed, registering events anew; replaces a connection that calls
 * without answers have clogged. Tells connects, disconnects and events to its listener.
 */
import { backoffMs } from '../../../shared/backoff.ts';
import { type Clock, sleep } from '../../../shared/clock.ts';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { Prng } from '../../../shared/prng.ts';
import type { ConnectTarget } from './connect-uri.ts';
import { decodeEvent, type RawEvent, registerEvents } from './events.ts';
import { createLibvirtApi, type LibvirtApi } from './procedures.ts';
import { openRpcConnection, type RpcConnection } from './rpc-connection.ts';

/** A daemon back after a restart should be found within seconds, and a missing one asked seldom. */
const RECONNECT = { baseMs: 500, capMs: 15_000 };
/** The first open may start the daemon's probes of its hypervisors. */
const OPEN_DEADLINE_MS = 15_000;

export interface SessionOptions {
  target: ConnectTarget;
  readOnly: boolean;
  clock: Clock;
  prng: Prng;
  callDeadlineMs: number;
  onEvent(event: RawEvent): void;
}

export interface Session {
  readonly connected: boolean;
  connect(): Promise<void>;
  close(): void;
  /** The control connection; throws HYPERVISOR_UNAVAILABLE while there is none. */
  control(): LibvirtApi;
  /** The statistics connection, opened when needed. */
  statistics(): Promise<LibvirtApi>;
  /** Gives up the statistics connection: calls on it hang. */
  dropStatistics(reason: string): void;
}

export function createSession(options: SessionOptions): Session {
  return new LibvirtSession(options);
}

class LibvirtSession implements Session {
  readonly #options: SessionOptions;
  #control: LibvirtApi | null = null;
  /** Being opened or open. */
  #statistics: Promise<LibvirtApi> | null = null;
  #openStatistics: LibvirtApi | null = null;
  #lastProblem = 'connect has not been called';
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#control !== null;
  }

  async connect(): Promise<void> {
    let mine: LibvirtApi | null = null;
    const api = await this.#open(true, (reason) => {
      if (mine !== null && this.#control === mine) this.#onLost(reason);
    });
    mine = api;
    if (!api.connection.open) throw unavailable('libvirt closed the connection at once');
    if (this.#closed) {
      api.connection.close('closed by the agent');
      return;
    }
    this.#control = api;
    this.#options.onEvent({ kind: 'connection', connected: true, reason: `connected to ${this.#options.target.uri}` });
  }

  close(): void {
    this.#closed = true;
    this.#lastProblem = 'closed by the agent';
    const last = this.#control;
    this.#control = null;
    last?.connection.close(this.#lastProblem);
    this.dropStatistics(this.#lastProblem);
  }

  control(): LibvirtApi {
    if (this.#control === null) throw this.#noConnection();
    if (this.#control.connection.clogged) {
      this.#control.connection.close('VMs that do not answer hold too many of its calls');
      throw this.#noConnection();
    }
    return this.#control;
  }

  statistics(): Promise<LibvirtApi> {
    if (this.#control === null) return Promise.reject(this.#noConnection());
    this.#statistics ??= this.#openNewStatistics().catch((error) => {
      this.#statistics = null;
      throw error;
    });
    return this.#statistics;
  }

  dropStatistics(reason: string): void {
    const dropped = this.#openStatistics;
    this.#openStatistics = null;
    this.#statistics = null;
    dropped?.connection.close(reason);
  }

  #noConnection(): HeadroomError {
    return unavailable(`no connection to libvirt: ${this.#lastProblem}`);
  }

  async #openNewStatistics(): Promise<LibvirtApi> {
    let mine: LibvirtApi | null = null;
    const api = await this.#open(false, () => {
      if (mine !== null && this.#openStatistics === mine) this.dropStatistics('lost');
    });
    mine = api;
    this.#openStatistics = api;
    return api;
  }

  async #open(events: boolean, onClosed: (reason: string) => void): Promise<LibvirtApi> {
    const { target, readOnly, callDeadlineMs, onEvent } = this.#options;
    const onMessage: Parameters<typeof openRpcConnection>[0]['onMessage'] = (program, procedure, reader) => {
      const event = events ? decodeEvent(program, procedure, reader) : null;
      if (event) onEvent(event);
    };
    const connection = await firstConnection(this.#options, onMessage, onClosed);
    try {
      const api = createLibvirtApi(connection, callDeadlineMs);
      const callbacks = await api.open(target.uri, readOnly, OPEN_DEADLINE_MS);
      if (events && callbacks) await registerEvents(api);
      return api;
    } catch (error) {
      connection.close(errorText(error));
      throw error;
    }
  }

  #onLost(reason: string): void {
    this.#control = null;
    this.#lastProblem = reason;
    this.dropStatistics(reason);
    if (this.#closed) return;
    this.#options.onEvent({ kind: 'connection', connected: false, reason });
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let attempt = 0; !this.#closed && this.#control === null; attempt++) {
      await sleep(this.#options.clock, backoffMs(attempt, RECONNECT, this.#options.prng));
      if (this.#closed) return;
      try {
        await this.connect();
      } catch (error) {
        this.#lastProblem = errorText(error);
      }
    }
  }
}

const unavailable = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_UNAVAILABLE', message);

/** The first socket that answers; the error of the first one otherwise, since that is the usual one. */
async function firstConnection(
  options: SessionOptions,
  onMessage: Parameters<typeof openRpcConnection>[0]['onMessage'],
  onClosed: (reason: string) => void,
): Promise<RpcConnection> {
  let problem: unknown = null;
  for (const socketPath of options.target.sockets) {
    try {
      return await openRpcConnection({ socketPath, clock: options.clock, connectDeadlineMs: options.callDeadlineMs, onMessage, onClosed });
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem;
}
