/**
 * Goal: on a disk that is really full the ring refuses without harm, keeps what it has, goes on when there is room, and what
 * it kept is read back by another process's ring. A small tmpfs is the disk (needs root).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DISK_RING_LIMITS, DiskRing, type SegmentFiles } from '../../agent/core/disk-ring.ts';
import { openSegmentDir } from '../../agent/segment-dir.ts';
import { until } from '../support/wire-world.ts';

const DISK_BYTES = 4 * 1024 * 1024;
const LIMITS = { ...DISK_RING_LIMITS, bytesMax: 64 * 1024 * 1024, retryMs: 0 };

const disk = mkdtempSync(join(tmpdir(), 'headroom-ring-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk], { encoding: 'utf8' });
t.teardown(async () => {
  // A sealed segment is closed only once the disk has it.
  await until(() => spawnSync('umount', [disk]).status === 0, 'the disk to be let go');
  rmdirSync(disk);
});
/** A process that ends closes its files; here it goes on. */
const closeAll = (files: SegmentFiles): void => {
  for (const { id } of files.list()) files.seal(id);
};
t.equal(mounted.status, 0, `mount: ${mounted.stderr}`);

t.test('written until it is full', async (t) => {
  const directory = join(disk, 'ring');
  const ballast = join(disk, 'ballast');
  // A quota, say, is not seen in what the volume tells: the write itself fails.
  const files = { ...openSegmentDir(directory), freeBytes: () => Number.NaN };
  t.teardown(() => {
    rmSync(directory, { recursive: true, force: true });
    rmSync(ballast, { force: true });
  });
  writeFileSync(ballast, Buffer.alloc(DISK_BYTES / 2));
  const ring = new DiskRing<number>(files, { ...LIMITS, freeBytesMin: 0 }, () => {});
  let kept = 0;
  const append = (): boolean => {
    const payload = Buffer.alloc(50_000, kept & 255);
    payload.writeUInt32LE(kept);
    const took = ring.append(payload, 10, kept, 0);
    if (took) kept++;
    return took;
  };
  for (let n = 0; n < 100; n++) append();
  t.ok(kept > 20 && kept < 45, `${kept} records of 50 kB fit`);
  t.match(ring.stats.lastError, /ENOSPC/);
  const full = kept;
  rmSync(ballast);
  t.ok(append(), 'there is room again');
  closeAll(files);
  const found = new DiskRing<number>(openSegmentDir(directory), { ...LIMITS, freeBytesMin: 0 }, () => {});
  for (let number = 0; number <= full; number++) {
    const record = found.next();
    const payload = Buffer.from(record?.payload ?? []);
    if (payload.length !== 50_000 || payload.readUInt32LE() !== number) t.fail(`record ${number} is not what was written`);
    found.settle(record?.segment ?? 0);
  }
  t.equal(found.next(), null);
  t.equal(found.stats.bytes, 0, 'and all of it is gone from the disk');
});

t.test('the volume keeps room for others', async (t) => {
  const directory = join(disk, 'polite');
  const files = openSegmentDir(directory);
  t.teardown(() => {
    closeAll(files);
    rmSync(directory, { recursive: true, force: true });
  });
  const ring = new DiskRing<number>(files, { ...LIMITS, freeBytesMin: DISK_BYTES / 2 }, () => {});
  for (let n = 0; n < 100; n++) ring.append(Buffer.alloc(50_000), 10, n, 0);
  // Files take whole pages.
  t.ok(files.freeBytes() >= DISK_BYTES / 2 - 65_536, `${files.freeBytes()} bytes are free`);
  t.match(ring.stats.lastError, /left to others/);
});
