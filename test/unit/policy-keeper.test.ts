/**
 * Goal: no policy is lost and none is taken unseen. Versions rise by one each, are kept with their text in the ledger and
 * proved by its chain; a writer who looked at another version is refused; a dry run tells modes, bounds and the next plan,
 * and changes nothing.
 */
import t from 'tap';
import { differenceLines, policyDifferences } from '../../aggregator/core/plan/policy-diff.ts';
import { PolicyKeeper } from '../../aggregator/service/policy-keeper.ts';
import { previewPlan } from '../../aggregator/service/policy-preview.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const RECOMMEND = 'version: 1\ndefaults:\n  cpu: {mode: recommend, ceiling: 1.5}\n';
const noFile = { read: async () => null };
const by = (name: string, ifVersion: number | null = null) => ({ by: name, ifVersion });

async function keeperOf(ledger = createMemoryLedgerStore()) {
  const keeper = new PolicyKeeper(ledger, noFile, 60_000);
  await keeper.load(NOW_MS);
  return { keeper, ledger };
}

t.test('versions: each is kept with its text, newest first, also after a restart', async (t) => {
  const { keeper, ledger } = await keeperOf();
  t.same(await keeper.versions(10), []);
  await keeper.apply(RECOMMEND, by('ada'), [], NOW_MS);
  await keeper.apply(AUTO_POLICY, by('bob'), [], NOW_MS + 1000);
  const again = (await keeperOf(ledger)).keeper;
  t.match(await again.versions(10), [
    { version: 2, by: 'bob', atMs: NOW_MS + 1000, source: null },
    { version: 1, by: 'ada', atMs: NOW_MS, source: null },
  ]);
  t.equal((await again.version(1))?.source, RECOMMEND);
  t.equal(await again.version(3), null);
  t.equal(again.policy.version, 2);
  t.same((await ledger.verify()).ok, true);
});

t.test('a text that is not the one of the chain is not handed out', async (t) => {
  const { keeper, ledger } = await keeperOf();
  await keeper.apply(RECOMMEND, by('ada'), [], NOW_MS);
  await ledger.putBlob('policy/version/1', new TextEncoder().encode(AUTO_POLICY));
  await t.rejects(keeper.version(1), { code: 'LEDGER_BROKEN' });
});

t.test('two writers: the second, who saw the same version, is refused', async (t) => {
  const { keeper } = await keeperOf();
  const [first, second] = await Promise.allSettled([
    keeper.apply(RECOMMEND, by('ada', 0), [], NOW_MS),
    keeper.apply(AUTO_POLICY, by('bob', 0), [], NOW_MS),
  ]);
  t.equal(first.status, 'fulfilled');
  t.match(second, { status: 'rejected', reason: { code: 'VERSION_CHANGED', message: /version 1 is in force, not 0/ } });
  t.equal(keeper.view().source, RECOMMEND);
  await keeper.apply(AUTO_POLICY, by('bob', 1), [], NOW_MS);
  t.equal(keeper.policy.version, 2);
});

t.test('several that start for the first time bring the same file: one takes it, the others find it', async (t) => {
  const ledger = createMemoryLedgerStore();
  const file = { read: async () => RECOMMEND };
  const first = new PolicyKeeper(ledger, file, 60_000);
  const late = Object.create(ledger) as typeof ledger;
  late.getBlob = (name) => ledger.getBlob(name);
  // The other one is first between this one's look and its write.
  late.putBlob = async (name, bytes) => {
    if (first.policy.version > 0) return ledger.putBlob(name, bytes);
    await first.load(NOW_MS);
    throw new HeadroomError('VERSION_CHANGED', `${name} was changed meanwhile`);
  };
  const second = new PolicyKeeper(late, file, 60_000);
  await second.load(NOW_MS + 1);
  t.equal(second.policy.version, 1);
  t.same(second.view(), first.view());
  t.equal((await ledger.entries({ kind: 'policy', limit: 10 })).length, 1);
});

t.test('differences: modes and the bounds that will bind, per VM and resource', async (t) => {
  const vm = vmOf(1);
  const { fleet, vms } = policyDifferences(policyOf('version: 1\n'), policyOf(RECOMMEND), [vm]);
  t.same(fleet, []);
  t.match(vms, [
    {
      name: 'vm-1',
      resource: 'cpu',
      fields: [
        { field: 'mode', before: 'observe', after: 'recommend' },
        { field: 'ceiling', before: 2, after: 1.5 },
        { field: 'rule', before: 'built-in', after: 'defaults' },
      ],
    },
  ]);
  const changed = policyDifferences(policyOf('version: 1\n'), policyOf('version: 1\nfleet: {cpuOvercommit: 3}\n'), [vm]);
  t.same(differenceLines(changed, 10), ['fleet: cpuOvercommit 2 → 3']);
  const many = policyDifferences(
    policyOf('version: 1\n'),
    policyOf(RECOMMEND),
    Array.from({ length: 12 }, (_, i) => vmOf(i + 1)),
  );
  t.equal(differenceLines(many, 5).at(-1), '… and 7 more');
});

t.test('a dry run makes the next plan under the new policy and takes nothing', async (t) => {
  const { keeper, ledger } = await keeperOf();
  const vm = vmOf(1, { demand: { ...vmOf(1).demand, cpu: demandOf(0.9, forecastOf([0.9, 1.3, 1.3, 1.3, 1.3, 1.3])) } });
  const snapshot = snapshotOf([vm]);
  const { policy, changes } = keeper.preview(AUTO_POLICY, snapshot.vms, NOW_MS);
  const before = previewPlan(snapshot, keeper.policy, 1, createPrng(1));
  t.same(before.steps, []);
  t.match(before.notDone, { mode: 4 });
  const after = previewPlan(snapshot, policy, 1, createPrng(1));
  t.match(
    after.steps.find(({ resource }) => resource === 'cpu'),
    { vmName: 'vm-1', direction: 'grow' },
  );
  t.equal(changes.vms[0]?.fields[0]?.after, 'auto');
  t.equal(keeper.policy.version, 0);
  t.same(await ledger.entries({ limit: 10 }), []);
});
