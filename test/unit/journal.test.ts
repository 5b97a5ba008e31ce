/**
 * Goal: the journal keeps what was there before the first write through writes, foreign writers, restarts and damage; a
 * damaged record is never acted upon; what is on disk is whole after any interruption.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import * as journal from '../../agent/core/journal.ts';
import { checkRecord } from '../../agent/core/journal-check.ts';
import { metadataOf, recordTextInMetadata } from '../../agent/core/journal-metadata.ts';
import { openStateDir } from '../../agent/state-dir.ts';
import { vmId } from '../../shared/ids.ts';
import type { CpuSetting } from '../../shared/resources.ts';

const VM = vmId('00000000-0000-4000-8000-000000000001');
const OTHER = vmId('00000000-0000-4000-8000-000000000002');
const cpu = (capCores: number | null, weight = 100): CpuSetting => ({ resource: 'cpu', weight, capCores });
/** Nested, as the libvirt adapter groups them. */
const native = (shares: number, quota: number) => ({ adapter: 'libvirt', values: { scheduler: { shares, quota } } });

/** One record after a write of ours: shares 1024 → 512, quota -1 → 50000. */
function written(): journal.VmRecord {
  let record = journal.emptyRecord(VM, 'web', 77);
  record = journal.withIntent(record, cpu(0.5, 50), cpu(null), native(1024, -1));
  record = journal.withPair(record, 'cpu', { epoch: 1, generation: 3 });
  return journal.withWritten(record, cpu(0.5, 50), native(512, 50_000));
}

t.test('the original of the first write stays', async (t) => {
  let record = written();
  record = journal.withIntent(record, cpu(1, 80), cpu(0.5, 50), native(512, 50_000));
  t.same(record.entries.cpu?.original, native(1024, -1));
  t.same(record.entries.cpu?.originalSetting, cpu(null));
  t.same(record.entries.cpu?.intended, cpu(1, 80));
  t.same(record.entries.cpu?.written, cpu(0.5, 50), 'until the new write has ended');
  t.same(journal.withPair(record, 'cpu', { epoch: 1, generation: 2 }).pairs.cpu, { epoch: 1, generation: 3 }, 'pairs never fall');
});

t.test('a foreign writer: what it changed is its own, the rest is still restored', async (t) => {
  const hold = { reason: 'someone else', since: { wallMs: 0, bootMs: 0 }, forMs: 5 };
  const quotaOnly = journal.withForeign(written(), cpu(2, 50), native(512, 200_000), hold);
  t.same(quotaOnly.entries.cpu?.original, native(1024, 200_000), 'our weight goes back, their quota stays');
  t.same(quotaOnly.adopted.cpu, cpu(2, 50));
  t.equal(quotaOnly.reversals.cpu, 1);
  const both = journal.withForeign(written(), cpu(2, 200), native(2048, 200_000), hold);
  t.equal(both.entries.cpu, undefined, 'nothing of ours is left: nothing to restore');
  const back = journal.withForeign(written(), cpu(null), native(1024, -1), hold);
  t.equal(back.entries.cpu, undefined);
  const untouched = journal.withForeign(journal.emptyRecord(VM, 'web', 1), cpu(2), native(1, 1), hold);
  t.equal(untouched.reversals.cpu, 0, 'a write over nothing of ours reverses nothing');
  t.equal(journal.reversalsWith(quotaOnly, 'cpu'), 2, 'the next one over what is still ours is the second');
});

t.test('holds run out, or are lifted; a stop forgets live values alone', async (t) => {
  const since = { wallMs: 5000, bootMs: 70_000 };
  const after = (ms: number) => ({ wallMs: 5000 + ms, bootMs: 70_000 + ms });
  const record = journal.withForeign(written(), cpu(2, 50), native(512, 200_000), { reason: 'x', since, forMs: 1000 });
  t.ok(journal.withoutExpiredHolds(record, after(999)).holds.cpu);
  t.same(journal.withoutExpiredHolds(record, after(1000)).holds, {});
  t.ok(journal.withoutExpiredHolds(record, { wallMs: 3_600_000, bootMs: 70_500 }).holds.cpu, 'a wall clock set forward ends no hold');
  t.ok(journal.withoutExpiredHolds(record, { wallMs: 0, bootMs: 80_000 }).holds.cpu, 'one set back only prolongs it');
  t.ok(journal.withoutExpiredHolds(record, { wallMs: 5500, bootMs: 10 }).holds.cpu, 'it outlives a reboot');
  t.same(journal.withoutExpiredHolds(record, { wallMs: 6000, bootMs: 10 }).holds, {}, 'by the wall clock');
  t.equal(journal.withoutExpiredHolds(written(), after(1000)).holds.cpu, undefined);
  t.same(journal.lifted(record, 'memory').reversals, { cpu: 1 });
  t.same([journal.lifted(record, 'cpu').holds, journal.lifted(record, null).reversals], [{}, {}]);
  const stopped = journal.withoutEntries(record, null);
  t.same([stopped.entries, stopped.adopted, stopped.pairs.cpu, stopped.reversals.cpu], [{}, {}, { epoch: 1, generation: 3 }, 1]);
  t.notOk(journal.hasEntries(stopped));
  t.ok(journal.hasEntries({ ...stopped, statsPeriodSecondsBefore: 0 }), 'a changed statistics period is to be restored too');
});

t.test('through metadata and back, with whatever prefix the hypervisor gives it', async (t) => {
  const record = written();
  const xml = metadataOf(record);
  t.same(JSON.parse(recordTextInMetadata(xml)!), record);
  const prefixed = xml.replaceAll('<state', '<headroom:state xmlns:headroom="https://x/1"').replaceAll('</state', '</headroom:state');
  t.same(JSON.parse(recordTextInMetadata(prefixed)!), record);
  t.equal(recordTextInMetadata(null), null);
  t.equal(recordTextInMetadata('<state/>'), null);
});

t.test('a record that is not whole is no record', async (t) => {
  const good = JSON.stringify(written());
  t.match(checkRecord(good), { ok: true });
  const broken: [string, (record: journal.VmRecord) => unknown][] = [
    ['another version', (r) => ({ ...r, version: 2 })],
    ['no UUID', (r) => ({ ...r, vm: '../../etc/passwd' })],
    ['unknown resource', (r) => ({ ...r, entries: { gpu: {} } })],
    ['an entry without its original', (r) => ({ ...r, entries: { cpu: { ...r.entries.cpu, original: null } } })],
    ['a setting of another resource', (r) => ({ ...r, adopted: { cpu: { resource: 'memory', memoryMiB: 5 } } })],
    ['an infinite number', (r) => ({ ...r, processId: '7' })],
    ['a list', () => []],
  ];
  for (const [name, damage] of broken) t.match(checkRecord(JSON.stringify(damage(JSON.parse(good)))), { ok: false }, name);
  for (let cut = 0; cut < good.length; cut += 17) t.match(checkRecord(good.slice(0, cut)), { ok: false }, `cut at ${cut}`);
});

t.test('the state directory', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-state-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const files = openStateDir(directory);
  files.save(written());
  files.save({ ...written(), vm: OTHER });
  t.equal(openStateDir(directory).load().records.length, 2);
  // kill -9 in the middle of a write leaves the temporary file; it is neither read nor in the way.
  writeFileSync(join(directory, 'journal', `.${VM}.json.new`), '{"version":1,"vm":');
  t.same([files.load().records.length, files.load().problems], [2, []]);
  files.save(written());
  t.same(readdirSync(join(directory, 'journal')).sort(), [`${VM}.json`, `${OTHER}.json`]);
  files.remove(OTHER);
  writeFileSync(join(directory, 'journal', `${OTHER}.json`), '{"version":1}');
  const { records, problems } = files.load();
  t.same([records.length, problems.length], [1, 1]);
  t.match(problems[0], /set aside/);
  t.equal(readFileSync(join(directory, 'journal', `${OTHER}.json.broken`), 'utf8'), '{"version":1}');

  t.same([files.kills().host, files.kills().vms.size], [null, 0]);
  files.setKill(null, 'drill');
  files.setKill(VM, 'this one too');
  t.same([files.kills().host, files.kills().vms.get(VM)], ['drill', 'this one too']);
  writeFileSync(join(directory, 'kill', 'host'), '');
  t.equal(files.kills().host, 'no reason given', 'a switch made by touch is a switch');
  files.setKill(null, null);
  files.setKill(VM, null);
  t.same([files.kills().host, files.kills().vms.size], [null, 0]);

  files.requestLift({ vm: VM, resource: 'cpu' });
  files.requestLift({ vm: OTHER, resource: null });
  t.same(
    files.takeLifts().sort((a, b) => a.vm.localeCompare(b.vm)),
    [
      { vm: VM, resource: 'cpu' },
      { vm: OTHER, resource: null },
    ],
  );
  t.same(files.takeLifts(), []);
  t.throws(() => openStateDir(join(directory, 'journal', `${VM}.json`, 'below-a-file')), { code: 'ENVIRONMENT' });
});
