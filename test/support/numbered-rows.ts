/**
 * A host agent's uplink and buffer that send numbered rows to a real aggregator and write down which were acknowledged. The
 * row's number is its value and tells its time, so that a store can be asked for each. Input: the aggregator's address;
 * output: what was sent, what was acknowledged.
 */
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { systemClock } from '../../shared/clock.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import type { Prng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import type { Subject } from '../../shared/telemetry.ts';
import { helloFrame, inventoryFrame, rowsOf, vmUuid } from './wire-world.ts';

export const VM: Subject = { kind: 'vm', id: vmUuid(1) };
export const NUMBER = 'vm_cpu.usageCores';

/** Some thousand rows a second, in blocks as agents send them. */
const TICK_MS = 20;
const ROWS_PER_TICK = 10;
/** Time between two rows. */
const ROW_MS = 2;
/** Rows of the recent past: no bin of theirs is closed, none lies ahead. */
const BEGAN_MS_AGO = 20 * 60_000;

export interface NumberedRows {
  readonly sent: number;
  readonly acknowledged: readonly number[];
  timeOf(number: number): number;
  /** Begins sending. */
  feed(): void;
  /** Sends no more; what is not acknowledged still goes. */
  rest(): void;
  /** Rows with a second field that the store will not have; answers their numbers. */
  sendPartlyRefused(count: number): number[];
  stop(): Promise<void>;
}

export function numberedRows(url: string, prng: Prng): NumberedRows {
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: webSocketConnect(url, FRAME_BYTES_MAX),
    clock: systemClock,
    prng,
    hello: () => helloFrame({ host: 'host-a' }),
    buffer,
    flushMs: 50,
    ackTimeoutMs: 500,
    backoff: { baseMs: 20, capMs: 200 },
    drainMs: 50,
    handlers: { onWelcome: () => uplink.send(inventoryFrame([VM.id])) },
  });
  uplink.start();
  const beganMs = Date.now() - BEGAN_MS_AGO;
  const acknowledged: number[] = [];
  let sent = 0;
  const timeOf = (number: number): number => beganMs + number * ROW_MS;
  const send = (count: number, fields: readonly string[]): number[] => {
    const numbers = Array.from({ length: count }, () => sent++);
    const values = Float64Array.from(numbers.flatMap((number) => fields.map(() => number)));
    buffer.append(rowsOf(VM.id, numbers.map(timeOf), { fields, values }), systemClock.monotonicMs(), (stored) => {
      if (stored) acknowledged.push(...numbers);
    });
    return numbers;
  };
  let feeder: NodeJS.Timeout | undefined;
  const rest = (): void => clearInterval(feeder);
  return {
    get sent() {
      return sent;
    },
    acknowledged,
    timeOf,
    feed: () => {
      feeder = setInterval(() => send(ROWS_PER_TICK, [NUMBER]), TICK_MS);
    },
    rest,
    sendPartlyRefused: (count) => send(count, [NUMBER, 'vm_disk.readIops']),
    stop: async () => {
      rest();
      await uplink.stop();
    },
  };
}
