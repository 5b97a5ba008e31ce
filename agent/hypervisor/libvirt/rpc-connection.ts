/**
 * One connection to a libvirt daemon's Unix socket: frames, serials, deadlines, keepalive. Calls in, decoded answers out;
 * messages the daemon sends by itself go to a listener. Every call has a deadline. The daemon serves five calls of a
 * connection at once (`max_client_requests`), so at most four are under way here, one per VM; a call given up on keeps its
 * place until the daemon answers after all, and a connection with too many of those calls itself clogged.
 */
import { connect, type Socket } from 'node:net';
import type { Clock, Timer } from '../../../shared/clock.ts';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import { errorFromReply } from './rpc-errors.ts';
import { createXdrReader, createXdrWriter, type XdrReader } from './xdr.ts';

export const REMOTE_PROGRAM = 0x20008086;
export const QEMU_PROGRAM = 0x20008087;
const KEEPALIVE_PROGRAM = 0x6b656570;
const KEEPALIVE_PING = 1;
const KEEPALIVE_PONG = 2;
const TYPE_CALL = 0;
const TYPE_REPLY = 1;
const TYPE_MESSAGE = 2;
const STATUS_OK = 0;
const HEADER_BYTES = 28;
/** libvirt's own limit of a message (VIR_NET_MESSAGE_MAX with its header). */
const FRAME_BYTES_MAX = 32 * 1024 * 1024 + HEADER_BYTES;
/** One less than the daemon's default limit of five, so that keepalive and a late answer always find a place. */
const IN_FLIGHT_MAX = 4;
/** Calls waiting for a place; a host of a thousand VMs asks for four settings each in the worst minute. */
const QUEUE_MAX = 4096;
/** With two places held by calls that never answered, what is left no longer carries the load. */
const ABANDONED_MAX = 2;
/** libvirt's clients ping after 5 s of silence and give up after 5 pings; a local socket needs no more patience. */
const KEEPALIVE_PERIOD_MS = 5000;
const KEEPALIVE_SILENCE_MS = 25_000;
const SERIAL_MAX = 0x7fffffff;

export interface RpcCall {
  program?: number;
  procedure: number;
  payload?: Uint8Array;
  deadlineMs: number;
  /** Calls with the same key run one after another. */
  domain?: string;
}

export interface RpcConnection {
  readonly open: boolean;
  /** Too many calls never answered: time for a new connection. */
  readonly clogged: boolean;
  /** Rejects with HYPERVISOR_UNAVAILABLE (deadline, closed, queue full) or what the daemon's error means. */
  call(call: RpcCall): Promise<XdrReader>;
  /** Answers keepalive and sends pings from now on; call once the daemon said it supports them. */
  startKeepalive(): void;
  close(reason: string): void;
}

export interface RpcOptions {
  socketPath: string;
  clock: Clock;
  connectDeadlineMs: number;
  onMessage(program: number, procedure: number, reader: XdrReader): void;
  onClosed(reason: string): void;
}

interface Pending {
  call: RpcCall;
  serial: number;
  resolve(reader: XdrReader): void;
  reject(error: unknown): void;
  timer: Timer | null;
  state: 'queued' | 'sent' | 'abandoned';
}

export async function openRpcConnection(options: RpcOptions): Promise<RpcConnection> {
  const socket = await openSocket(options);
  return new Connection(socket, options);
}

function whatToDo(cause: unknown): string {
  switch ((cause as { code?: string } | undefined)?.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return '; nobody listens there: is libvirtd installed and running? --connect URI names another';
    case 'EACCES':
      return "; who asks may not open it: join the group of that socket (libvirt's), or ask as root";
    default:
      return '';
  }
}

function openSocket({ socketPath, clock, connectDeadlineMs }: RpcOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath });
    const timer = clock.setTimeout(() => fail(`no answer within ${connectDeadlineMs} ms`), connectDeadlineMs);
    const fail = (why: string, cause?: unknown): void => {
      timer.cancel();
      socket.destroy();
      reject(
        new HeadroomError('HYPERVISOR_UNAVAILABLE', `cannot connect to libvirt at ${socketPath}: ${why}${whatToDo(cause)}`, { cause }),
      );
    };
    socket.once('connect', () => {
      timer.cancel();
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => fail(errorText(error), error));
  });
}

class Connection implements RpcConnection {
  readonly #socket: Socket;
  readonly #options: RpcOptions;
  /** Calls that hold one of the daemon's places, by serial. */
  readonly #pending = new Map<number, Pending>();
  readonly #queue: Pending[] = [];
  #serial = 0;
  #closedBecause: string | null = null;
  #heardMs: number;
  #keepalive: Timer | null = null;

  constructor(socket: Socket, options: RpcOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#heardMs = options.clock.monotonicMs();
    readFrames(socket, {
      heard: () => {
        this.#heardMs = options.clock.monotonicMs();
      },
      onFrame: (frame) => this.#onFrame(frame),
      fail: (reason) => this.close(reason),
    });
  }

  get open(): boolean {
    return this.#closedBecause === null;
  }

  get clogged(): boolean {
    return [...this.#pending.values()].filter(({ state }) => state === 'abandoned').length >= ABANDONED_MAX;
  }

  call(call: RpcCall): Promise<XdrReader> {
    if (this.#closedBecause !== null) return Promise.reject(unavailable(`the connection to libvirt is closed: ${this.#closedBecause}`));
    if (this.#isStuck(call.domain)) return Promise.reject(unavailable('the VM has not answered an earlier call'));
    if (this.#queue.length >= QUEUE_MAX) return Promise.reject(unavailable(`more than ${QUEUE_MAX} calls wait for libvirt`));
    return new Promise<XdrReader>((resolve, reject) => {
      const entry: Pending = { call, serial: 0, resolve, reject, timer: null, state: 'queued' };
      entry.timer = this.#options.clock.setTimeout(() => this.#giveUp(entry), call.deadlineMs);
      this.#queue.push(entry);
      this.#pump();
    });
  }

  startKeepalive(): void {
    this.#keepalive = this.#options.clock.setInterval(() => {
      if (this.#options.clock.monotonicMs() - this.#heardMs > KEEPALIVE_SILENCE_MS)
        this.close(`nothing heard for ${KEEPALIVE_SILENCE_MS} ms`);
      else this.#send(KEEPALIVE_PROGRAM, KEEPALIVE_PING, TYPE_MESSAGE, 0, new Uint8Array());
    }, KEEPALIVE_PERIOD_MS);
  }

  close(reason: string): void {
    if (this.#closedBecause !== null) return;
    this.#closedBecause = reason;
    this.#keepalive?.cancel();
    this.#socket.destroy();
    const left = [...this.#pending.values(), ...this.#queue];
    this.#pending.clear();
    this.#queue.length = 0;
    for (const entry of left) {
      entry.timer?.cancel();
      entry.reject(unavailable(`the connection to libvirt was lost: ${reason}`));
    }
    this.#options.onClosed(reason);
  }

  #isStuck(domain: string | undefined): boolean {
    return domain !== undefined && [...this.#pending.values()].some(({ call, state }) => state === 'abandoned' && call.domain === domain);
  }

  #send(program: number, procedure: number, type: number, serial: number, payload: Uint8Array): void {
    const header = createXdrWriter()
      .u32(HEADER_BYTES + payload.length)
      .u32(program)
      .u32(1)
      .i32(procedure)
      .i32(type)
      .u32(serial)
      .i32(STATUS_OK);
    this.#socket.write(Buffer.concat([header.bytes(), payload]));
  }

  /** Sends what may be sent: up to the limit, and one call per VM. */
  #pump(): void {
    for (let i = 0; i < this.#queue.length && this.#pending.size < IN_FLIGHT_MAX; ) {
      const entry = this.#queue[i] as Pending;
      const { domain } = entry.call;
      if (domain !== undefined && [...this.#pending.values()].some(({ call }) => call.domain === domain)) {
        i++;
        continue;
      }
      this.#queue.splice(i, 1);
      this.#serial = this.#serial >= SERIAL_MAX ? 1 : this.#serial + 1;
      entry.serial = this.#serial;
      entry.state = 'sent';
      this.#pending.set(entry.serial, entry);
      const { program, procedure, payload } = entry.call;
      this.#send(program ?? REMOTE_PROGRAM, procedure, TYPE_CALL, entry.serial, payload ?? new Uint8Array());
    }
  }

  #giveUp(entry: Pending): void {
    if (entry.state === 'queued') this.#queue.splice(this.#queue.indexOf(entry), 1);
    else entry.state = 'abandoned';
    entry.reject(unavailable(`libvirt did not answer within ${entry.call.deadlineMs} ms (procedure ${entry.call.procedure})`));
  }

  #onFrame(frame: Buffer): void {
    const reader = createXdrReader(frame);
    const program = reader.u32();
    reader.u32();
    const procedure = reader.i32();
    const type = reader.i32();
    const serial = reader.u32();
    const status = reader.i32();
    if (program === KEEPALIVE_PROGRAM) {
      if (procedure === KEEPALIVE_PING) this.#send(KEEPALIVE_PROGRAM, KEEPALIVE_PONG, TYPE_MESSAGE, 0, new Uint8Array());
    } else if (type === TYPE_REPLY) this.#onReply(serial, status, reader);
    else if (type === TYPE_MESSAGE) this.#options.onMessage(program, procedure, reader);
  }

  #onReply(serial: number, status: number, reader: XdrReader): void {
    const entry = this.#pending.get(serial);
    if (!entry) return;
    this.#pending.delete(serial);
    entry.timer?.cancel();
    if (entry.state === 'sent') {
      if (status === STATUS_OK) entry.resolve(reader);
      else rejectWithReply(entry, reader);
    }
    this.#pump();
  }
}

/** An error that cannot be read still ends the call, and then the connection. */
function rejectWithReply(entry: Pending, reader: XdrReader): void {
  try {
    entry.reject(errorFromReply(reader));
  } catch (error) {
    entry.reject(error);
    throw error;
  }
}

const unavailable = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_UNAVAILABLE', message);

interface FrameSink {
  heard(): void;
  onFrame(frame: Buffer): void;
  fail(reason: string): void;
}

/** Cuts the byte stream into frames (without their length word). Anything that is not a frame ends the connection. */
function readFrames(socket: Socket, sink: FrameSink): void {
  let chunks: Buffer[] = [];
  let buffered = 0;
  let wanted = 4;
  socket.on('data', (chunk: Buffer) => {
    sink.heard();
    chunks.push(chunk);
    buffered += chunk.length;
    if (buffered < wanted) return;
    let data = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    try {
      while (data.length >= 4) {
        const length = data.readUInt32BE(0);
        if (length < HEADER_BYTES || length > FRAME_BYTES_MAX) throw unavailable(`a frame of ${length} bytes is not libvirt's`);
        if (data.length < length) break;
        sink.onFrame(data.subarray(4, length));
        data = data.subarray(length);
      }
    } catch (error) {
      sink.fail(errorText(error));
      return;
    }
    wanted = data.length >= 4 ? data.readUInt32BE(0) : 4;
    chunks = data.length > 0 ? [data] : [];
    buffered = data.length;
  });
  socket.on('error', (error) => sink.fail(errorText(error)));
  socket.on('close', () => sink.fail('the daemon closed it'));
}
