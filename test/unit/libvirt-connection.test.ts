/**
 * Goal: one connection to a daemon that answers late, wrongly or not at all: deadlines, one call per VM, at most four under
 * way, late answers, clogging, keepalive, broken frames. The daemon is a small server on a Unix socket speaking raw frames.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createBootingVms } from '../../agent/hypervisor/libvirt/booting-vms.ts';
import { parseConnectUri } from '../../agent/hypervisor/libvirt/connect-uri.ts';
import { openRpcConnection, type RpcConnection } from '../../agent/hypervisor/libvirt/rpc-connection.ts';
import { createStuckVms } from '../../agent/hypervisor/libvirt/stuck-vms.ts';
import { createXdrWriter } from '../../agent/hypervisor/libvirt/xdr.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';

interface Call {
  program: number;
  procedure: number;
  serial: number;
}

interface Daemon {
  calls: Call[];
  answer(serial: number, value: number): void;
  refuse(serial: number, code: number, message: string): void;
  send(bytes: Uint8Array): void;
  connection: RpcConnection;
  closed: string[];
  messages: number[];
}

function frame(program: number, procedure: number, type: number, serial: number, status: number, payload: Uint8Array): Buffer {
  const header = createXdrWriter()
    .u32(28 + payload.length)
    .u32(program)
    .u32(1)
    .i32(procedure)
    .i32(type)
    .u32(serial)
    .i32(status);
  return Buffer.concat([header.bytes(), payload]);
}

async function withDaemon(t: { teardown(run: () => unknown): void }): Promise<Daemon> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-rpc-'));
  const path = join(folder, 'sock');
  const calls: Call[] = [];
  let peer: Socket | null = null;
  const server = createServer((socket) => {
    peer = socket;
    let data = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk]);
      while (data.length >= 4 && data.length >= data.readUInt32BE(0)) {
        calls.push({ program: data.readUInt32BE(4), procedure: data.readInt32BE(12), serial: data.readUInt32BE(20) });
        data = data.subarray(data.readUInt32BE(0));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const closed: string[] = [];
  const messages: number[] = [];
  const connection = await openRpcConnection({
    socketPath: path,
    clock: systemClock,
    connectDeadlineMs: 1000,
    onMessage: (_program, procedure) => messages.push(procedure),
    onClosed: (reason) => closed.push(reason),
  });
  t.teardown(() => {
    connection.close('test over');
    server.close();
    peer?.destroy();
    rmSync(folder, { recursive: true, force: true });
  });
  const send = (bytes: Uint8Array): void => void peer?.write(bytes);
  return {
    calls,
    connection,
    closed,
    messages,
    send,
    answer: (serial, value) => send(frame(0x20008086, 0, 1, serial, 0, createXdrWriter().i32(value).bytes())),
    refuse: (serial, code, message) =>
      send(frame(0x20008086, 0, 1, serial, 1, createXdrWriter().i32(code).i32(0).optionalString(message).bytes())),
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 2000) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const LONG_MS = 20_000;

t.test('four calls under way at most, one per VM, answers in any order', async (t) => {
  const { connection, calls, answer } = await withDaemon(t);
  const call = (procedure: number, domain?: string): Promise<number> =>
    connection.call({ procedure, deadlineMs: LONG_MS, ...(domain ? { domain } : {}) }).then((reader) => reader.i32());
  const results = [call(1, 'a'), call(2, 'a'), call(3, 'b'), call(4), call(5), call(6)];
  await until(() => calls.length >= 4);
  t.same(
    calls.map(({ procedure }) => procedure),
    [1, 3, 4, 5],
    'the second call to VM a waits, and so does the fifth',
  );
  answer(calls[2]!.serial, 40);
  await until(() => calls.length === 5);
  t.equal(calls[4]!.procedure, 6);
  answer(calls[0]!.serial, 10);
  await until(() => calls.length === 6);
  t.equal(calls[5]!.procedure, 2);
  for (const [index, value] of [
    [1, 30],
    [3, 50],
    [4, 60],
    [5, 20],
  ] as const)
    answer(calls[index]!.serial, value);
  t.same(await Promise.all(results), [10, 20, 30, 40, 50, 60]);
});

t.test('a call that is not answered in time fails, blocks only its VM, and clears when the answer comes late', async (t) => {
  const { connection, calls, answer } = await withDaemon(t);
  await t.rejects(connection.call({ procedure: 7, deadlineMs: 30, domain: 'a' }), { code: 'HYPERVISOR_UNAVAILABLE', message: /30 ms/ });
  await t.rejects(connection.call({ procedure: 8, deadlineMs: LONG_MS, domain: 'a' }), { message: /has not answered an earlier call/ });
  const other = connection.call({ procedure: 9, deadlineMs: LONG_MS, domain: 'b' });
  await until(() => calls.length === 2);
  answer(calls[1]!.serial, 1);
  await other;
  t.equal(connection.clogged, false);
  answer(calls[0]!.serial, 1);
  // The late answer takes a moment to arrive; then the VM may be asked again.
  let asked = false;
  await until(() => {
    if (calls.length === 3) return true;
    if (!asked) {
      asked = true;
      connection.call({ procedure: 10, deadlineMs: LONG_MS, domain: 'a' }).then(
        () => {},
        () => {
          asked = false;
        },
      );
    }
    return false;
  });
  answer(calls[2]!.serial, 1);
  for (const domain of ['c', 'd']) await connection.call({ procedure: 11, deadlineMs: 20, domain }).catch(() => {});
  t.equal(connection.clogged, true, 'two calls without an answer clog it');
});

t.test('errors keep libvirt’s words and number, and mean what they mean', async (t) => {
  const { connection, calls, refuse } = await withDaemon(t);
  for (const [number, message, code] of [
    [42, 'Domain not found', 'HYPERVISOR_REFUSED'],
    [3, 'this function is not supported', 'HYPERVISOR_UNSUPPORTED'],
    [8, 'unsupported flags (0x5) in function x', 'HYPERVISOR_UNSUPPORTED'],
    [39, 'unknown procedure: 999', 'HYPERVISOR_UNSUPPORTED'],
    [68, 'cannot acquire state change lock', 'HYPERVISOR_UNAVAILABLE'],
    [1, 'internal error', 'HYPERVISOR_REFUSED'],
  ] as const) {
    const before = calls.length;
    const call = connection.call({ procedure: 1, deadlineMs: LONG_MS });
    const rejected = t.rejects(call, { code, message: new RegExp(`${message.replace(/[()]/g, '.')}.*${number}`) });
    await until(() => calls.length > before);
    refuse(calls.at(-1)!.serial, number, message);
    await rejected;
  }
});

t.test('what is not a frame ends the connection and fails the calls on it', async (t) => {
  for (const bytes of [
    Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    createXdrWriter().u32(8).u32(0).bytes(),
    createXdrWriter().u32(0xffffffff).bytes(),
    frame(0x20008086, 1, 1, 1, 1, new Uint8Array()),
  ]) {
    const { connection, calls, send, closed } = await withDaemon(t);
    const call = connection.call({ procedure: 1, deadlineMs: LONG_MS });
    const rejected = t.rejects(call, { code: 'HYPERVISOR_UNAVAILABLE' });
    await until(() => calls.length === 1);
    send(bytes);
    await rejected;
    t.equal(closed.length, 1);
    t.equal(connection.open, false);
    await t.rejects(connection.call({ procedure: 1, deadlineMs: 10 }), { code: 'HYPERVISOR_UNAVAILABLE' });
  }
});

t.test('frames split and joined by the socket, messages, and keepalive pings', async (t) => {
  const { connection, calls, send, messages } = await withDaemon(t);
  const call = connection.call({ procedure: 1, deadlineMs: LONG_MS });
  await until(() => calls.length === 1);
  const bytes = Buffer.concat([
    frame(0x20008086, 318, 2, 0, 0, createXdrWriter().i32(0).bytes()),
    frame(0x6b656570, 1, 2, 0, 0, new Uint8Array()),
    frame(0x20008086, 1, 1, calls[0]!.serial, 0, createXdrWriter().i32(77).bytes()),
  ]);
  for (let at = 0; at < bytes.length; at += 7) {
    send(bytes.subarray(at, at + 7));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  t.equal((await call).i32(), 77);
  t.same(messages, [318]);
  await until(() => calls.some(({ program, procedure }) => program === 0x6b656570 && procedure === 2));
});

t.test('nobody listens: a clear error', async (t) => {
  const options = { clock: systemClock, connectDeadlineMs: 500, onMessage: () => {}, onClosed: () => {} };
  await t.rejects(openRpcConnection({ socketPath: '/nonexistent/libvirt-sock', ...options }), {
    code: 'HYPERVISOR_UNAVAILABLE',
    message: /nonexistent/,
  });
});

t.test('URIs: what is served, and what is not', async (t) => {
  t.same(parseConnectUri('qemu:///system?socket=/x/y', false), { uri: 'qemu:///system', sockets: ['/x/y'] });
  t.same(parseConnectUri('qemu:///system', true).sockets, ['/var/run/libvirt/libvirt-sock-ro', '/var/run/libvirt/virtqemud-sock-ro']);
  t.equal(parseConnectUri('test:///default', false).uri, 'test:///default');
  for (const bad of ['', 'qemu+ssh://host/system', 'qemu:///session', 'xen:///', 'qemu:///system?mode=legacy', 'qemu:///system?socket=x']) {
    t.throws(() => parseConnectUri(bad, false), { code: 'USAGE' }, bad);
  }
});

t.test('a silent VM is asked ever more seldom, until it answers', async (t) => {
  const vm = vmId('6f1b0000-0000-4000-8000-000000000001');
  const stuck = createStuckVms();
  t.ok(stuck.mayAsk(vm, 0));
  stuck.silent(vm, 0);
  t.notOk(stuck.mayAsk(vm, 29_999));
  t.ok(stuck.mayAsk(vm, 30_000));
  stuck.silent(vm, 30_000);
  t.notOk(stuck.mayAsk(vm, 89_999));
  for (let i = 0; i < 20; i++) stuck.silent(vm, 0);
  t.ok(stuck.mayAsk(vm, 600_000), 'never less than every ten minutes');
  stuck.answered(vm);
  t.ok(stuck.mayAsk(vm, 0));
});

t.test('a guest has all its memory from a reset until its balloon is known to have moved', async (t) => {
  const vm = vmId('6f1b0000-0000-4000-8000-000000000001');
  const booting = createBootingVms();
  const told = (reportedMiB: number, lastUpdateSeconds: number | undefined, totalMiB?: number): number => {
    booting.told(vm, { reportedMiB, bootMiB: 200, lastUpdateSeconds, totalMiB });
    return booting.sizeMiB(vm, reportedMiB, 200);
  };
  t.equal(booting.sizeMiB(vm, 100, 200), 100);
  booting.reset(vm, 1_000_000);
  t.equal(booting.sizeMiB(vm, 100, 200), 200);
  t.equal(told(100, 1000, 90), 200, 'a report from before the reset');
  t.equal(told(100, undefined, 90), 200, 'nobody has told');
  t.equal(told(100, 1003, 90), 100, 'its balloon has come and taken what is missing, though nobody told of it');

  booting.reset(vm, 2_000_000);
  t.equal(told(100, 2003, 180), 200, 'it has more than it is said to: its driver found nothing to do, and will never say so');
  t.equal(told(190, 2004, 180), 200, 'nor can its total tell as little as that apart');
  t.equal(told(100, 2005), 100, 'a driver that tells no total is believed');

  booting.reset(vm, 3_000_000);
  booting.moved(vm, 3_000_900);
  t.equal(booting.sizeMiB(vm, 100, 200), 200, 'told late, of the time before the reset');
  booting.moved(vm, 3_002_000);
  t.equal(booting.sizeMiB(vm, 100, 200), 100);
  t.equal(told(100, 3003, 180), 100, 'a total that is older than the movement changes nothing');

  booting.reconnected();
  t.equal(told(100, 3003, 180), 200, 'it was reset while nobody listened');
  t.equal(told(100, 3010, 90), 100);
  booting.reset(vm, 4_000_000);
  booting.gone(vm);
  t.equal(booting.sizeMiB(vm, 100, 200), 100);
});
