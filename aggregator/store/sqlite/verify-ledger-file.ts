/**
 * `audit verify` on a ledger's file, without an aggregator. Input: a path. Output: what verification finds. The file may be
 * a copy, or in use: nothing is written to it.
 */
import { existsSync } from 'node:fs';
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { VerifyResult } from '../ledger-store.ts';
import { LedgerCore } from './ledger-core.ts';

/** Throws NOT_FOUND when there is no such file, STORE_UNAVAILABLE when it may not be read; damage is a result. */
export function verifyLedgerFile(path: string): VerifyResult {
  if (!existsSync(path)) throw new HeadroomError('NOT_FOUND', `${path}: no such ledger; name its file, ledger.db of the data directory`);
  let core: LedgerCore;
  try {
    core = new LedgerCore(path, { readOnly: true });
  } catch (error) {
    if (isHeadroomError(error, 'STORE_CORRUPT')) return { ok: false, index: 0, problem: error.message };
    throw error;
  }
  try {
    const pages = core.verify();
    for (;;) {
      const page = pages.next();
      if (page.done) return page.value;
    }
  } finally {
    core.close();
  }
}
