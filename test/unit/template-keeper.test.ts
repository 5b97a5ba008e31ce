/**
 * Goal: no version of a template is lost or changed: each is kept with its text and proved by its digest, VMs find the one they
 * were made from after a restart, equal texts make no new version, a writer who looked at another version is refused.
 */
import t from 'tap';
import { BootTimes } from '../../aggregator/core/spawn/boot-times.ts';
import { TemplateKeeper } from '../../aggregator/service/template-keeper.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';

const TEXT = 'version: 1\nname: web\nimage: {pool: images, volume: debian.qcow2}\nvcpus: 2\nmemoryMiB: 1024\n';
const LARGER = TEXT.replace('1024', '2048');
const by = (name: string, ifVersion: number | null = null) => ({ by: name, ifVersion, dryRun: false, nowMs: 1000 });

t.test('each version is kept, and found by those made from it, also after a restart', async (t) => {
  const ledger = createMemoryLedgerStore();
  const keeper = new TemplateKeeper(ledger);
  await keeper.load();
  t.same(await keeper.apply('web', TEXT, by('ada')), { name: 'web', version: 1, changed: true });
  t.same(await keeper.apply('web', LARGER, by('bob')), { name: 'web', version: 2, changed: true });
  t.same(await keeper.apply('web', `${LARGER}\n# a comment\n`, by('bob')), { name: 'web', version: 2, changed: false });
  const again = new TemplateKeeper(ledger);
  await again.load();
  t.equal(again.current('web')?.build.memoryMiB, 2048);
  t.equal((await again.byId('web@1'))?.build.memoryMiB, 1024);
  t.equal(await again.byId('web@3'), null);
  t.equal(await again.byId('other@1'), null);
  t.match(await again.versions('web'), [
    { version: 2, by: 'bob' },
    { version: 1, by: 'ada' },
  ]);
  t.match(await ledger.entries({ kind: 'template', limit: 10 }), [{ body: { name: 'web', version: 1 } }, { body: { version: 2 } }]);
  await ledger.putBlob(
    'template-version/web/1',
    new TextEncoder().encode(JSON.stringify({ ...(await again.version('web', 1)), source: LARGER })),
  );
  await t.rejects(again.version('web', 1), { code: 'LEDGER_BROKEN' });
});

t.test('what changes nothing: mistakes, dry runs, writers who saw another version', async (t) => {
  const keeper = new TemplateKeeper(createMemoryLedgerStore());
  await t.rejects(keeper.apply('web', 'version: 1\nname: web\n', by('ada')), { code: 'TEMPLATE_INVALID' });
  await t.rejects(keeper.apply('other', TEXT, by('ada')), { code: 'USAGE', message: /is of template "web"/ });
  t.match(await keeper.apply('web', TEXT, { ...by('ada'), dryRun: true }), { version: 0, changed: true });
  t.equal(keeper.current('web'), null);
  const both = await Promise.allSettled([keeper.apply('web', TEXT, by('ada', 0)), keeper.apply('web', LARGER, by('bob', 0))]);
  t.match(both, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'VERSION_CHANGED' } }]);
  t.equal(keeper.current('web')?.build.memoryMiB, 1024);
});

t.test('boots: the slowest host counts, old ones are forgotten', async (t) => {
  const boots = new BootTimes();
  t.equal(boots.p95Ms('web'), null);
  for (let i = 1; i <= 20; i++) boots.note('web', 'a', i * 1000);
  boots.note('web', 'b', 15_000);
  t.match(boots.statistics('web'), [
    { host: 'a', boots: 20, p95Ms: 19_000, lastMs: 20_000 },
    { host: 'b', boots: 1, p95Ms: 15_000 },
  ]);
  t.equal(new BootTimes(boots.kept).p95Ms('web'), 19_000);
  for (let i = 0; i < 40; i++) boots.note('web', 'a', 2000);
  t.equal(boots.p95Ms('web'), 15_000);
});
