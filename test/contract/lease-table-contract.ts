/** What every LeaseTable must do with its keys, run against each adapter. */
import type { Test } from 'tap';
import type { LeaseTable } from '../../aggregator/ownership/lease-table.ts';

export function leaseTableContract(t: Test, open: () => LeaseTable): void {
  t.test('a key is taken once, keeps its revision when it is written, and is freed as it was taken', async (t) => {
    const table = open();
    const lease = await table.grant(60_000);
    const { mine, entry } = await table.take(lease, 'contract/a', 'taken');
    t.ok(mine);
    const other = await table.take(await table.grant(60_000), 'contract/a', 'too late');
    t.same(other, { mine: false, entry });
    await table.put(lease, 'contract/a', 'written');
    t.same(await table.get('contract/a'), { ...entry, value: 'written' });
    await table.free('contract/a', entry.revision + 1_000_000);
    t.same(await table.list('contract/'), [{ ...entry, value: 'written' }], 'as it was never taken');
    await table.free('contract/a', entry.revision);
    t.equal(await table.get('contract/a'), null);
    const again = await table.take(lease, 'contract/a', 'anew');
    t.ok(again.mine && again.entry.revision > entry.revision);
    await table.put(lease, 'contract/b', 'never taken');
    await table.revoke(lease);
    t.same(await table.list('contract/'), [], 'all of it ends with its lease');
    await t.rejects(table.put(lease, 'contract/b', 'late'), { code: 'LEASE_EXPIRED' });
  });
}
