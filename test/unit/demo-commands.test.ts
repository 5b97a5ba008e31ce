/** Goal: commands are counted from the ledger alone: what left, what was applied, what was read back, what the lint stopped. */
import t from 'tap';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { countCommands } from '../../demo/scoring/commands.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import type { Outcome } from '../../shared/resources.ts';

const vm = vmId('6f1b0000-0000-4000-8000-0000000000a1');
const host = hostId('demo');

t.test('more than a page of outcomes is counted', async (t) => {
  const ledger = createMemoryLedgerStore();
  const outcome = (index: number, outcome: Outcome, reason: string, readBack: boolean) =>
    ledger.append(index, {
      kind: 'outcome',
      planId: 'p',
      commandId: `p/${index}`,
      vm,
      host,
      resource: 'memory',
      outcome,
      reason,
      before: { resource: 'memory', memoryMiB: 640 },
      after: readBack ? { resource: 'memory', memoryMiB: 500 } : null,
    });
  for (let i = 0; i < 1200; i++) await outcome(i, 'applied', 'done', i !== 7);
  await outcome(2000, 'refused', 'hands off: a foreign writer', false);
  await outcome(2001, 'refused', 'refused by the lint: epoch', false);
  await outcome(2002, 'skipped', 'an earlier command for it is still under way', false);
  await ledger.append(2003, { kind: 'plan', planId: 'p', inputsDigest: '', steps: [], notDone: [], lintRejections: [{}, {}] });
  t.same(await countCommands(ledger), { commands: { sent: 1201, applied: 1200, readBack: 1199 }, lintRejections: 3 });
});
