/**
 * Goal: sessions over a virtio-serial stream begin and end cleanly whoever restarts, stale and cut bytes are skipped, a
 * signal is found wherever a chunk ends, and a flooding guest is read no faster than its budget.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { systemClock } from '../../shared/clock.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { VirtioChannel } from '../../shared/net/virtio-channel.ts';
import { VirtioPort } from '../../shared/net/virtio-port.ts';
import { CALL, SignalScanner, signalBytes } from '../../shared/net/virtio-serial.ts';
import { createPrng } from '../../shared/prng.ts';
import { transportContract } from '../contract/transport-contract.ts';
import { FakeVirtioDevice } from '../support/virtio-pair.ts';
import { until } from '../support/wire-world.ts';

const MAX = 256 * 1024;
const dir = mkdtempSync(join(tmpdir(), 'headroom-virtio-'));
t.teardown(() => rmSync(dir, { recursive: true }));
let devices = 0;

interface World {
  device: FakeVirtioDevice;
  port: VirtioPort;
  channel: VirtioChannel;
  path: string;
  sessions: Transport[];
  close(): Promise<void>;
}

async function world(): Promise<World> {
  const path = join(dir, `c${++devices}.sock`);
  const device = new FakeVirtioDevice(path);
  await device.ready();
  const sessions: Transport[] = [];
  const channel = new VirtioChannel({
    path,
    name: 'vm',
    maxBytes: MAX,
    clock: systemClock,
    prng: createPrng(1),
    onSession: (transport) => sessions.push(transport),
  });
  const port = new VirtioPort({ path: '/dev/virtio-ports/x', maxBytes: MAX, clock: systemClock, fs: device });
  return {
    device,
    port,
    channel,
    path,
    sessions,
    close: async () => {
      port.close();
      channel.close();
      await device.stop();
    },
  };
}

const worlds: World[] = [];
t.teardown(() => Promise.all(worlds.map((one) => one.close())));

transportContract(t, {
  name: 'virtio-serial',
  maxBytes: MAX,
  pair: async () => {
    const one = await world();
    worlds.push(one);
    const client = await one.port.connect();
    await until(() => one.sessions.length === 1, 'the session');
    return { client, server: one.sessions[0]! };
  },
});

function collect(transport: Transport): { texts: string[]; ends: (Error | undefined)[] } {
  const seen = { texts: [] as string[], ends: [] as (Error | undefined)[] };
  transport.onMessage((message) => seen.texts.push(Buffer.from(message).toString()));
  transport.onClose((error) => seen.ends.push(error));
  return seen;
}

t.test('a signal is found however the stream is cut, and data around it is whole', async (t) => {
  const nonce = '0123456789abcdef';
  const magicStart = Buffer.from(signalBytes(nonce)).subarray(0, 5);
  const piece = fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constant(magicStart), fc.constant(Buffer.from(signalBytes(nonce))));
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 40 }),
      (pieces, cuts) => {
        const stream = Buffer.concat(pieces);
        const scanner = new SignalScanner();
        let out = Buffer.alloc(0);
        let at = 0;
        for (let i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length]!;
          for (const item of scanner.push(stream.subarray(at, at + size))) {
            out = Buffer.concat([out, item.kind === 'data' ? item.bytes : signalBytes(item.nonce)]);
          }
          at += size;
        }
        // What is held back is the possible beginning of a signal, never more.
        return stream.subarray(0, out.length).equals(out) && stream.length - out.length < 24;
      },
    ),
    { numRuns: 500 },
  );
  t.pass('property held');
});

t.test('a guest agent that restarts begins a new session; the old one ends at once', async (t) => {
  const one = await world();
  const first = await one.port.connect();
  await until(() => one.sessions.length === 1, 'the first session');
  const atHost = collect(one.sessions[0]!);
  first.send(Buffer.from('one'));
  await until(() => atHost.texts.length === 1, 'a message');
  // The process dies: no goodbye. Its successor opens the port.
  one.device.release();
  const successor = new VirtioPort({ path: '/dev/virtio-ports/x', maxBytes: MAX, clock: systemClock, fs: one.device });
  const second = await successor.connect();
  await until(() => atHost.ends.length === 1 && one.sessions.length === 2, 'the second session');
  t.match(atHost.ends[0], { code: 'CONNECTION_CLOSED' });
  const atHostAgain = collect(one.sessions[1]!);
  const atGuest = collect(second);
  second.send(Buffer.from('two'));
  one.sessions[1]!.send(Buffer.from('back'));
  await until(() => atHostAgain.texts.length === 1 && atGuest.texts.length === 1, 'messages both ways');
  t.same([atHostAgain.texts, atGuest.texts], [['two'], ['back']]);
  successor.close();
  await one.close();
});

t.test('a host agent that restarts calls the guest, which begins anew', async (t) => {
  const one = await world();
  const first = await one.port.connect();
  const atGuest = collect(first);
  await until(() => one.sessions.length === 1, 'the first session');
  one.device.cutHost();
  await until(() => atGuest.ends.length === 1, 'the end at the guest');
  const second = await one.port.connect();
  await until(() => one.sessions.length === 2, 'the second session');
  const atHost = collect(one.sessions[1]!);
  second.send(Buffer.from('again'));
  await until(() => atHost.texts.length === 1, 'the message');
  t.same(atHost.texts, ['again']);
  await one.close();
});

t.test('a call alone ends the session: the guest may have missed that the host was away', async (t) => {
  const one = await world();
  const atGuest = collect(await one.port.connect());
  one.device.leaveForGuest(signalBytes(CALL));
  await until(() => atGuest.ends.length === 1, 'the end');
  t.match(atGuest.ends[0], { code: 'CONNECTION_CLOSED', message: /began anew/ });
  await one.close();
});

t.test('stale bytes of an earlier host, cut anywhere, are skipped', async (t) => {
  const one = await world();
  one.device.leaveForGuest(Buffer.from('stale half of a frame'));
  one.device.leaveForGuest(signalBytes('1111111111111111'));
  one.device.leaveForGuest(Buffer.from([0, 0, 0, 9, 1, 2, 3]));
  one.device.leaveForGuest(signalBytes('2222222222222222').subarray(0, 20));
  const client = await one.port.connect();
  const atGuest = collect(client);
  await until(() => one.sessions.length === 1, 'the session');
  one.sessions[0]!.send(Buffer.from('fresh'));
  await until(() => atGuest.texts.length === 1, 'the message');
  t.same(atGuest.texts, ['fresh']);
  await one.close();
});

t.test('a port that another process holds is refused with a hint', async (t) => {
  const one = await world();
  one.device.occupy();
  await t.rejects(one.port.connect(), { code: 'UNAVAILABLE', message: /EBUSY.*one agent per guest/s });
  await one.close();
});

t.test('without a host the connect times out', async (t) => {
  const path = join(dir, 'lonely.sock');
  const device = new FakeVirtioDevice(path);
  const fast = { ...systemClock, setTimeout: (run: () => void, delayMs: number) => systemClock.setTimeout(run, delayMs / 100) };
  const port = new VirtioPort({ path: '/dev/virtio-ports/x', maxBytes: MAX, clock: fast, fs: device });
  await t.rejects(port.connect(), { code: 'TIMEOUT', message: /no host agent/ });
  port.close();
  await device.stop();
});

t.test('a guest that floods is read within its budget', async (t) => {
  const path = join(dir, 'flood.sock');
  const guests: Socket[] = [];
  const qemu = createServer((socket) => guests.push(socket)).listen(path);
  await new Promise((resolve) => qemu.once('listening', resolve));
  let opened = 0;
  const channel = new VirtioChannel({
    path,
    name: 'flood',
    maxBytes: MAX,
    clock: systemClock,
    prng: createPrng(1),
    onSession: () => opened++,
  });
  await until(() => guests.length === 1, 'the channel');
  const guest = guests[0]!;
  guest.on('error', () => undefined);
  // 64 MiB of openings: a hundred thousand sessions if each were answered.
  const openings = Buffer.concat(Array.from({ length: 2700 }, (_, i) => signalBytes((i + 1).toString(16).padStart(16, '0'))));
  let written = 0;
  for (let i = 0; i < 1000; i++) guest.write(openings, () => (written += openings.length));
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(channel.throttled > 0, 'it stopped reading');
  t.ok(opened > 0 && opened < 100, `${opened} sessions`);
  t.ok(written < 16 * 1024 * 1024, `${written} bytes taken`);
  guest.destroy();
  channel.close();
  await new Promise((resolve) => qemu.close(resolve));
});
