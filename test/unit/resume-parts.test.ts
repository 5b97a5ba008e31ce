/**
 * Goal: the parts of a resume, each alone: which chunks a process has touched is read from its page map; the model of what comes
 * first learns, forgets and keeps its state; a definition's memory is found and moved; the NBD export gives the bytes of its chunks,
 * waits for one that cannot be had, and lets nobody write.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createTouchModel, scoreTouches } from '../../agent/core/touch-model.ts';
import { incomingXml, memoryFileOf, memoryFileXml, ownMemoryXml } from '../../agent/hypervisor/libvirt/memory-file-xml.ts';
import { applyPatch, CHUNK_BYTES, PAGE_BYTES, patchOf } from '../../agent/snapshot/chunk.ts';
import { deviceNumber } from '../../agent/snapshot/device-number.ts';
import { oneAtATime } from '../../agent/snapshot/fuse-requests.ts';
import { serveNbd } from '../../agent/snapshot/nbd-server.ts';
import { qemuProcess, touchedChunks } from '../../agent/snapshot/touched-chunks.ts';
import { systemClock } from '../../shared/clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'headroom-resume-parts-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const GENERATION = '6f1b0000-0000-4000-8000-0000000000b2';

t.test('chunks that a process has touched', async (t) => {
  const file = join(folder, 'memory');
  writeFileSync(file, '');
  const { dev, ino } = statSync(file);
  const { major, minor } = deviceNumber(dev);
  const device = [major, minor].map((number) => number.toString(16).padStart(2, '0')).join(':');
  const proc = join(folder, 'proc', '42');
  mkdirSync(proc, { recursive: true });
  writeFileSync(join(proc, 'cmdline'), ['qemu', '-machine', 'q35', '-uuid', 'some-vm', ''].join('\0'));
  // Two mappings of the file: four chunks from its start, and one from its chunk 9 on.
  const pages = 5 * 16;
  writeFileSync(
    join(proc, 'maps'),
    `${(0x10000).toString(16)}-${(0x50000).toString(16)} rw-s 00000000 ${device} ${ino} ${file}
${(0x50000).toString(16)}-${(0x60000).toString(16)} rw-s 00090000 ${device} ${ino} /by/another/name
60000-70000 rw-p 00000000 00:00 0 [heap]
`,
  );
  const pagemap = Buffer.alloc((16 + pages + 16) * 8);
  const touch = (page: number, bits: number): void => void pagemap.writeUInt8(bits, (16 + page) * 8 + 7);
  touch(3, 0x80);
  touch(4, 0x80);
  touch(2 * 16 + 1, 0x40);
  touch(4 * 16, 0x81);
  touch(5 * 16, 0x80);
  writeFileSync(join(proc, 'pagemap'), pagemap);
  t.same(await touchedChunks(42, { dev, ino }, join(folder, 'proc')), [0, 2, 9], 'present or swapped, of this file alone');
  t.equal(await qemuProcess('some-vm', { dev, ino }, join(folder, 'proc')), 42);
  t.equal(await qemuProcess('some-vm', { dev, ino: ino + 1 }, join(folder, 'proc')), null, 'one of the same name elsewhere');
  t.equal(await qemuProcess('another', { dev, ino }, join(folder, 'proc')), null);
});

t.test('what is touched first is learned, and what is no longer touched forgotten', async (t) => {
  const model = createTouchModel();
  t.same(model.predict(10), []);
  model.observe([5, 3, 8]);
  t.same(
    model.predict(10).map(({ chunk }) => chunk),
    [5, 3, 8],
    'in the order it was touched',
  );
  model.observe([3, 5, 7]);
  t.same(
    model.predict(9),
    [
      { chunk: 3, probability: 1 },
      { chunk: 5, probability: 1 },
      { chunk: 7, probability: 0.5 },
      { chunk: 8, probability: 0.5 },
    ],
    'what was touched in one of two resumes comes last',
  );
  const kept = createTouchModel(JSON.parse(JSON.stringify(model.state())));
  t.same(kept.predict(10), model.predict(10), 'its state survives being written');
  for (let n = 0; n < 3; n++) kept.observe([100]);
  t.same(
    kept.predict(10).map(({ chunk }) => chunk),
    [100],
  );
  for (let n = 0; n < 10; n++) kept.observe([100]);
  t.equal(kept.state().chunks.length, 1, 'old ones take no room');
  t.same(scoreTouches([1, 2, 3, 4], [2, 3, 4, 5, 6]), { hitRate: 0.6, wasteRate: 0.25 });
  t.same(scoreTouches([], []), { hitRate: 0, wasteRate: 0 });
});

t.test('a definition with its memory in a file', async (t) => {
  const xml = `<domain type='qemu'><name>a</name>${memoryFileXml("/dev/shm/o'ne", 1024)}</domain>`;
  t.same(memoryFileOf(xml), { path: "/dev/shm/o'ne", memoryBytes: 1024 });
  const moved = incomingXml(xml, '/run/$&/two', GENERATION);
  t.same(memoryFileOf(moved), { path: '/run/$&/two', memoryBytes: 1024 });
  t.match(moved, /-incoming.*defer/);
  t.match(moved, `share=on,align=${CHUNK_BYTES}'`, 'mapped so that what the kernel maps around a fault is one chunk');
  t.equal(incomingXml(moved, '/run/$&/two', GENERATION), moved, 'asked for once');
  t.notMatch(moved, /genid/, 'none is given to a guest that has none');
  const before = xml.replace('</name>', `</name><genid>6f1b0000-0000-4000-8000-0000000000b1</genid>`);
  t.match(incomingXml(before, '/run/two', GENERATION), `<genid>${GENERATION}</genid>`, 'it learns that it stood still');
  t.equal(ownMemoryXml(moved, "/dev/shm/o'ne"), xml, 'saved by the hypervisor, it begins on its own file');
  t.equal(memoryFileOf('<domain/>'), null);
  t.throws(() => incomingXml('<domain/>', '/a', GENERATION), { code: 'HYPERVISOR_REFUSED' });
  for (const path of ['relative', '/with,comma']) t.throws(() => memoryFileXml(path, 1), { code: 'HYPERVISOR_REFUSED' });
});

t.test('a FUSE mount is held to one request that nobody waits for, or memory is not shown by it', async (t) => {
  const switches = join(folder, 'connections');
  const mount = join(switches, '300');
  mkdirSync(mount, { recursive: true });
  for (const name of ['max_background', 'congestion_threshold']) writeFileSync(join(mount, name), '12');
  // 300 as Linux packs it: the low eight bits, and the rest above the major number.
  await oneAtATime((300 & 0xff) | ((300 & ~0xff) << 12), switches);
  for (const name of ['max_background', 'congestion_threshold']) t.equal(readFileSync(join(mount, name), 'utf8')[0], '1');
  await t.rejects(oneAtATime(7, join(folder, 'nowhere')), { code: 'ENVIRONMENT', message: /switches for FUSE/ });
});

t.test('a patch that is none is refused', async (t) => {
  const base = Buffer.alloc(CHUNK_BYTES, 1);
  const now = Buffer.from(base).fill(2, 0, PAGE_BYTES);
  const patch = patchOf(base, now)!;
  t.ok(applyPatch(base, patch)!.equals(now));
  t.equal(applyPatch(base, patch.subarray(0, -1)), null);
  t.equal(applyPatch(base, Buffer.concat([patch, Buffer.alloc(1)])), null);
  t.equal(patchOf(base, Buffer.alloc(CHUNK_BYTES, 3)), null, 'all pages differ: no patch');
});

t.test('the export: chunks in any range, waited for, never written', async (t) => {
  const bytes = 3 * CHUNK_BYTES - 5000;
  const whole = Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 7) & 0xff));
  const path = join(folder, 'nbd');
  const stuck: string[] = [];
  let broken = true;
  const server = await serveNbd({
    path,
    bytes,
    clock: { ...systemClock, setTimeout: (run) => systemClock.setTimeout(run, 5) },
    async chunk(index) {
      if (index === 2 && broken) throw new Error('not yet');
      return whole.subarray(index * CHUNK_BYTES, Math.min(bytes, (index + 1) * CHUNK_BYTES));
    },
    onStuck(chunk, problem) {
      stuck.push(`${chunk} ${problem === null}`);
      broken = false;
    },
  });
  t.teardown(() => server.close());
  const client = await nbdClient(path);
  t.equal(client.bytes, bytes);
  t.ok((await client.request(0, CHUNK_BYTES - 10, 20)).data.equals(whole.subarray(CHUNK_BYTES - 10, CHUNK_BYTES + 10)), 'across a border');
  t.notOk(server.asked(2));
  t.ok((await client.request(0, 0, bytes)).data.equals(whole));
  t.same(stuck, ['2 false', '2 true']);
  t.equal(server.order.length, 3);
  t.equal((await client.request(0, bytes - 1, 2)).error, 22, 'past the end');
  t.equal((await client.request(1, 0, 0)).error, 1, 'a write is not permitted');
  client.close();
});

t.test('an export whose reader is told of an error rather than left waiting, and answered once it can be', async (t) => {
  const path = join(folder, 'nbd-in-time');
  let broken = true;
  const server = await serveNbd({
    ...{ path, bytes: 2 * CHUNK_BYTES, clock: systemClock, answerMsMax: 50, onStuck: () => undefined },
    async chunk(index) {
      if (index === 1 && broken) throw new Error('not yet');
      return Buffer.alloc(CHUNK_BYTES, index + 1);
    },
  });
  t.teardown(() => server.close());
  const client = await nbdClient(path);
  t.equal((await client.request(0, 0, 10)).data[0], 1);
  t.equal((await client.request(0, CHUNK_BYTES, 10)).error, 5);
  t.equal(server.stuck, 1, 'it is tried on');
  broken = false;
  while (server.stuck > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal((await client.request(0, CHUNK_BYTES, 10)).data[0], 2, 'on the same connection');
  client.close();
});

/** Greets as QEMU does: an option the server does not know, then `go`. */
async function nbdClient(path: string) {
  const socket = connect(path);
  let held = Buffer.alloc(0);
  let wake = (): void => undefined;
  socket.on('data', (part: Buffer) => {
    held = Buffer.concat([held, part]);
    wake();
  });
  const take = async (count: number): Promise<Buffer> => {
    while (held.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = held.subarray(0, count);
    held = held.subarray(count);
    return taken;
  };
  const u32 = (...values: number[]): Buffer => {
    const words = Buffer.alloc(values.length * 4);
    for (const [place, value] of values.entries()) words.writeUInt32BE(value, place * 4);
    return words;
  };
  await take(18);
  socket.write(Buffer.concat([u32(3), Buffer.from('IHAVEOPT'), u32(8, 0), Buffer.from('IHAVEOPT'), u32(7, 6, 0), Buffer.alloc(2)]));
  t.equal((await take(20)).readUInt32BE(12), 0x80000001, 'structured replies are not offered');
  await take(20);
  const info = await take(12);
  await take(20);
  return {
    bytes: Number(info.readBigUInt64BE(2)),
    async request(command: number, offset: number, length: number): Promise<{ error: number; data: Buffer }> {
      const head = Buffer.alloc(28);
      head.writeUInt32BE(0x25609513, 0);
      head.writeUInt16BE(command, 6);
      head.writeBigUInt64BE(BigInt(offset), 16);
      head.writeUInt32BE(length, 24);
      socket.write(head);
      const error = (await take(16)).readUInt32BE(4);
      return { error, data: error === 0 ? await take(length) : Buffer.alloc(0) };
    },
    close: () => socket.destroy(),
  };
}
