/** Goal: the protocol's connection logic: deadlines, heartbeats, order, bounded queue, errors told to the peer, confirmation. */
import t from 'tap';
import { sleep, systemClock } from '../../shared/clock.ts';
import type { HeadroomError } from '../../shared/errors.ts';
import { createCodec } from '../../shared/net/codec.ts';
import { SEND_QUEUE_FRAMES_MAX, Session } from '../../shared/net/session.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { serveWebSocket, webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame } from '../../shared/protocol/frames.ts';
import type { Receiver } from '../../shared/protocol/validate.ts';
import { chooseVersion } from '../../shared/protocol/versions.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { commandFrame, eventFrame, helloFrame } from '../support/wire-world.ts';

interface World {
  time: SimulatedTime;
  clock: NodeClock;
  /** The end under test. */
  session: Session;
  frames: Frame[];
  closes: (HeadroomError | undefined)[];
  /** The other end, by hand. */
  peer: Transport;
  peerFrames: Frame[];
  peerSend(frame: Frame): boolean;
}

async function world(receiver: Receiver = 'aggregator'): Promise<World> {
  const time = new SimulatedTime(createPrng(1), 0);
  const clock = new NodeClock(time);
  const net = createSimulatedNetwork({ clock, name: 'x', maxBytes: FRAME_BYTES_MAX });
  let transport: Transport | undefined;
  net.onConnection((arrived) => (transport = arrived));
  const peer = await net.connect();
  const frames: Frame[] = [];
  const closes: (HeadroomError | undefined)[] = [];
  const session = new Session({
    transport: transport!,
    clock,
    receiver,
    onFrame: (frame) => frames.push(frame),
    onClose: (error) => closes.push(error),
  });
  const up = createCodec({ maxBytes: FRAME_BYTES_MAX });
  const down = createCodec({ maxBytes: FRAME_BYTES_MAX });
  const peerFrames: Frame[] = [];
  peer.onMessage((message) => peerFrames.push(down.decode(message)));
  return { time, clock, session, frames, closes, peer, peerFrames, peerSend: (frame) => peer.send(up.encode(frame)) };
}

t.test('versions', async (t) => {
  t.equal(chooseVersion([3, 1, 2]), 2);
  t.equal(chooseVersion([1]), 1);
  t.throws(() => chooseVersion([3, 4]), { code: 'PROTOCOL_VERSION', message: /3, 4.*speaks 2 and 1/ });
});

t.test('no handshake in time ends the connection, and the peer is told why', async (t) => {
  const w = await world();
  await w.time.runUntil(20_000);
  t.match(w.closes, [{ code: 'TIMEOUT' }]);
  t.match(w.peerFrames, [{ type: 'error', code: 'TIMEOUT' }]);
});

t.test('heartbeats: pings are answered, silence ends the connection, any frame is a sign of life', async (t) => {
  const w = await world();
  w.session.established(1000);
  w.peerSend({ type: 'ping', id: 9 });
  await w.time.runUntil(2500);
  t.ok(w.peerFrames.some((frame) => frame.type === 'pong' && frame.id === 9));
  // Its own ping was answered within one and a half periods of the first beat.
  t.equal(w.peerFrames.filter((frame) => frame.type === 'ping').length, 1);
  for (let now = 3000; now <= 9000; now += 1000) {
    w.peerSend({ type: 'pong', id: 0 });
    await w.time.runUntil(now);
  }
  t.equal(w.closes.length, 0, 'alive');
  await w.time.runUntil(15_000);
  t.match(w.closes, [{ code: 'TIMEOUT', message: /silent/ }]);
});

t.test('heartbeats: silence ends the connection after four periods, not with the beat that follows', async (t) => {
  const w = await world();
  w.session.established(1000);
  await w.time.runUntil(700);
  w.peerSend({ type: 'pong', id: 0 });
  await w.time.runUntil(4650);
  t.equal(w.closes.length, 0);
  await w.time.runUntil(4800);
  t.match(w.closes, [{ code: 'TIMEOUT', message: /silent/ }]);
});

t.test('heartbeats: a process that was stopped reads what came meanwhile before it calls its peer silent', async (t) => {
  const arrived: Transport[] = [];
  const server = await serveWebSocket({ maxBytes: FRAME_BYTES_MAX }, (transport) => arrived.push(transport));
  t.teardown(() => server.close());
  const peer = await webSocketConnect(server.url, FRAME_BYTES_MAX)();
  while (arrived.length === 0) await sleep(systemClock, 1);
  const closes: unknown[] = [];
  const session = new Session({
    ...{ transport: arrived[0]!, clock: systemClock, receiver: 'aggregator' },
    ...{ onFrame: () => undefined, onClose: (error) => closes.push(error) },
  });
  session.established(100);
  const up = createCodec({ maxBytes: FRAME_BYTES_MAX });
  for (let round = 0; round < 3; round++) {
    peer.send(up.encode({ type: 'pong', id: 0 }));
    const sinceMs = systemClock.monotonicMs();
    while (systemClock.monotonicMs() - sinceMs < 700) {
      // Stopped, as by the machine.
    }
    await sleep(systemClock, 50);
  }
  t.same(closes, [], 'it was heard all the while');
  await sleep(systemClock, 600);
  t.match(closes, [{ code: 'TIMEOUT' }], 'now it is silent');
});

t.test('heartbeats: while both ends hear from each other anyway, nobody pings', async (t) => {
  const w = await world('host-agent');
  const pings = () => w.peerFrames.filter((frame) => frame.type === 'ping').length;
  w.session.established(1000);
  for (let now = 500; now <= 5500; now += 500) {
    await w.time.runUntil(now);
    w.session.send(eventFrame('up'));
    w.peerSend(commandFrame('00000000-0000-4000-8000-000000000001'));
  }
  t.equal(pings(), 0);
  for (let now = 6000; now <= 9000; now += 500) {
    await w.time.runUntil(now);
    w.session.send(eventFrame('up'));
  }
  t.equal(pings(), 3, 'it is heard no more: asked');
  for (let now = 9500; now <= 13_000; now += 500) {
    await w.time.runUntil(now);
    w.peerSend(commandFrame('00000000-0000-4000-8000-000000000001'));
  }
  t.equal(pings(), 5, 'it hears nothing of us: told that we are there, and our own pings count');
  t.same(w.closes, []);
});

t.test('a peer we do not read is not silent', async (t) => {
  const w = await world();
  w.session.established(1000);
  w.session.pause();
  await w.time.runUntil(60_000);
  t.equal(w.closes.length, 0);
  w.session.resume();
  await w.time.runUntil(70_000);
  t.match(w.closes, [{ code: 'TIMEOUT' }]);
});

t.test('a barrier runs once the peer has read what was sent before', async (t) => {
  const w = await world('host-agent');
  let confirmed = 0;
  w.session.send(eventFrame('one'));
  w.session.barrier(() => confirmed++);
  await w.time.runUntil(10);
  t.same(
    w.peerFrames.map((frame) => frame.type),
    ['event', 'ping'],
  );
  t.equal(confirmed, 0);
  const ping = w.peerFrames[1] as { id: number };
  w.peerSend({ type: 'pong', id: ping.id });
  w.peerSend({ type: 'pong', id: ping.id });
  await w.time.runUntil(20);
  t.equal(confirmed, 1);
});

t.test('a peer that does not read: frames wait un-encoded, up to the limit, then are dropped and counted', async (t) => {
  const w = await world();
  w.session.established(1e9);
  w.peer.pause();
  const large = { type: 'error', code: 'x', message: 'y'.repeat(1000) } as const;
  let sent = 0;
  while (w.session.writable) {
    w.session.send(large);
    sent++;
  }
  let queued = 0;
  while (queued < SEND_QUEUE_FRAMES_MAX && w.session.send({ type: 'ping', id: queued })) queued++;
  t.equal(queued, SEND_QUEUE_FRAMES_MAX);
  t.notOk(w.session.send({ type: 'ping', id: 0 }));
  t.equal(w.session.dropped, 1);
  w.peer.resume();
  await w.time.runUntil(10);
  t.equal(w.peerFrames.length, sent + SEND_QUEUE_FRAMES_MAX, 'the rest arrives, in order and readable');
  t.match(w.peerFrames.at(-1), { type: 'ping', id: SEND_QUEUE_FRAMES_MAX - 1 });
});

t.test('frames that may not arrive at an end are refused there', async (t) => {
  const cases: [Receiver, Frame][] = [
    ['aggregator', commandFrame('00000000-0000-4000-8000-000000000001')],
    ['host-agent', helloFrame()],
    ['guest-agent', commandFrame('00000000-0000-4000-8000-000000000001')],
    ['host-agent-from-guest', eventFrame('x')],
  ];
  for (const [receiver, frame] of cases) {
    const w = await world(receiver);
    w.peerSend(frame);
    await w.time.runUntil(10);
    t.match(w.closes, [{ code: 'FRAME_INVALID' }], receiver);
    t.equal(w.frames.length, 0);
  }
});

t.test('an error frame from the peer ends the connection with its words', async (t) => {
  const w = await world('host-agent');
  w.peerSend({ type: 'error', code: 'HANDSHAKE_REFUSED', message: 'not you' });
  await w.time.runUntil(10);
  t.match(w.closes, [{ code: 'CONNECTION_CLOSED', message: /HANDSHAKE_REFUSED: not you/ }]);
});
