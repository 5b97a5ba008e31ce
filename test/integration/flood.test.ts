/** Goal: a peer that floods is read at its pace and no faster, whatever it sends, and costs the others nothing they would notice. */
import t from 'tap';
import { WebSocket } from 'ws';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { createIngest } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { systemClock } from '../../shared/clock.ts';
import { createCodec } from '../../shared/net/codec.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame } from '../../shared/protocol/frames.ts';
import { eventFrame, helloFrame, inventoryFrame, MemoryStore, RecordingSink, rowsOf, until, vmUuid } from '../support/wire-world.ts';

const PACE = { peerFramesPerSecond: 50, peerFramesBurst: 100 };

for (const [kind, frame] of [
  ['pings', { type: 'ping', id: 1 }],
  ['events', eventFrame('again', vmUuid(1))],
  ['inventories', inventoryFrame([vmUuid(1)])],
] as const satisfies readonly (readonly [string, Frame])[]) {
  t.test(`a flood of ${kind}`, async (t) => {
    const store = new MemoryStore();
    const sink = new RecordingSink();
    const ingest = createIngest({
      ...{ clock: systemClock, store, sink, epoch: 1, limits: PACE },
      ownsVm: (vm) => sink.owners.get(vm) ?? null,
    });
    const server = await serveAgents(ingest, {});
    t.teardown(async () => {
      await ingest.stop();
      await server.close();
    });
    const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
    const honest: Uplink = createUplink({
      role: 'host',
      connect: webSocketConnect(server.url, FRAME_BYTES_MAX),
      clock: systemClock,
      prng: createPrng(1),
      hello: () => helloFrame({ host: 'honest' }),
      buffer,
      flushMs: 20,
      handlers: { onWelcome: () => honest.send(inventoryFrame([vmUuid(2)])) },
    });
    honest.start();
    await until(() => sink.log.includes('inventory honest 1'), 'the honest inventory');
    const codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
    const flooder = new WebSocket(server.url, { perMessageDeflate: false });
    flooder.on('error', () => undefined);
    await until(() => flooder.readyState === WebSocket.OPEN, 'the flooder');
    for (const each of [helloFrame({ host: 'flood' }), inventoryFrame([vmUuid(1)])]) flooder.send(codec.encode(each));
    const startMs = performance.now();
    const framesBefore = ingest.counters.frames;
    for (let i = 0; i < 20_000; i++) flooder.send(codec.encode(frame));
    for (let second = 1; second <= 20; second++) {
      buffer.append(rowsOf(vmUuid(2), [second * 1000]), systemClock.monotonicMs());
      await until(() => buffer.empty, `acknowledgement ${second} of the honest agent`);
    }
    const seconds = (performance.now() - startMs) / 1000;
    const read = ingest.counters.frames - framesBefore;
    t.ok(ingest.counters.slowed > 0, 'it is made to wait');
    // What the socket had handed over already is still read: the library's own buffer.
    t.ok(
      read < 2 * (PACE.peerFramesBurst + PACE.peerFramesPerSecond * (seconds + 1)) + 200,
      `${read} frames read in ${seconds.toFixed(1)} s`,
    );
    t.equal(store.times(vmUuid(2)).length, 20);
    flooder.terminate();
    await honest.stop();
  });
}
