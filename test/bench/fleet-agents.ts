/**
 * Simulated agents of `bench fleet`, a process of its own: each a real connection of a host agent with one VM, at 1 Hz.
 * Input: by IPC, how many, where, and for how long; output: delays from a frame's sending to its acknowledgement, and counts.
 * To be cheap beside what it measures, each agent's frames are encoded once by the real codec; then only times, numbers and
 * a few values are written into the bytes. What comes back is read by the real codec.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createBlockEncoder } from '../../shared/net/blocks.ts';
import { type Codec, createCodec } from '../../shared/net/codec.ts';
import { AGENT_PATH } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX, type FrameOf } from '../../shared/protocol/frames.ts';
import { HOST_FIELDS, type TelemetryBlock, VM_HOST_FIELDS } from '../../shared/telemetry.ts';
import { helloFrame, inventoryFrame } from '../support/wire-world.ts';
import { vmUuid } from './made-rows.ts';

export interface FleetOrder {
  port: number;
  agents: number;
  /** Rows of each second travel together in a frame of so many. */
  secondsPerFrame: number;
  /** Frames of this long at the start are not counted: connections, first steps of compilers. */
  warmUpSeconds: number;
  seconds: number;
  /** Over TLS, by this authority (PEM); null = plain. */
  ca: string | null;
}

export interface FleetHeard {
  frames: number;
  acknowledged: number;
  rowsSent: number;
  disconnected: number;
  /** From sending to acknowledgement, ms, of all frames after the warm-up. */
  ackDelayMsP50: number;
  ackDelayMsP99: number;
  ackDelayMsMax: number;
  cpuSeconds: number;
  wallSeconds: number;
  /** Until all were connected and welcomed. */
  openSeconds: number;
}

const CONNECTING_AT_ONCE = 64;
/** Numbers of frames begin here, so that each takes as many bytes as the last. */
const SEQ_FIRST = 1_000_000;
const SEQ_TOKEN = 0xce;
/** A mark that is found again in encoded bytes. */
const MARK = 1e15 + 0.5;
const TICK_MS = 5;
const SETTLE_MS = 10_000;
const OPCODE_CLOSE = 8;
/** Numbers of pings are told in as many bytes as this one. */
const PING_ID_MARK = 0x7fff_fffe;
/** Refusals told one by one; the rest are counted. */
const PROBLEMS_TOLD_MAX = 5;
let problemsTold = 0;

/** A message as a client's WebSocket frame, with a mask of zeros. */
function framed(message: Uint8Array): Buffer {
  const long = message.length > 125;
  const head = Buffer.alloc(long ? 8 : 6);
  head[0] = 0x82;
  if (long) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(message.length, 2);
  } else head[1] = 0x80 | message.length;
  return Buffer.concat([head, message]);
}

function marked(value: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xcb;
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

type OnAck = (delayMs: number, sentMs: number) => void;

/** A frame's bytes, and where in them what changes stands. */
interface Template {
  bytes: Buffer;
  seqAt: number;
  wallAt: number;
  monotonicAt: number;
  timesAt: number[];
  valuesAt: number[];
}

class SimulatedAgent {
  readonly #codec: Codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
  readonly #bootId: string;
  readonly #index: number;
  readonly #order: FleetOrder;
  readonly #onAck: OnAck;
  /** The first two name fields and shapes; the third is sent again and again. */
  #frames: Template[] = [];
  /** The first names its shape. */
  #pongs: { bytes: Buffer; idAt: number }[] = [];
  #pongsSent = 0;
  #socket: Socket | null = null;
  #rest: Buffer = Buffer.alloc(0);
  #welcomed: (() => void) | null = null;
  #sent = 0;
  /** Sending times of frames not yet acknowledged. */
  readonly waiting = new Map<number, number>();
  acknowledged = 0;
  connected = false;

  constructor(index: number, order: FleetOrder, onAck: OnAck) {
    this.#index = index;
    this.#order = order;
    this.#onAck = onAck;
    this.#bootId = `boot-${index}`;
  }

  get sent(): number {
    return this.#sent;
  }

  async open(): Promise<void> {
    const { port, ca } = this.#order;
    const to = { port, host: '127.0.0.1', noDelay: true };
    const socket = ca === null ? connect(to) : connectTls({ ...to, ca, minVersion: 'TLSv1.3' });
    this.#socket = socket;
    await once(socket, ca === null ? 'connect' : 'secureConnect');
    const upgrade = [
      'upgrade: websocket',
      'connection: Upgrade',
      'sec-websocket-version: 13',
      'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
    ];
    socket.write(`GET ${AGENT_PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n${upgrade.join('\r\n')}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (!answer.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(`not taken: ${answer.toString('latin1').slice(0, 80)}`);
    this.#rest = answer.subarray(answer.indexOf('\r\n\r\n') + 4);
    socket.on('data', (data: Buffer) => this.#received(data));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.connected = false;
    });
    const welcomed = new Promise<void>((resolve) => {
      this.#welcomed = resolve;
    });
    const sender = createCodec({ maxBytes: FRAME_BYTES_MAX });
    const host = `host-${this.#index}`;
    socket.write(framed(sender.encode(helloFrame({ host, bootId: this.#bootId }))));
    await welcomed;
    socket.write(framed(sender.encode(inventoryFrame([vmUuid(this.#index)]))));
    const encoder = createBlockEncoder(64);
    this.#frames = [0, 1, 2].map(() => this.#template(sender, encoder));
    this.#pongs = [0, 1].map(() => {
      const bytes = framed(sender.encode({ type: 'pong', id: PING_ID_MARK }));
      const mark = Buffer.alloc(4);
      mark.writeUInt32BE(PING_ID_MARK);
      return { bytes, idAt: bytes.indexOf(mark) };
    });
    this.connected = true;
  }

  /** Rows of the seconds up to now. */
  send(): void {
    const frame = this.#frames[Math.min(2, this.#sent)]!;
    const seq = SEQ_FIRST + this.#sent++;
    const nowMs = Date.now();
    const { bytes, timesAt, valuesAt } = frame;
    bytes.writeUInt32BE(seq, frame.seqAt);
    bytes.writeDoubleBE(nowMs, frame.wallAt);
    bytes.writeDoubleBE(performance.now(), frame.monotonicAt);
    const { secondsPerFrame } = this.#order;
    const lastMs = Math.floor(nowMs / 1000) * 1000;
    for (const at of timesAt)
      for (let i = 0; i < secondsPerFrame; i++) bytes.writeDoubleLE(lastMs - (secondsPerFrame - 1 - i) * 1000, at + 8 * i);
    for (const at of valuesAt) bytes.writeDoubleLE(Math.round(1000 * Math.random()) / 1000, at);
    this.waiting.set(seq, performance.now());
    // The bytes are written to again before a slow socket may have taken them.
    this.#socket?.write(Buffer.from(bytes));
  }

  close(): void {
    this.#socket?.destroy();
  }

  #template(codec: Codec, encoder: ReturnType<typeof createBlockEncoder>): Template {
    const vm = this.#block({ kind: 'vm', id: vmUuid(this.#index) }, VM_HOST_FIELDS);
    const host = this.#block({ kind: 'host', id: `host-${this.#index}` }, HOST_FIELDS);
    const blocks = [vm, host].map((block) => encoder.encode(block));
    const bytes = framed(codec.encode({ type: 'telemetry', lane: 'live', seq: SEQ_FIRST, wallMs: MARK, monotonicMs: MARK + 1, blocks }));
    const seqBytes = Buffer.alloc(5);
    seqBytes[0] = SEQ_TOKEN;
    seqBytes.writeUInt32BE(SEQ_FIRST, 1);
    const found = (what: Uint8Array): number => {
      const at = bytes.indexOf(what);
      if (at < 0) throw new Error('an encoded frame does not hold what was put into it');
      return at;
    };
    const places = [vm, host].map(({ timesMs, values, fields }) => ({
      timesAt: found(Buffer.from(timesMs.buffer)),
      valuesAt: found(Buffer.from(values.buffer)),
      fields: fields.length,
    }));
    const moving = places.flatMap(({ valuesAt, fields }) =>
      Array.from({ length: this.#order.secondsPerFrame }, (_, row) =>
        [0, 3, 6, 9, 12].map((column) => valuesAt + 8 * (row * fields + column)),
      ).flat(),
    );
    return {
      bytes,
      seqAt: found(seqBytes) + 1,
      wallAt: found(marked(MARK)) + 1,
      monotonicAt: found(marked(MARK + 1)) + 1,
      timesAt: places.map(({ timesAt }) => timesAt),
      valuesAt: moving,
    };
  }

  /** Values that rest in most columns, as real ones do; times that are found again. */
  #block(subject: TelemetryBlock['subject'], fields: readonly string[]): TelemetryBlock {
    const rows = this.#order.secondsPerFrame;
    const start = Math.floor(Date.now() / 1000) * 1000 + (subject.kind === 'vm' ? 0 : 500);
    const row = Float64Array.from(fields, () => Math.round(4096 * Math.random()));
    const values = new Float64Array(rows * fields.length);
    for (let i = 0; i < rows; i++) values.set(row, i * fields.length);
    return { subject, source: 'host', fields, timesMs: Float64Array.from({ length: rows }, (_, i) => start + 1000 * i), values };
  }

  #received(data: Buffer): void {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    let at = 0;
    while (all.length - at >= 2) {
      let length = all[at + 1]! & 0x7f;
      let head = 2;
      if (length === 126) {
        if (all.length - at < 4) break;
        length = all.readUInt16BE(at + 2);
        head = 4;
      }
      if (all.length - at < head + length) break;
      if ((all[at]! & 0x0f) === OPCODE_CLOSE) this.#socket?.destroy();
      else this.#message(all.subarray(at + head, at + head + length));
      at += head + length;
    }
    this.#rest = at < all.length ? Buffer.from(all.subarray(at)) : Buffer.alloc(0);
  }

  #message(bytes: Buffer): void {
    const frame = this.#codec.decode(bytes);
    if (frame.type === 'welcome') this.#welcomed?.();
    else if (frame.type === 'ack') this.#acknowledge(frame);
    else if (frame.type === 'ping') this.#pong(frame.id);
    else if (frame.type === 'error' && ++problemsTold <= PROBLEMS_TOLD_MAX)
      console.error(`  host-${this.#index}: ${frame.code}: ${frame.message}`);
  }

  #pong(id: number): void {
    const pong = this.#pongs[Math.min(1, this.#pongsSent++)];
    if (pong === undefined) return;
    pong.bytes.writeUInt32BE(id, pong.idAt);
    this.#socket?.write(Buffer.from(pong.bytes));
  }

  #acknowledge({ fromSeq, toSeq }: FrameOf<'ack'>): void {
    const nowMs = performance.now();
    for (let seq = fromSeq; seq <= toSeq; seq++) {
      const sentMs = this.waiting.get(seq);
      if (sentMs === undefined) continue;
      this.waiting.delete(seq);
      this.acknowledged++;
      this.#onAck(nowMs - sentMs, sentMs);
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function openAll(agents: readonly SimulatedAgent[]): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < agents.length) await agents[next++]!.open();
  };
  await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, lane));
}

/** Frames of the agents at their turns, spread evenly; answers when all was sent. */
async function sendAll(agents: readonly SimulatedAgent[], { secondsPerFrame, warmUpSeconds, seconds }: FleetOrder): Promise<void> {
  const periodMs = secondsPerFrame * 1000;
  const startMs = performance.now();
  const turns = Math.floor(((warmUpSeconds + seconds) / secondsPerFrame) * agents.length);
  for (let turn = 0; turn < turns; ) {
    const due = Math.min(turns, Math.floor(((performance.now() - startMs) / periodMs) * agents.length));
    for (; turn < due; turn++) agents[turn % agents.length]!.send();
    await pause(TICK_MS);
  }
}

async function run(order: FleetOrder): Promise<FleetHeard> {
  const delays: number[] = [];
  let countedFromMs = Number.POSITIVE_INFINITY;
  const onAck: OnAck = (delayMs, sentMs) => {
    if (sentMs >= countedFromMs) delays.push(delayMs);
  };
  const agents = Array.from({ length: order.agents }, (_, index) => new SimulatedAgent(index, order, onAck));
  const openingMs = performance.now();
  await openAll(agents);
  const openSeconds = (performance.now() - openingMs) / 1000;
  process.send?.('open');
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  countedFromMs = startedMs + order.warmUpSeconds * 1000;
  await sendAll(agents, order);
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  process.send?.('sent');
  const settledMs = performance.now() + SETTLE_MS;
  while (agents.some(({ waiting }) => waiting.size > 0) && performance.now() < settledMs) await pause(50);
  // What was never acknowledged waited this long at least.
  for (const { waiting } of agents) for (const sentMs of waiting.values()) onAck(performance.now() - sentMs, sentMs);
  delays.sort((a, b) => a - b);
  const share = (of: number): number => delays[Math.min(delays.length - 1, Math.floor(of * delays.length))] ?? Number.NaN;
  const frames = agents.reduce((sum, { sent }) => sum + sent, 0);
  const heard: FleetHeard = {
    frames,
    acknowledged: agents.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    rowsSent: 2 * order.secondsPerFrame * frames,
    disconnected: agents.filter(({ connected }) => !connected).length,
    ackDelayMsP50: share(0.5),
    ackDelayMsP99: share(0.99),
    ackDelayMsMax: delays.at(-1) ?? Number.NaN,
    cpuSeconds: (user + system) / 1e6,
    wallSeconds,
    openSeconds,
  };
  for (const agent of agents) agent.close();
  return heard;
}

process.on('message', (order: FleetOrder) => {
  run(order).then(
    (heard) => process.send?.(heard, () => process.exit()),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit());
