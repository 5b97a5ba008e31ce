/** Goal: the simulated ledger keeps the seam's contract, and counts what a run's report tells. */
import t from 'tap';
import { createSimulatedLedgerStore } from '../../simulation/ledger-store.ts';
import { ledgerStoreContract, planBody, VM_A, VM_B } from './ledger-store-contract.ts';

ledgerStoreContract(t, { open: async () => createSimulatedLedgerStore(), reopen: null });

t.test('steps and what became of them are counted; a body that changes later is kept as it was', async (t) => {
  const ledger = createSimulatedLedgerStore();
  const body = planBody('p', [VM_A, VM_B]);
  await ledger.append(1, body);
  await ledger.append(2, { kind: 'operator', action: 'a', by: 'b', target: 'c', reason: 'd' });
  if (body.kind === 'plan') body.steps.length = 0;
  t.same(ledger.tally, { steps: 2, lintRejections: 0, applied: 0 });
  const [entry] = await ledger.entries({ limit: 1 });
  t.equal(entry?.body.kind === 'plan' && entry.body.steps.length, 2);
  t.match(await ledger.verify(), { ok: true, entries: 2 });
});
