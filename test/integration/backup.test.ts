/**
 * Goal: a backup made while everything is in use brings all of it back onto an empty place: ledger, policies, templates, keys, groups,
 * models, series, and what several aggregators share in etcd. What was changed, or is not ours to restore, is refused before anything is
 * written.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { makeBackup } from '../../aggregator/cli/backup/make-backup.ts';
import { restoreBackup } from '../../aggregator/cli/backup/restore-backup.ts';
import { connectEtcd } from '../../aggregator/etcd/connection.ts';
import { epochBase } from '../../aggregator/etcd/epoch-base.ts';
import { etcdLeaseTable } from '../../aggregator/etcd/etcd-lease-table.ts';
import { openEtcdLedgerStore } from '../../aggregator/etcd/etcd-ledger-store.ts';
import { EtcdKeys } from '../../aggregator/etcd/keys.ts';
import { PolicyKeeper } from '../../aggregator/service/policy-keeper.ts';
import { TemplateKeeper } from '../../aggregator/service/template-keeper.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { eventBody, VM_A } from '../contract/ledger-store-contract.ts';
import { headroom } from '../support/cli.ts';
import { startEtcd } from '../support/etcd.ts';
import { rowsOf } from '../support/wire-world.ts';

const POLICY = 'version: 1\ndefaults:\n  cpu: {mode: recommend, ceiling: 1.5}\n';
const TEMPLATE = 'version: 1\nname: web\nimage: {pool: images, volume: debian.qcow2}\nvcpus: 2\nmemoryMiB: 1024\n';
const FIELD = 'vm_cpu.usageCores';
/** Of every kind that an aggregator keeps as bytes beside the chain. */
const KEPT = ['model/vm-a', 'kill-switches', 'agent-identities', 'api-tokens', 'spawn/7', 'group/web', 'capacity/host-1', 'incidents'];
const folder = mkdtempSync(join(tmpdir(), 'headroom-backup-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

async function fill(ledger: LedgerStore, nowMs: number): Promise<void> {
  await ledger.nextEpoch();
  const policies = new PolicyKeeper(ledger, { read: async () => null }, 60_000);
  await policies.load(nowMs);
  await policies.apply(POLICY, { by: 'ada', ifVersion: null }, [], nowMs);
  await new TemplateKeeper(ledger).apply('web', TEMPLATE, { by: 'ada', ifVersion: null, dryRun: false, nowMs });
  for (const [i, name] of KEPT.entries()) await ledger.putBlob(name, Buffer.from(`${name} `.repeat(500 * (i + 1))));
  await ledger.putAllocation({ vm: VM_A, host: 'host-1' as never, setting: { resource: 'memory', memoryMiB: 700 }, sinceMs: nowMs });
  await Promise.all(Array.from({ length: 300 }, (_, i) => ledger.append(nowMs + i, eventBody(`event ${i}`, VM_A))));
}

interface Kept {
  blobs: [string, string][];
  allocations: unknown[];
  entries: unknown[];
}

/** Everything that a ledger store gives out, up to so many entries. */
async function everything(ledger: LedgerStore, entries: number): Promise<Kept> {
  const names = (await ledger.blobNames('')).sort();
  const blobs: [string, string][] = [];
  for (const name of names) blobs.push([name, Buffer.from((await ledger.getBlob(name))!).toString('base64')]);
  return { blobs, allocations: await ledger.allocations(), entries: await ledger.entries({ limit: entries }) };
}

t.test('one aggregator alone, while it writes', async (t) => {
  const nowMs = Date.now();
  const ledger = await openSqliteLedgerStore({ directory: join(at('live'), 'ledger') });
  const series = await openSqliteSeriesStore({ directory: join(at('live'), 'series'), clock: systemClock });
  await fill(ledger, nowMs);
  const times = Array.from({ length: 200 }, (_, i) => Math.floor(nowMs / 1000) * 1000 - i * 1000).reverse();
  await series.append([rowsOf(VM_A, times)]);
  let writing = true;
  let written = 0;
  const writer = (async () => {
    for (; writing; written++) await ledger.append(nowMs, eventBody(`meanwhile ${written}`));
  })();
  // A disk that others keep busy takes its time for each.
  while (written < 5) await new Promise((resolve) => setTimeout(resolve, 10));
  const made = await headroom(`backup --data-dir ${at('live')} --out ${at('backup')} --json`);
  t.equal(made.code, 0, made.err);
  writing = false;
  await writer;
  const told = JSON.parse(made.out) as { ledger: { entries: number; head: string }; files: number };
  t.ok(told.ledger.entries >= 303, `${told.ledger.entries} entries, ${written} written meanwhile`);
  const before = await everything(ledger, told.ledger.entries);
  await ledger.close();
  await series.close();

  const restored = await headroom(`restore --from ${at('backup')} --data-dir ${at('bare')}`);
  t.equal(restored.code, 0, restored.err);
  t.match(restored.out, `the ledger's chain holds: ${told.ledger.entries} entries, head ${told.ledger.head}`);
  t.equal((await headroom(`audit verify --data-dir ${at('bare')}`)).code, 0);
  const again = await openSqliteLedgerStore({ directory: join(at('bare'), 'ledger') });
  t.same(await everything(again, told.ledger.entries), before);
  t.match(await again.verify(), { ok: true, head: told.ledger.head });
  const policies = new PolicyKeeper(again, { read: async () => null }, 60_000);
  await policies.load(nowMs);
  t.equal(policies.view().source, POLICY);
  t.equal(await again.nextEpoch(), 2, 'starts are counted on');
  await again.close();
  const rows = await openSqliteSeriesStore({ directory: join(at('bare'), 'series'), clock: systemClock });
  const query = { subject: { kind: 'vm', id: VM_A }, source: 'host', fields: [FIELD], fromMs: times[0]!, toMs: times.at(-1)! + 1 } as const;
  t.same([...(await rows.query({ ...query, resolution: 'raw' })).timesMs], times);
  await rows.close();
});

t.test('refused, with nothing written: a changed byte anywhere, another format, a place that is in use', async (t) => {
  const refused = async (line: string, message: RegExp, name = at('nothing')): Promise<void> => {
    const { code, err } = await headroom(line);
    t.not(code, 0, line);
    t.match(err, message);
    t.notOk(existsSync(join(name, 'ledger')), 'nothing is there');
  };
  const restore = `restore --from ${at('backup')} --data-dir ${at('nothing')}`;
  const { manifest } = JSON.parse(readFileSync(join(at('backup'), 'manifest.json'), 'utf8')) as { manifest: { files: { path: string }[] } };
  for (const path of ['manifest.json', ...manifest.files.map((file) => file.path)]) {
    const file = join(at('backup'), path);
    const sound = readFileSync(file);
    const bad = Buffer.from(sound);
    const byte = Math.floor(bad.length * 0.7);
    bad[byte] = bad[byte] === 0x31 ? 0x32 : 0x31;
    writeFileSync(file, bad);
    await refused(restore, /was changed since|no JSON any more/);
    writeFileSync(file, sound);
  }
  const file = join(at('backup'), 'manifest.json');
  const sound = readFileSync(file, 'utf8');
  writeFileSync(file, sound.replace('"format": 1', '"format": 9'));
  await refused(restore, /a backup of format 9, this program restores format 1/);
  writeFileSync(file, sound);
  await refused(`restore --from ${at('elsewhere')} --data-dir ${at('nothing')}`, /name the directory that "headroom backup" made/);
  t.match(await headroom(`restore --from ${at('backup')} --data-dir ${at('bare')}`), { code: 1, err: /is not empty/ });
  t.match(await headroom(`backup --data-dir ${at('bare')} --out ${at('backup')}`), { code: 1, err: /is not empty/ });
  await refused(`backup --data-dir ${at('nothing')} --out ${at('b2')}`, /holds no ledger/, at('b2'));
  t.equal((await headroom(restore)).code, 0, 'and as it was made it still is whole');
});

t.test('several aggregators: one backup, an empty etcd, the next owner is above all earlier ones', async (t) => {
  const etcd = await startEtcd();
  const connection = connectEtcd({ endpoints: etcd.endpoints });
  t.teardown(async () => {
    connection.close();
    await etcd.stop();
  });
  const prefix = 'fleet/';
  const cluster = {
    name: 'a',
    agentsUrl: 'ws://127.0.0.1:1/',
    prefix,
    leaseMs: 3000,
    heartbeatMs: 600,
    etcd: { endpoints: etcd.endpoints },
  };
  const configOf = (dataDir: string, name = 'a') => ({ dataDir, cluster: { ...cluster, name } as never });
  const open = async (dataDir: string, name: string): Promise<LedgerStore> => {
    const copy = await openSqliteLedgerStore({ directory: join(dataDir, 'ledger') });
    return openEtcdLedgerStore({ connection, prefix, clock: systemClock, name, copy });
  };
  const claim = async (lease: string) => {
    const table = etcdLeaseTable(connection, prefix, await epochBase(new EtcdKeys(connection, prefix)));
    return table.take(lease, 'hosts/host-1', 'a');
  };
  const live = await open(at('a'), 'a');
  await fill(live, Date.now());
  const lease = await etcdLeaseTable(connection, prefix).grant(60_000);
  const { entry: owned } = await claim(lease);
  const manifest = await makeBackup({ config: configOf(at('a')), out: at('shared'), clock: systemClock, version: 'test' });
  t.ok(manifest.shared!.keys > 100);
  t.ok(manifest.shared!.epochsBelow > owned.revision);
  // What comes after the backup is lost with etcd and both disks; the epochs given since must not come again.
  await Promise.all(Array.from({ length: 50 }, (_, i) => live.append(Date.now(), eventBody(`too late ${i}`))));
  await live.close();

  await t.rejects(restoreBackup(at('shared'), configOf(at('a2'))), { code: 'CONFLICT', message: /etcd has \d+ keys below "fleet\/"/ });
  t.same(
    readdirSync(at('a2')).filter((name) => !name.endsWith('.lock')),
    [],
    'nothing is left of it',
  );
  await t.rejects(restoreBackup(at('shared'), { dataDir: at('a3'), cluster: null }), { code: 'CONFIG_INVALID' });
  await t.rejects(restoreBackup(at('backup'), configOf(at('a3'))), { code: 'CONFIG_INVALID' });

  await new EtcdKeys(connection, prefix).removeAll('');
  // A restore that was killed on its way is begun anew.
  await new EtcdKeys(connection, prefix).put('restoring', 'somebody');
  await new EtcdKeys(connection, prefix).put('blob/half', 'x');
  t.match(await restoreBackup(at('shared'), configOf(at('a2'))), { sharedFilled: true });
  t.match(await restoreBackup(at('shared'), configOf(at('b2'), 'b')), { sharedFilled: false });
  const [a, b] = [await open(at('a2'), 'a'), await open(at('b2'), 'b')];
  for (const store of [a, b]) {
    t.match(await store.verify(), { ok: true, entries: manifest.ledger.entries, head: manifest.ledger.head });
    const kept = await everything(store, manifest.ledger.entries);
    t.equal(kept.allocations.length, 1);
    t.equal(kept.entries.length, manifest.ledger.entries);
    for (const name of KEPT)
      t.ok(
        kept.blobs.some(([each]) => each === name),
        name,
      );
    t.notOk(kept.blobs.some(([each]) => each === 'half'));
  }
  await a.append(Date.now(), eventBody('goes on'));
  t.match(await b.verify(), { ok: true, entries: manifest.ledger.entries + 1 }, 'one chain, as before');
  const again = await claim(await etcdLeaseTable(connection, prefix).grant(60_000));
  t.ok(again.mine, 'who owned what ended with etcd');
  t.ok(again.entry.revision > owned.revision + 1_000_000, `epoch ${again.entry.revision} after ${owned.revision}`);
  await a.close();
  await b.close();
});
