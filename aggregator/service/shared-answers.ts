/**
 * Answers to requests with keys of their own, in the table of leases that several aggregators share: sent again to another aggregator, a
 * request is answered as the first time. Input: the table, a clock; output: KeptAnswers. What is under way lives under a short lease of its
 * own, so that one whose aggregator died may be asked again; what was answered lives for a day. Rejects with UNAVAILABLE while the table is
 * away: what may have been done elsewhere is not done here.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { ANSWERS_KEPT_MS, type GivenAnswer, type KeptAnswer, type KeptAnswers } from '../http/kept-answers.ts';
import type { LeaseId, LeaseTable } from '../ownership/lease-table.ts';

/** A request takes half a minute at most. */
const UNDER_WAY_MS = 60_000;
/** A lease for the answers of an hour: one for each would cost the table as much as the answers do. */
const TOGETHER_MS = 3_600_000;
const ANSWERS = 'answers/';
/** Whoever asks chooses the key: what it looks like is none of the table's. */
const tableKey = (key: string): string => ANSWERS + createHash('sha256').update(key).digest('hex');

export function sharedAnswers(table: LeaseTable, clock: Clock): KeptAnswers {
  /** By key, the revision under which it was taken here. */
  const underWay = new Map<string, number>();
  let current: { lease: LeaseId; sinceMs: number } | null = null;
  const leaseOfHour = async (): Promise<LeaseId> => {
    const nowMs = clock.monotonicMs();
    if (current === null || nowMs - current.sinceMs > TOGETHER_MS)
      current = { lease: await table.grant(ANSWERS_KEPT_MS + TOGETHER_MS), sinceMs: nowMs };
    return current.lease;
  };
  return {
    async begin(key, fingerprint) {
      const lease = await table.grant(UNDER_WAY_MS);
      const { mine, entry } = await table.take(lease, tableKey(key), JSON.stringify({ fingerprint, answer: null } satisfies KeptAnswer));
      if (!mine) {
        await table.revoke(lease);
        return JSON.parse(entry.value) as KeptAnswer;
      }
      underWay.set(key, entry.revision);
      return null;
    },
    async end(key: string, fingerprint: string, answer: GivenAnswer | null) {
      const revision = underWay.get(key);
      underWay.delete(key);
      if (revision === undefined) return;
      if (answer === null) await table.free(tableKey(key), revision);
      else await table.put(await leaseOfHour(), tableKey(key), JSON.stringify({ fingerprint, answer } satisfies KeptAnswer));
    },
  };
}
