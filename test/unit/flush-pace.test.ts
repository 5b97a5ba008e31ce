/** Goal: a large fleet is asked to send less often, a small one is not, one at the edge does not change its mind each time; agents do as asked. */
import t from 'tap';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { FlushPace, flushMsAt } from '../../aggregator/ingest/flush-pace.ts';
import { Session } from '../../shared/net/session.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { helloFrame, inventoryFrame, rowsOf, vmUuid } from '../support/wire-world.ts';

/** Rows at a steady rate for some seconds, told each half second; answers the pace after each. */
function paces(pace: FlushPace, fromMs: number, seconds: number, rowsPerSecond: number): number[] {
  return Array.from({ length: 2 * seconds }, (_, i) => {
    pace.note(rowsPerSecond / 2, fromMs + 500 * (i + 1));
    return pace.flushMs;
  });
}

t.test('by the rate of rows', async (t) => {
  t.same([10, 1000, 1001, 4000, 20_000, 120_000].map(flushMsAt), [1000, 1000, 2000, 2000, 5000, 5000]);
  const pace = new FlushPace(0);
  t.ok(paces(pace, 0, 60, 900).every((flushMs) => flushMs === 1000));
  t.equal(paces(pace, 60_000, 30, 20_000).at(-1), 5000);
  t.equal(paces(pace, 90_000, 30, 700).at(-1), 1000);
});

t.test('at an edge the slower pace stays', async (t) => {
  const pace = new FlushPace(0);
  paces(pace, 0, 20, 1100);
  for (let i = 0; i < 10; i++) t.same(new Set(paces(pace, 20_000 + 20_000 * i, 20, i % 2 === 0 ? 900 : 1100)), new Set([2000]));
  t.equal(paces(pace, 300_000, 30, 700).at(-1), 1000);
});

/** Batches an agent sends in each of some minutes, one row a second, to an aggregator that asks for `askedMs` with its second acknowledgement. */
async function batchesPerMinute(askedMs: number, flushMs?: number): Promise<number[]> {
  const time = new SimulatedTime(createPrng(1), 0);
  const clock = new NodeClock(time);
  const net = createSimulatedNetwork({ clock, name: 'x', maxBytes: FRAME_BYTES_MAX });
  const vm = vmUuid(1);
  const batchesAtMs: number[] = [];
  let bootId = '';
  net.onConnection((transport) => {
    const session: Session = new Session({
      transport,
      clock,
      receiver: 'aggregator',
      onClose: () => undefined,
      onFrame: (frame) => {
        if (frame.type === 'hello') {
          bootId = frame.bootId;
          const welcome = { version: 1, connectionId: 'x', epoch: 1, heartbeatMs: 5000, window: 32, backlogRowsPerSecond: 100, wallMs: 0 };
          session.send({ type: 'welcome', ...welcome });
          session.established(5000);
        }
        if (frame.type !== 'telemetry') return;
        session.decodeBlocks(frame);
        batchesAtMs.push(clock.monotonicMs());
        const asked = batchesAtMs.length === 2 ? { flushMs: askedMs } : {};
        session.send({ type: 'ack', bootId, lane: frame.lane, fromSeq: frame.seq, toSeq: frame.seq, ...asked });
      },
    });
  });
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const uplink: Uplink = createUplink({
    ...{ role: 'host', connect: net.connect, clock, prng: createPrng(2), hello: () => helloFrame(), buffer },
    ...(flushMs === undefined ? {} : { flushMs }),
    handlers: { onWelcome: () => uplink.send(inventoryFrame([vm])) },
  });
  uplink.start();
  for (let second = 1; second <= 180; second++) {
    buffer.append(rowsOf(vm, [second * 1000]), clock.monotonicMs());
    await time.runUntil(second * 1000);
  }
  return [0, 1, 2].map((minute) => batchesAtMs.filter((ms) => Math.floor(ms / 60_000) === minute).length);
}

t.test('an agent gathers rows for as long as it is asked to', async (t) => {
  const [, second, third] = await batchesPerMinute(5000);
  t.same([second, third], [12, 12]);
});

t.test('an agent with a pace of its own keeps it', async (t) => {
  const [, second] = await batchesPerMinute(5000, 1000);
  t.equal(second, 60);
});
