/**
 * The ledger's chain: how an entry's hash is made, and what makes a chain whole. Input: entries. Output: hashes, problems.
 * hash = SHA-256(previous hash, newline, canonical JSON of {body, index, timeMs}), in hexadecimal; the first entry's
 * previous hash is 64 zeros. Any store keeps the same chain, so any store's entries can be verified anywhere.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../../shared/canonical-json.ts';
import type { LedgerBody, LedgerEntry } from './ledger-store.ts';

export const GENESIS_HASH = '0'.repeat(64);

export function entryHash(previousHash: string, index: number, timeMs: number, canonicalBody: string): string {
  // The same text as canonicalJson({ body, index, timeMs }), without writing the body a second time.
  return createHash('sha256').update(`${previousHash}\n{"body":${canonicalBody},"index":${index},"timeMs":${timeMs}}`).digest('hex');
}

/** Makes the next entry; `canonicalBody` is what its hash is over. Throws INVARIANT_BROKEN on data JSON cannot carry. */
export function makeEntry(previousHash: string, index: number, timeMs: number, body: LedgerBody): LedgerEntry & { canonicalBody: string } {
  const canonicalBody = canonicalJson(body);
  // A time that is no number is refused like the rest.
  canonicalJson(timeMs);
  return { index, timeMs, body, previousHash, hash: entryHash(previousHash, index, timeMs, canonicalBody), canonicalBody };
}

/** What is wrong with an entry that should follow `previousHash` at `index`; null when nothing is. */
export function entryProblem(entry: LedgerEntry, canonicalBody: string, previousHash: string, index: number): string | null {
  if (entry.index !== index) return `entry ${index} is missing: entry ${entry.index} stands in its place`;
  if (entry.previousHash !== previousHash) return 'it does not follow the entry before it: entries were changed, removed or reordered';
  if (canonicalJson(entry.body) !== canonicalBody) return 'its body is not in canonical form: it was changed';
  if (entryHash(previousHash, index, entry.timeMs, canonicalBody) !== entry.hash)
    return 'its hash does not match its content: it was changed';
  return null;
}

/** Under which VMs an entry is filed: those it changed, not those it only looked at (every plan looks at all). */
export function filedUnder(body: LedgerBody): string[] {
  if (body.kind === 'outcome' || body.kind === 'verdict' || body.kind === 'spawn') return [body.vm];
  if (body.kind === 'event') return body.vm === null ? [] : [body.vm];
  if (body.kind === 'loan') return [body.loan.lender, body.loan.borrower];
  if (body.kind !== 'plan') return [];
  const vms = body.steps.map((step) => (step as { vm?: unknown } | null)?.vm).filter((vm) => typeof vm === 'string');
  return [...new Set(vms)];
}
