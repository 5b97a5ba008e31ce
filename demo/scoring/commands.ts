/**
 * What became of all commands of a run. Input: the ledger; output: how many were sent, applied and read back, and how many
 * steps the lint rejected.
 */
import type { LedgerBody, LedgerEntry, LedgerStore } from '../../aggregator/store/ledger-store.ts';
import type { CommandCounts } from './rules.ts';

const PAGE = 1000;

async function entriesOf(ledger: LedgerStore, kind: LedgerBody['kind']): Promise<LedgerEntry[]> {
  const all: LedgerEntry[] = [];
  for (let fromIndex = 0; ; ) {
    const page = await ledger.entries({ kind, fromIndex, limit: PAGE });
    all.push(...page);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return all;
    fromIndex = last.index + 1;
  }
}

/** Ends that a command can have without ever having left: it was skipped or refused before. */
const NEVER_SENT = /^(an earlier command|refused by the lint|\d+ commands are under way)/;

export async function countCommands(ledger: LedgerStore): Promise<{ commands: CommandCounts; lintRejections: number }> {
  const commands: CommandCounts = { sent: 0, applied: 0, readBack: 0 };
  let lintRejections = 0;
  for (const { body } of await entriesOf(ledger, 'outcome')) {
    if (body.kind !== 'outcome') continue;
    if (body.reason.startsWith('refused by the lint')) lintRejections++;
    if (!NEVER_SENT.test(body.reason)) commands.sent++;
    if (body.outcome !== 'applied') continue;
    commands.applied++;
    if (body.after !== null) commands.readBack++;
  }
  for (const { body } of await entriesOf(ledger, 'plan')) if (body.kind === 'plan') lintRejections += body.lintRejections.length;
  return { commands, lintRejections };
}
