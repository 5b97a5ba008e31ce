/**
 * Goal: a disk that is really full refuses appends with STORE_FULL, keeps what was acknowledged, and takes appends again
 * as soon as there is room. A small tmpfs is the disk (needs root).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { eventBody } from '../contract/ledger-store-contract.ts';
import { block, rowsOf, standingClock, VM_A } from '../contract/series-store-contract.ts';

const DISK_BYTES = 8 * 1024 * 1024;
const FIELDS = Array.from({ length: 20 }, (_, i) => `vm_cpu.field${i}`);

const disk = mkdtempSync(join(tmpdir(), 'headroom-disk-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk], { encoding: 'utf8' });
t.teardown(() => {
  spawnSync('umount', [disk]);
  rmdirSync(disk);
});
t.equal(mounted.status, 0, `mount: ${mounted.stderr}`);

t.test('series', async (t) => {
  const clock = standingClock();
  const directory = join(disk, 'series');
  const ballast = join(disk, 'ballast');
  const store = await openSqliteSeriesStore({ directory, clock, groupMs: 1 });
  t.teardown(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
    rmSync(ballast, { force: true });
  });
  const append = async (): Promise<void> => {
    const from = clock.wallMs() - 10_000;
    await store.append([
      block(
        VM_A,
        FIELDS,
        Array.from({ length: 100 }, (_, i) => [from + i * 100, ...FIELDS.map((_, j) => Math.sin(from + i * j))]),
      ),
    ]);
  };
  writeFileSync(ballast, Buffer.alloc(DISK_BYTES / 2));
  let kept = 0;
  let refusal: unknown = null;
  for (let n = 0; n < 1000 && refusal === null; n++) {
    try {
      await append();
      kept++;
      // Sealing goes on under way and meets the full disk as well.
      if (n % 10 === 0) clock.stepWall(10_000);
      else clock.stepWall(1000);
    } catch (error) {
      refusal = error;
    }
  }
  t.ok(isHeadroomError(refusal, 'STORE_FULL'), `refused with ${refusal}`);
  const rows = async (): Promise<number> => {
    const result = await store.query({
      subject: VM_A,
      source: 'host',
      fields: FIELDS,
      fromMs: 0,
      toMs: clock.wallMs() * 2,
      resolution: 'raw',
    });
    return new Set(rowsOf(result, FIELDS).map(([time]) => time)).size;
  };
  const before = await rows();
  t.ok(before > 0 && kept > 5);
  rmSync(ballast);
  clock.stepWall(20_000);
  await append();
  t.equal(await rows(), before + 100, 'what was there is there, and the new rows');
  clock.stepWall(600_000);
  await store.maintain(clock.wallMs());
  t.equal(await rows(), before + 100, 'and sealed');
  t.notOk(
    (await store.status()).problems.some((problem) => problem.startsWith('now:')),
    'nothing is wrong any more',
  );
});

t.test('ledger', async (t) => {
  const directory = join(disk, 'ledger');
  const ballast = join(disk, 'ballast');
  const store = await openSqliteLedgerStore({ directory });
  t.teardown(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
    rmSync(ballast, { force: true });
  });
  writeFileSync(ballast, Buffer.alloc(DISK_BYTES * 0.7));
  let kept = 0;
  let refusal: unknown = null;
  for (let n = 0; n < 2000 && refusal === null; n++) {
    try {
      await Promise.all([store.append(n, eventBody('x'.repeat(1500))), store.putBlob(`b${n}`, new Uint8Array(20_000))]);
      kept++;
    } catch (error) {
      refusal = error;
    }
  }
  t.ok(isHeadroomError(refusal, 'STORE_FULL'), `refused with ${refusal}`);
  const verified = await store.verify();
  t.ok(verified.ok && verified.entries >= kept, 'the chain is whole');
  rmSync(ballast);
  await store.append(1, eventBody('again'));
  t.match(await store.verify(), { ok: true });
});
