/**
 * Goal: guests' rows reach the aggregator under the VM's own identity whatever they claim, acknowledged end to end;
 * commands reach the right guest only; a guest that floods, lies or breaks the protocol costs others nothing.
 */
import t, { type Test } from 'tap';
import { GUEST_BUFFER_LIMITS, HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createGuestLink } from '../../agent/loops/guest-link.ts';
import { createGuestRelay, type GuestRelay } from '../../agent/loops/guest-relay.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { createIngest } from '../../aggregator/ingest/ingest.ts';
import { systemClock } from '../../shared/clock.ts';
import { createCodec } from '../../shared/net/codec.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf, GUEST_FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { helloFrame, inventoryFrame, MemoryStore, RecordingSink, resultFrame, rowsOf, until, vmUuid } from '../support/wire-world.ts';

const FIELDS = ['vm_memory.guestAvailableMiB'];

interface Host {
  store: MemoryStore;
  sink: RecordingSink;
  ingest: ReturnType<typeof createIngest>;
  upNet: SimulatedNetwork;
  uplink: Uplink;
  relay: GuestRelay;
  buffer: SampleBuffer;
  guests: Map<string, SimulatedNetwork>;
  events: string[];
}

async function host(t: Test, vms: readonly string[]): Promise<Host> {
  const store = new MemoryStore();
  const sink = new RecordingSink();
  const clock = systemClock;
  const ingest = createIngest({ clock, store, sink, epoch: 3, ownsVm: (vm) => sink.owners.get(vm) ?? null });
  const upNet = createSimulatedNetwork({ clock, name: 'host-a', maxBytes: FRAME_BYTES_MAX });
  upNet.onConnection((transport) => ingest.accept(transport));
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const guests = new Map<string, SimulatedNetwork>();
  const events: string[] = [];
  let epoch = 0;
  const relay: GuestRelay = createGuestRelay({
    clock,
    buffer,
    epoch: () => epoch,
    openChannel: (channel, onSession) => {
      const net = createSimulatedNetwork({ clock, name: channel.name, maxBytes: GUEST_FRAME_BYTES_MAX });
      net.onConnection(onSession);
      guests.set(channel.vm, net);
      return { close: () => net.setPartitioned(true) };
    },
    onResult: (result) => uplink.send(result),
    onGuest: (event) => events.push(`${event.vm.slice(-1)} ${event.connected}`),
  });
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: upNet.connect,
    clock,
    prng: createPrng(1),
    hello: () => helloFrame(),
    buffer,
    flushMs: 10,
    backoff: { baseMs: 10, capMs: 50 },
    handlers: {
      onWelcome: (welcome) => {
        epoch = welcome.epoch;
        uplink.send(inventoryFrame(vms));
      },
      onGuestCommand: (command) => relay.send(command),
    },
  });
  uplink.start();
  relay.setChannels(vms.map((vm, i) => ({ vm: vm as never, name: `vm-${i}`, path: `/c/${i}` })));
  t.teardown(async () => {
    relay.stop();
    await uplink.stop();
    await ingest.stop();
  });
  await until(() => sink.log.includes(`inventory host-a ${vms.length}`), 'the inventory');
  return { store, sink, ingest, upNet, uplink, relay, buffer, guests, events };
}

function guestAgent(
  t: Test,
  world: Host,
  vm: string,
  claims: string = vm,
): { link: Uplink; buffer: SampleBuffer; commands: FrameOf<'guest-command'>[] } {
  const buffer = new SampleBuffer(GUEST_BUFFER_LIMITS);
  const commands: FrameOf<'guest-command'>[] = [];
  const link = createGuestLink({
    connect: world.guests.get(vm)!.connect,
    clock: systemClock,
    prng: createPrng(2, vm),
    hello: () => helloFrame({ role: 'guest', host: null, vm: claims, bootId: `guest ${vm.slice(-2)}` }),
    buffer,
    onGuestCommand: (command) => commands.push(command),
    relayed: true,
    flushMs: 10,
  });
  link.start();
  t.teardown(() => link.stop());
  return { link, buffer, commands };
}

/** A guest that speaks frames by hand. */
async function rawGuest(
  world: Host,
  vm: string,
): Promise<{ send(frame: Frame): boolean; frames: Frame[]; sent: () => number; closed: () => boolean }> {
  const transport = await world.guests.get(vm)!.connect();
  const up = createCodec({ maxBytes: FRAME_BYTES_MAX });
  const down = createCodec({ maxBytes: FRAME_BYTES_MAX });
  const frames: Frame[] = [];
  let closed = false;
  transport.onMessage((message) => frames.push(down.decode(message)));
  transport.onClose(() => (closed = true));
  return { send: (frame) => transport.send(up.encode(frame)), frames, sent: () => transport.bufferedBytes, closed: () => closed };
}

const telemetry = (seq: number, rows: number, over: { fields?: string[]; id?: string; wallMs?: number } = {}): FrameOf<'telemetry'> => {
  const wallMs = over.wallMs ?? Date.now();
  const fields = over.fields ?? FIELDS;
  const times = Float64Array.from({ length: rows }, (_, i) => Math.round(wallMs) - (rows - i) - 1000 * (seq % 7));
  return {
    type: 'telemetry',
    lane: 'live',
    seq,
    wallMs,
    monotonicMs: 0,
    blocks: [
      {
        kind: 'vm',
        id: over.id ?? vmUuid(9),
        source: 'host',
        set: 0,
        fields,
        times: new Uint8Array(times.buffer),
        values: new Uint8Array(new Float64Array(rows * fields.length).fill(1).buffer),
      },
    ],
  };
};

t.test("a guest's rows arrive stamped, and are acknowledged to it once the store has them", async (t) => {
  const [a, b] = [vmUuid(1), vmUuid(2)];
  const world = await host(t, [a, b]);
  const guest = guestAgent(t, world, a, b);
  const now = Date.now();
  // It claims to be the other VM, and the host.
  guest.buffer.append(rowsOf(b, [now - 2000, now - 1000], { fields: FIELDS, values: Float64Array.of(1, 2) }), systemClock.monotonicMs());
  await until(() => guest.buffer.empty && guest.buffer.stats.acknowledgedRows === 2, 'the acknowledgement');
  t.same([...world.store.rows.keys()].sort(), [`${a}/guest/${now - 2000}`, `${a}/guest/${now - 1000}`]);
  t.same(world.events, ['1 true']);
  t.ok(world.relay.connected(a));
  t.notOk(world.relay.connected(b));
  world.store.delayMs = 100;
  guest.buffer.append(rowsOf(b, [now], { fields: FIELDS }), systemClock.monotonicMs());
  await until(() => world.buffer.stats.rows === 1, 'the row at the host');
  t.notOk(guest.buffer.empty, 'not acknowledged before it is stored');
  await until(() => guest.buffer.empty, 'the acknowledgement');
});

t.test('commands go down to the right guest, results come up from it only', async (t) => {
  const [a, b] = [vmUuid(1), vmUuid(2)];
  const world = await host(t, [a, b]);
  const guest = guestAgent(t, world, a);
  const other = await rawGuest(world, b);
  other.send(helloFrame({ role: 'guest', host: null, vm: b }));
  await until(() => world.events.length === 2, 'both guests');
  const command = {
    type: 'guest-command',
    commandId: 'g-1',
    vm: a,
    pair: { epoch: 3, generation: 1 },
    action: { kind: 'cpus-online', vcpus: 2 },
  } as const;
  t.ok(world.ingest.send('host-a' as never, command));
  await until(() => guest.commands.length === 1, 'the command');
  // The other guest answers for it, and for a command nobody sent: refused both.
  other.send(resultFrame(a, 'g-1'));
  other.send(resultFrame(b, 'g-1'));
  await until(() => world.relay.metrics().relay_refused_results_total === 2, 'the refusals');
  guest.link.send(resultFrame(a, 'g-1'));
  await until(() => world.sink.results.length === 1, 'the result');
  t.equal(world.sink.results[0]?.vm, a);
  t.notOk(world.relay.send({ ...command, vm: vmUuid(5) }), 'no such guest');
});

t.test('fields that are not a guest’s, and rows from the future, are refused and acknowledged away', async (t) => {
  const vm = vmUuid(1);
  const world = await host(t, [vm]);
  const guest = await rawGuest(world, vm);
  guest.send(helloFrame({ role: 'guest', host: null, vm }));
  guest.send(telemetry(1, 3, { fields: ['vm_cpu.usageCores'] }));
  const future = telemetry(2, 1);
  guest.send({ ...future, blocks: [{ ...future.blocks[0]!, times: new Uint8Array(Float64Array.of(Date.now() + 3_600_000).buffer) }] });
  guest.send(telemetry(3, 1, { fields: ['vm_app.requestsPerSecond'] }));
  await until(() => guest.frames.filter((frame) => frame.type === 'ack').length === 3, 'three acknowledgements');
  const metrics = world.relay.metrics();
  t.equal(metrics.relay_refused_fields_rows_total, 3);
  t.equal(metrics.relay_refused_times_rows_total, 1);
  t.equal(world.store.rows.size, 1);
});

t.test("a guest's wrong clock is corrected to the host's", async (t) => {
  const vm = vmUuid(1);
  const world = await host(t, [vm]);
  const guest = await rawGuest(world, vm);
  guest.send(helloFrame({ role: 'guest', host: null, vm }));
  guest.send(telemetry(7, 1, { wallMs: Date.now() - 86_400_000 }));
  await until(() => world.store.rows.size === 1, 'the row');
  t.ok(Math.abs(world.store.times(vm)[0]! - Date.now()) < 60_000, 'labelled by the host');
});

t.test('a guest that breaks the protocol, or floods, loses its own connection or time; its neighbour notices nothing', async (t) => {
  const [good, bad] = [vmUuid(1), vmUuid(2)];
  const world = await host(t, [good, bad]);
  const neighbour = guestAgent(t, world, good);
  const breaks: [string, (guest: Awaited<ReturnType<typeof rawGuest>>) => void, string][] = [
    ['an inventory', (guest) => guest.send(inventoryFrame([bad])), 'FRAME_INVALID'],
    [
      'an event',
      (guest) =>
        guest.send({ type: 'event', kind: 'lifecycle', vm: bad, resource: null, wallMs: 0, message: 'x', setting: null, pair: null }),
      'FRAME_INVALID',
    ],
    ['the role of a host', (guest) => guest.send(helloFrame()), 'HANDSHAKE_REFUSED'],
    ['telemetry first', (guest) => guest.send(telemetry(1, 1)), 'FRAME_OUT_OF_ORDER'],
  ];
  for (const [name, act, code] of breaks) {
    const guest = await rawGuest(world, bad);
    act(guest);
    await until(() => guest.closed(), name);
    t.match(
      guest.frames.find((frame) => frame.type === 'error'),
      { code },
      name,
    );
  }
  const flooder = await rawGuest(world, bad);
  flooder.send(helloFrame({ role: 'guest', host: null, vm: bad, bootId: 'flood' }));
  await until(() => flooder.frames.length > 0, 'the welcome');
  let seq = 0;
  let accepted = true;
  while (accepted && seq < 5000) accepted = flooder.send(telemetry(++seq, 400));
  const now = Date.now();
  for (let i = 0; i < 5; i++) neighbour.buffer.append(rowsOf(good, [now + i], { fields: FIELDS }), systemClock.monotonicMs());
  await until(() => neighbour.buffer.stats.acknowledgedRows === 5, "the neighbour's rows");
  t.equal(world.store.times(good).length, 5);
  const metrics = world.relay.metrics();
  t.ok((metrics.relay_throttled_total ?? 0) > 0, 'it was made to wait');
  t.ok((metrics.relay_rows_total ?? 0) < 20_000, `${metrics.relay_rows_total} rows taken`);
  t.ok(world.buffer.stats.bytes < 2 * 1024 * 1024, 'the host holds little of it');
});

t.test('while the aggregator is away guests keep their rows; when it is back all arrives once', async (t) => {
  const vm = vmUuid(1);
  const world = await host(t, [vm]);
  const guest = guestAgent(t, world, vm);
  await until(() => world.events.length === 1, 'the guest');
  world.upNet.setPartitioned(true);
  const start = Date.now() - 100_000;
  for (let i = 0; i < 60; i++) {
    guest.buffer.append(rowsOf(vm, [start + i * 1000], { fields: FIELDS }), systemClock.monotonicMs());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.notOk(guest.buffer.empty);
  world.upNet.setPartitioned(false);
  await until(() => guest.buffer.empty, 'everything acknowledged');
  t.equal(world.store.times(vm).length, 60);
  t.equal(guest.buffer.stats.acknowledgedRows, 60);
});

t.test('channels that go are closed; one whose path changed is opened anew', async (t) => {
  const [a, b] = [vmUuid(1), vmUuid(2)];
  const world = await host(t, [a, b]);
  guestAgent(t, world, a);
  await until(() => world.events.includes('1 true'), 'the guest');
  const before = world.guests.get(b);
  world.relay.setChannels([{ vm: b, name: 'b', path: '/c/other' }]);
  await until(() => world.events.includes('1 false'), 'the guest to go');
  t.not(world.guests.get(b), before);
  t.equal(world.relay.metrics().relay_channels, 1);
});
