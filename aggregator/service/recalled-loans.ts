/** Loans as they stood before a restart. Ledger entries in, newest first; each loan once as it was last, oldest first, out. */
import type { Loan } from '../core/plan/loan.ts';
import type { LedgerEntry } from '../store/ledger-store.ts';

export function newestLoans(entries: readonly LedgerEntry[]): Loan[] {
  const newest = new Map<string, Loan>();
  for (const { body } of entries) if (body.kind === 'loan' && !newest.has(body.loan.id)) newest.set(body.loan.id, body.loan);
  return [...newest.values()].sort((a, b) => a.openedAtMs - b.openedAtMs);
}
