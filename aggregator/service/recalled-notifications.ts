/** What the owners of VMs were told before a restart, as far as the ledger knows. Entries in, newest first; sentences out, oldest first. */
import { changeWords } from '../core/notify/change-words.ts';
import type { LedgerEntry } from '../store/ledger-store.ts';
import type { Told } from './notification-log.ts';

export function recalledNotifications(entries: readonly LedgerEntry[]): Told[] {
  return entries.toReversed().flatMap(({ timeMs, body }): Told[] => {
    if (body.kind !== 'outcome') return [];
    const { vm, resource, planId, before, after, outcome, reason } = body;
    const changed = outcome === 'applied' && after !== null;
    const message = changed ? changeWords(before, after, timeMs) : `${resource} not changed (${outcome}): ${reason}`;
    return [{ timeMs, vm, kind: changed ? 'change' : 'not-changed', resource, message, data: { planId, before, after, outcome } }];
  });
}
