/**
 * Goal: a disk that is really full refuses appends (the embedded stores with STORE_FULL, a real InfluxDB by its answers),
 * keeps what was acknowledged, and takes appends again as soon as there is room. A small tmpfs is the disk (needs root).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import { eventBody } from '../contract/ledger-store-contract.ts';
import { block, rowsOf, standingClock, VM_A } from '../contract/series-store-contract.ts';
import { startInfluxDb } from '../support/influxdb.ts';

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

t.test('series in a real InfluxDB', async (t) => {
  const ballast = join(disk, 'ballast');
  const influx = await startInfluxDb({ within: disk });
  t.teardown(async () => {
    await influx.stop();
    rmSync(ballast, { force: true });
  });
  const store = await openInfluxSeriesStore({
    url: influx.url,
    database: 'full',
    clock: systemClock,
    prng: createPrng(1),
    retryForMs: 300,
  });
  t.teardown(() => store.close());
  const random = createPrng(2);
  const base = Date.now() - 600_000;
  const kept: number[] = [];
  let sent = 0;
  const append = async (): Promise<void> => {
    const times = Array.from({ length: 100 }, () => base + sent++);
    await store.append([
      block(
        VM_A,
        FIELDS,
        times.map((time) => [time, ...FIELDS.map(() => random.next())]),
      ),
    ]);
    kept.push(...times);
  };
  const lost = async (): Promise<number[]> => {
    const range = { subject: VM_A, source: 'host', fields: ['vm_cpu.field0'], fromMs: base, toMs: base + sent, resolution: 'raw' } as const;
    const { timesMs } = await store.query(range);
    t.equal(new Set(timesMs).size, timesMs.length, 'nothing is there twice');
    const found = new Set(timesMs);
    return kept.filter((time) => !found.has(time));
  };
  await append();
  writeFileSync(ballast, Buffer.alloc(DISK_BYTES * 0.6));
  let refusal: unknown = null;
  for (let n = 0; n < 300 && refusal === null; n++) {
    try {
      await append();
    } catch (error) {
      refusal = error;
    }
  }
  t.ok(isHeadroomError(refusal, 'STORE_UNAVAILABLE'), `refused with ${refusal}`);
  t.match(String(refusal), /no space left/);
  t.match((await store.status()).problems, [/rows are not stored: .*no space left/]);
  t.same(await lost(), [], `${kept.length} rows acknowledged`);
  rmSync(ballast);
  // InfluxDB 1 goes on refusing until it is restarted: the error sticks to its log of writes.
  await influx.kill();
  await influx.start();
  t.same(await lost(), [], 'nor does its death lose them');
  await append();
  t.same(await lost(), []);
  t.same((await store.status()).problems, []);
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
