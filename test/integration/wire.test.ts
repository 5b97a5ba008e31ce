/**
 * Goal: agent and aggregator over a real WebSocket. Nothing acknowledged is lost and nothing is stored twice when the
 * aggregator is killed and restarted mid-stream; every kind of bad frame gets a clear error and costs only its sender.
 */
import { Packr } from 'msgpackr/pack';
import t from 'tap';
import { WebSocket } from 'ws';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink, type UplinkHandlers } from '../../agent/loops/uplink.ts';
import { createIngest, type Ingest } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { systemClock } from '../../shared/clock.ts';
import { createCodec } from '../../shared/net/codec.ts';
import type { TransportServer } from '../../shared/net/websocket.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf } from '../../shared/protocol/frames.ts';
import {
  commandFrame,
  eventFrame,
  helloFrame,
  inventoryFrame,
  MemoryStore,
  RecordingSink,
  resultFrame,
  rowsOf,
  until,
  vmUuid,
} from '../support/wire-world.ts';

interface Running {
  ingest: Ingest;
  server: TransportServer;
  sink: RecordingSink;
  problems: string[];
}

async function aggregator(store: MemoryStore, port = 0, mayMove?: () => boolean): Promise<Running> {
  const sink = new RecordingSink();
  const problems: string[] = [];
  const ingest = createIngest({
    clock: systemClock,
    store,
    sink,
    epoch: 7,
    ownsVm: (vm) => sink.owners.get(vm) ?? null,
    ...(mayMove ? { mayMove } : {}),
    onProblem: (_peer, error) => problems.push(error.code),
  });
  return { ingest, server: await serveAgents(ingest, { port }), sink, problems };
}

function agent(url: string, host: string, vms: readonly string[], handlers: UplinkHandlers = {}): { uplink: Uplink; buffer: SampleBuffer } {
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: webSocketConnect(url, FRAME_BYTES_MAX),
    clock: systemClock,
    prng: createPrng(1, host),
    hello: () => helloFrame({ host }),
    buffer,
    flushMs: 20,
    backoff: { baseMs: 20, capMs: 100 },
    handlers: { ...handlers, onWelcome: () => uplink.send(inventoryFrame(vms)) },
  });
  uplink.start();
  return { uplink, buffer };
}

t.test('a VM that another host has is taken over the moment it is free, without a further inventory', async (t) => {
  const store = new MemoryStore();
  let free = false;
  const { ingest, server, sink, problems } = await aggregator(store, 0, () => free);
  const [moving, other] = [vmUuid(1), vmUuid(2)];
  const from = agent(server.url, 'host-a', [moving, other]);
  await until(() => sink.log.includes('inventory host-a 2'), 'the first inventory');
  const to = agent(server.url, 'host-b', [moving, other]);
  await until(() => sink.log.includes('inventory host-b 0'), 'the second, without them');
  from.uplink.send(eventFrame('still here', moving));
  await until(() => sink.events.length === 1, 'an event that changes nothing');
  t.equal(sink.owners.get(moving), 'host-a');
  free = true;
  from.uplink.send({ ...eventFrame('migrated away', moving), kind: 'migrated' });
  await until(() => sink.owners.get(moving) === 'host-b', 'the take-over at the word of the first');
  t.equal(sink.owners.get(other), 'host-a', 'of this VM alone');
  to.buffer.append(rowsOf(other, [1000]), systemClock.monotonicMs());
  await until(() => store.times(other).length === 1, 'the rows of the other');
  t.equal(sink.owners.get(other), 'host-b', 'the next that is heard of one shows that it is free');
  t.same(new Set(problems), new Set(['PERMISSION']), 'two were told, and nobody lost his connection');
  t.equal(ingest.hosts().length, 2);
  for (const { uplink } of [from, to]) await uplink.stop();
  await server.close();
});

t.test('what an agent still has to say of a VM that has gone on to another host is dropped, and keeps it from nothing', async (t) => {
  const store = new MemoryStore();
  // As after a restart of the aggregator: that the VM was ever the first host's, nobody here remembers.
  const { ingest, server, sink, problems } = await aggregator(store, 0, () => false);
  const [gone, here] = [vmUuid(1), vmUuid(2)];
  const to = agent(server.url, 'host-b', [gone]);
  await until(() => sink.log.includes('inventory host-b 1'), 'the inventory of its new host');
  const from = agent(server.url, 'host-a', [here]);
  for (const vm of [gone, here]) {
    from.uplink.send(eventFrame('its lease ran out', vm));
    from.uplink.send(resultFrame(vm));
    from.buffer.append(rowsOf(vm, [1000]), systemClock.monotonicMs());
  }
  await until(() => store.times(here).length === 1 && from.buffer.empty, 'the rows of its own VM');
  await until(() => from.uplink.metrics().uplink_outbox_frames === 0, 'all it had to say');
  t.same(
    [...sink.events, ...sink.results].map(({ vm }) => vm),
    [here, here],
    'of its own VM it is heard',
  );
  t.same(store.times(gone), [], 'of the other it is not');
  t.equal(sink.owners.get(gone), 'host-b');
  t.equal(from.uplink.metrics().uplink_connects_total, 1, 'on one connection');
  t.same(problems, ['PERMISSION'], 'told once');
  t.equal(ingest.counters.dropped['foreign-subject'], 3);
  for (const { uplink } of [from, to]) await uplink.stop();
  await ingest.stop();
  await server.close();
});

t.test('commands down, results and events up, telemetry to live state and store', async (t) => {
  const store = new MemoryStore();
  const { ingest, server, sink } = await aggregator(store);
  const vm = vmUuid(1);
  const commands: string[] = [];
  const { uplink, buffer } = agent(server.url, 'host-a', [vm], {
    onCommand: (command) => {
      commands.push(command.commandId);
      uplink.send(resultFrame(command.vm, command.commandId));
    },
  });
  await until(() => sink.log.includes('inventory host-a 1'), 'the inventory');
  t.same(sink.log, ['hello host-a', 'connected host-a', 'inventory host-a 1']);
  t.ok(ingest.send('host-a' as never, commandFrame(vm)));
  t.notOk(ingest.send('host-b' as never, commandFrame(vm)), 'nobody there');
  uplink.send(eventFrame('hello', vm));
  buffer.append(rowsOf(vm, [1000, 2000]), systemClock.monotonicMs());
  await until(() => sink.results.length === 1 && sink.events.length === 1 && store.rows.size === 2, 'all of it');
  t.same(commands, ['c-1']);
  t.equal(sink.blocks[0]?.host, 'host-a');
  await until(() => buffer.empty, 'the acknowledgement');
  await uplink.stop();
  await until(() => sink.log.includes('disconnected host-a'), 'the end');
  await ingest.stop();
  await server.close();
});

t.test('killed and restarted mid-stream: nothing acknowledged is lost, nothing is stored twice', async (t) => {
  const store = new MemoryStore();
  store.delayMs = 15;
  let running = await aggregator(store);
  const port = Number(new URL(running.server.url).port);
  const vms = [vmUuid(1), vmUuid(2)];
  const { uplink, buffer } = agent(running.server.url, 'host-a', vms);
  const acknowledged = new Set<number>();
  let time = 1_700_000_000_000;
  const feeder = setInterval(() => {
    time += 1000;
    const label = time;
    for (const vm of vms) buffer.append(rowsOf(vm, [label]), systemClock.monotonicMs(), (stored) => stored && acknowledged.add(label));
  }, 5);
  for (let round = 0; round < 4; round++) {
    const before = acknowledged.size;
    await until(() => acknowledged.size > before + 20, `acknowledgements in round ${round}`);
    // Like kill -9: the sockets are cut, what was not yet appended is forgotten.
    await running.server.close();
    store.fail = new Error('killed');
    await new Promise((resolve) => setTimeout(resolve, 60));
    for (const label of acknowledged)
      for (const vm of vms) if (!store.rows.has(`${vm}/host/${label}`)) t.fail(`row ${label} was acknowledged and is lost`);
    store.fail = null;
    running = await aggregator(store, port);
  }
  clearInterval(feeder);
  await until(() => buffer.empty, 'everything acknowledged');
  const { stats } = buffer;
  t.equal(stats.acknowledgedRows, stats.appendedRows);
  t.same(
    Object.values(stats.droppedRows).filter((rows) => rows > 0),
    [],
    'nothing is dropped, whatever the reason',
  );
  for (const vm of vms) {
    const times = store.times(vm);
    t.equal(times.length, (time - 1_700_000_000_000) / 1000, 'every row, once each');
    t.equal(new Set(times).size, times.length);
  }
  t.ok((uplink.metrics().uplink_connects_total ?? 0) >= 5, 'it did reconnect');
  await uplink.stop();
  await running.server.close();
});

t.test('a store that fails: no acknowledgement, live state goes on, and the rows come again', async (t) => {
  const store = new MemoryStore();
  const { server, sink, ingest } = await aggregator(store);
  const vm = vmUuid(1);
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: webSocketConnect(server.url, FRAME_BYTES_MAX),
    clock: systemClock,
    prng: createPrng(2),
    hello: () => helloFrame(),
    buffer,
    flushMs: 20,
    ackTimeoutMs: 150,
    handlers: { onWelcome: () => uplink.send(inventoryFrame([vm])) },
  });
  uplink.start();
  store.fail = new Error('disk full');
  await until(() => sink.log.includes('inventory host-a 1'), 'the inventory');
  buffer.append(rowsOf(vm, [1000]), systemClock.monotonicMs());
  await until(() => sink.blocks.length === 1 && (ingest.metrics().ingest_append_failures_total ?? 0) >= 2, 'live state and failed appends');
  t.notOk(buffer.empty, 'not acknowledged');
  store.fail = null;
  await until(() => buffer.empty, 'the acknowledgement in the end');
  t.same(store.times(vm), [1000]);
  t.equal(sink.blocks.length, 1, 'repetitions are not live');
  t.ok((ingest.metrics().ingest_dropped_store_failed_total ?? 0) > 0, 'counted');
  await uplink.stop();
  await server.close();
});

/** A peer that speaks frames by hand. */
class RawPeer {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  readonly codec = createCodec({ maxBytes: 64 * FRAME_BYTES_MAX });
  closed: { code: number } | undefined;

  constructor(url: string) {
    this.socket = new WebSocket(url, { perMessageDeflate: false });
    const decoder = createCodec({ maxBytes: FRAME_BYTES_MAX });
    this.socket.on('message', (data) => this.frames.push(decoder.decode(data as Buffer)));
    this.socket.on('close', (code) => {
      this.closed = { code };
    });
    this.socket.on('error', () => undefined);
  }

  async open(): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN, 'the socket');
    return this;
  }

  send(frame: Frame): void {
    this.socket.send(this.codec.encode(frame));
  }

  error(): FrameOf<'error'> | undefined {
    return this.frames.find((frame) => frame.type === 'error');
  }
}

const telemetry = (seq: number, over: Record<string, unknown> = {}): FrameOf<'telemetry'> => ({
  type: 'telemetry',
  lane: 'live',
  seq,
  wallMs: 1,
  monotonicMs: 1,
  blocks: [],
  ...over,
});

const deeplyNested = Buffer.alloc(200_001, 0x91);
const float64 = (...numbers: number[]): Uint8Array => new Uint8Array(Float64Array.from(numbers).buffer);
const block = (over: Record<string, unknown> = {}): never =>
  ({
    kind: 'host',
    id: 'evil',
    source: 'host',
    set: 0,
    fields: ['host_cpu.usageCores'],
    times: float64(1),
    values: float64(1),
    ...over,
  }) as never;

interface BadCase {
  name: string;
  code: string;
  run: (peer: RawPeer) => void;
}

let starts = 0;
const handshake = (peer: RawPeer): void => {
  peer.send(helloFrame({ host: 'evil', bootId: `start-${++starts}` }));
  peer.send(inventoryFrame([]));
};

const BAD: BadCase[] = [
  { name: 'random bytes', code: 'FRAME_MALFORMED', run: (peer) => peer.socket.send(Buffer.from('ffc1c1c100d4', 'hex')) },
  { name: 'an empty message', code: 'FRAME_MALFORMED', run: (peer) => peer.socket.send(Buffer.alloc(0)) },
  { name: 'a truncated frame', code: 'FRAME_MALFORMED', run: (peer) => peer.socket.send(peer.codec.encode(helloFrame()).subarray(0, 40)) },
  {
    name: 'bytes after the frame',
    code: 'FRAME_MALFORMED',
    run: (peer) => peer.socket.send(Buffer.concat([peer.codec.encode(helloFrame()), Buffer.of(1)])),
  },
  { name: 'nested 200,000 deep', code: 'FRAME_MALFORMED', run: (peer) => peer.socket.send(deeplyNested) },
  {
    name: 'an array that promises four billion values',
    code: 'FRAME_MALFORMED',
    run: (peer) => peer.socket.send(Buffer.from('ddffffffff', 'hex')),
  },
  { name: 'not an object', code: 'FRAME_INVALID', run: (peer) => peer.socket.send(Buffer.of(5)) },
  { name: 'an unknown type', code: 'FRAME_INVALID', run: (peer) => peer.send({ type: 'shutdown' } as never) },
  { name: 'a field of the wrong kind', code: 'FRAME_INVALID', run: (peer) => peer.send(helloFrame({ versions: 'one' as never })) },
  {
    name: 'a prototype for a payload',
    code: 'FRAME_INVALID',
    run: (peer) => peer.socket.send(new Packr({ useRecords: false }).pack(JSON.parse('{"__proto__":{"type":"ping","id":1}}'))),
  },
  { name: 'a frame only aggregators send', code: 'FRAME_INVALID', run: (peer) => peer.send(commandFrame(vmUuid(1))) },
  { name: 'telemetry before hello', code: 'FRAME_OUT_OF_ORDER', run: (peer) => peer.send(telemetry(1)) },
  {
    name: 'telemetry before the inventory',
    code: 'FRAME_OUT_OF_ORDER',
    run: (peer) => [helloFrame({ host: 'evil' }), telemetry(1)].map((frame) => peer.send(frame)),
  },
  {
    name: 'a second hello',
    code: 'FRAME_OUT_OF_ORDER',
    run: (peer) => [helloFrame({ host: 'evil' }), helloFrame({ host: 'evil' })].map((frame) => peer.send(frame)),
  },
  {
    name: 'a number lower than the one before',
    code: 'FRAME_OUT_OF_ORDER',
    run: (peer) => {
      handshake(peer);
      for (const seq of [3, 3, 4, 2]) peer.send(telemetry(seq));
    },
  },
  { name: 'no common version', code: 'PROTOCOL_VERSION', run: (peer) => peer.send(helloFrame({ versions: [99] })) },
  {
    name: 'a guest nobody reports',
    code: 'HANDSHAKE_REFUSED',
    run: (peer) => peer.send(helloFrame({ role: 'guest', host: null, vm: vmUuid(77) })),
  },
  {
    name: 'telemetry of another host',
    code: 'PERMISSION',
    run: (peer) => {
      handshake(peer);
      peer.send(telemetry(1, { blocks: [block({ id: 'honest' })] }));
    },
  },
  ...(
    [
      ['values that do not fit the fields', { values: float64(1, 2) }],
      ['times that go back', { times: float64(2, 1), values: float64(1, 1) }],
      ['a time that is no number', { times: float64(Number.NaN) }],
      ['an infinite value', { values: float64(Number.POSITIVE_INFINITY) }],
      ['bytes that are half a number', { times: new Uint8Array(4) }],
      ['times that are no bytes', { times: [1] }],
      ['a field twice', { fields: ['a.b', 'a.b'], values: float64(1, 1) }],
      ['a field without a measurement', { fields: ['usage'] }],
      ['a field set that was never named', { set: 5, fields: undefined }],
      ['more field sets than there may be', { set: 4000 }],
    ] as const
  ).map(([name, over]) => ({
    name: `a block with ${name}`,
    code: 'FRAME_INVALID',
    run: (peer: RawPeer) => {
      handshake(peer);
      const wire = { ...(block(over) as object) } as Record<string, unknown>;
      if (wire.fields === undefined) delete wire.fields;
      peer.send(telemetry(1, { blocks: [wire] }));
    },
  })),
];

t.test('bad frames: a clear error, that connection closed, an honest one undisturbed', async (t) => {
  const store = new MemoryStore();
  const { ingest, server, sink, problems } = await aggregator(store);
  const vm = vmUuid(1);
  const honest = agent(server.url, 'honest', [vm]);
  await until(() => sink.log.includes('inventory honest 1'), 'the honest inventory');
  let time = 0;
  for (const { name, code, run } of BAD) {
    const peer = await new RawPeer(server.url).open();
    run(peer);
    await until(() => peer.closed !== undefined, `the end of ${name}`);
    t.equal(peer.error()?.code, code, name);
    t.ok((peer.error()?.message.length ?? 0) > 10, `${name}: ${peer.error()?.message}`);
    honest.buffer.append(rowsOf(vm, [++time]), systemClock.monotonicMs());
  }
  const oversized = await new RawPeer(server.url).open();
  oversized.socket.send(Buffer.alloc(FRAME_BYTES_MAX + 1));
  await until(() => oversized.closed !== undefined, 'the end of the oversized');
  t.equal(oversized.closed?.code, 1009, 'message too big');
  await until(() => honest.buffer.empty, 'the honest rows');
  t.same(
    store.times(vm),
    Array.from({ length: time }, (_, i) => i + 1),
  );
  t.equal(honest.uplink.metrics().uplink_connects_total, 1, 'never disconnected');
  t.same(ingest.hosts(), ['honest']);
  t.equal(problems.length, BAD.length + 1);
  t.equal(problems.at(-1), 'FRAME_TOO_LARGE');
  await honest.uplink.stop();
  await server.close();
});

t.test('a newer connection of a host replaces the older; a guest on this machine may come directly', async (t) => {
  const store = new MemoryStore();
  const { ingest, server, sink } = await aggregator(store);
  const vm = vmUuid(1);
  const first = await new RawPeer(server.url).open();
  first.send(helloFrame());
  first.send(inventoryFrame([vm]));
  await until(() => sink.log.length === 3, 'the first');
  const second = await new RawPeer(server.url).open();
  second.send(helloFrame());
  await until(() => first.closed !== undefined, 'the first to go');
  t.equal(first.error()?.code, 'CONFLICT');
  t.same(sink.log.slice(3), ['disconnected host-a CONFLICT', 'hello host-a', 'connected host-a']);

  const guest = await new RawPeer(server.url).open();
  guest.send(helloFrame({ role: 'guest', host: null, vm, bootId: 'g' }));
  guest.send(telemetry(1, { blocks: [block({ kind: 'vm', id: vm, source: 'guest', fields: ['vm_memory.guestAvailableMiB'] })] }));
  await until(() => guest.frames.some((frame) => frame.type === 'ack'), 'the acknowledgement');
  t.equal(sink.blocks.at(-1)?.host, 'host-a');
  const command = {
    type: 'guest-command',
    commandId: 'g1',
    vm,
    pair: { epoch: 1, generation: 1 },
    action: { kind: 'credential', publicKey: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } },
  } as const;
  t.ok(ingest.send('host-a' as never, command));
  await until(() => guest.frames.some((frame) => frame.type === 'guest-command'), 'the command');
  t.ok(ingest.send('host-a' as never, { ...command, commandId: 'g2', action: { kind: 'cpus-online', vcpus: 1 } }));
  await until(() => second.frames.some((frame) => frame.type === 'guest-command'), 'an order about vCPUs, by way of its host');
  t.equal(guest.frames.filter((frame) => frame.type === 'guest-command').length, 1);
  guest.send(inventoryFrame([]));
  await until(() => guest.closed !== undefined, 'the guest to go');
  t.equal(guest.error()?.code, 'FRAME_INVALID', 'a guest has no inventory');
  second.socket.close();
  await ingest.stop();
  await server.close();
});
