/**
 * Goal: an agent that has nothing to send does not wake up to find that out, and one that has sends at its pace: rows, what waits for a
 * confirmation and what waits for a connection keep it awake.
 */
import t from 'tap';
import { GUEST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink } from '../../agent/loops/uplink.ts';
import type { Timer } from '../../shared/clock.ts';
import { Session } from '../../shared/net/session.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { helloFrame, rowsOf, vmUuid } from '../support/wire-world.ts';

const FLUSH_MS = 1000;
const VM = vmUuid(1);

/** Counts flushes alone: heartbeats have a period of their own. */
class CountingClock extends NodeClock {
  flushTimers = 0;

  override setTimeout(run: () => void, delayMs: number): Timer {
    if (delayMs <= FLUSH_MS) this.flushTimers++;
    return super.setTimeout(run, delayMs);
  }
}

function world(flushMs = FLUSH_MS) {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new CountingClock(time);
  const network = createSimulatedNetwork({ clock: new NodeClock(time), name: 'line', maxBytes: FRAME_BYTES_MAX });
  const heard: number[] = [];
  let confirming = true;
  network.onConnection((transport) => {
    const session: Session = new Session({
      transport,
      clock: new NodeClock(time),
      receiver: 'aggregator',
      maxBytes: FRAME_BYTES_MAX,
      onClose: () => undefined,
      onFrame(frame) {
        if (frame.type === 'hello') {
          const { bootId } = frame;
          session.send({
            ...{ type: 'welcome', version: 1, connectionId: 'x', epoch: 5, heartbeatMs: 60_000, window: 8 },
            ...{ backlogRowsPerSecond: 1000, wallMs: time.wallMs },
          });
          session.established(60_000);
          acknowledge = (lane, seq) => session.send({ type: 'ack', bootId, lane, fromSeq: seq, toSeq: seq });
        }
        if (frame.type !== 'telemetry') return;
        session.decodeBlocks(frame);
        heard.push(time.nowMs);
        if (confirming) acknowledge(frame.lane, frame.seq);
      },
    });
  });
  let acknowledge: (lane: 'live' | 'backlog', seq: number) => void = () => undefined;
  const buffer = new SampleBuffer(GUEST_BUFFER_LIMITS);
  const uplink = createUplink({
    ...{ role: 'guest', connect: network.connect, clock, prng: createPrng(2), buffer, flushMs, handlers: {} },
    hello: () => helloFrame({ host: 'host-a' }),
  });
  uplink.start();
  return {
    ...{ buffer, uplink, clock, network, heard },
    confirm(now: boolean) {
      confirming = now;
    },
    append: () => buffer.append(rowsOf(VM, [time.wallMs]), clock.monotonicMs()),
    run: (seconds: number) => time.runUntil(time.nowMs + seconds * 1000),
    flushesIn: async (seconds: number) => {
      const before = clock.flushTimers;
      await time.runUntil(time.nowMs + seconds * 1000);
      return clock.flushTimers - before;
    },
    nowMs: () => time.nowMs,
  };
}

t.test('it rests, sends within its period what comes, and rests again', async (t) => {
  const { uplink, append, run, flushesIn, heard, nowMs } = world();
  await run(10);
  t.ok(uplink.connected);
  t.equal(await flushesIn(3600), 0, 'an hour of nothing');
  for (let minute = 0; minute < 10; minute++) {
    append();
    const cameMs = nowMs();
    t.ok((await flushesIn(60)) <= 2);
    t.equal(heard.length, minute + 1);
    t.ok(heard.at(-1)! - cameMs <= FLUSH_MS + 100, `sent ${heard.at(-1)! - cameMs} ms after it came`);
  }
  t.equal(await flushesIn(3600), 0);
});

t.test('what is not confirmed keeps it awake, and is sent again', async (t) => {
  const { append, run, flushesIn, heard, confirm } = world();
  await run(10);
  confirm(false);
  append();
  t.ok((await flushesIn(60)) >= 50);
  t.ok(heard.length >= 2, 'again after its time');
  confirm(true);
  await run(60);
  t.equal(await flushesIn(600), 0);
});

t.test('rows wait for a connection', async (t) => {
  const { uplink, append, run, flushesIn, heard, network } = world();
  await run(10);
  network.setPartitioned(true);
  await run(60);
  append();
  t.ok((await flushesIn(60)) >= 50);
  t.equal(heard.length, 0);
  network.setPartitioned(false);
  await run(120);
  t.ok(uplink.connected);
  t.equal(heard.length, 1);
  t.equal(await flushesIn(600), 0);
});

t.test('a period that is no whole number of milliseconds is kept all the same', async (t) => {
  const { append, run, flushesIn, confirm } = world(1000 / 3);
  await run(10);
  confirm(false);
  append();
  const flushes = await flushesIn(20);
  t.ok(flushes >= 55 && flushes <= 65, `${flushes} in 20 s`);
});

t.test('ended and begun again, it sends', async (t) => {
  const { uplink, append, run, heard, nowMs } = world();
  await run(10);
  append();
  const stopped = uplink.stop();
  await run(10);
  await stopped;
  t.equal(heard.length, 1);
  uplink.start();
  await run(10);
  append();
  const cameMs = nowMs();
  await run(10);
  t.equal(heard.length, 2);
  t.ok(heard.at(-1)! - cameMs <= FLUSH_MS + 100);
});
