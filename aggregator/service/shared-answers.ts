/**
 * Answers to requests with keys of their own, in the table of leases that several aggregators share: sent again to another aggregator, a
 * request is answered as the first time. Input: the table, a clock; output: KeptAnswers. What is under way lives under a short lease of its
 * own, so that one whose aggregator died may be asked again; what was answered lives for a day. Rejects with UNAVAILABLE while the table is
 * away: what may have been done elsewhere is not done here. Each aggregator forgets the oldest of its own when they come to more than one keeps alone.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { ANSWERS_KEPT_MS, type GivenAnswer, KEPT_BYTES_MAX, KEPT_MAX, type KeptAnswer, type KeptAnswers } from '../http/kept-answers.ts';
import type { LeaseId, LeaseTable } from '../ownership/lease-table.ts';

/** A request takes half a minute at most. */
const UNDER_WAY_MS = 60_000;
/** Of one answer; a larger one is kept without its body. etcd takes requests of 1.5 MiB. */
const ANSWER_BYTES_MAX = 256 * 1024;
/** A lease for the answers of an hour: one for each would cost the table as much as the answers do. */
const TOGETHER_MS = 3_600_000;
const ANSWERS = 'answers/';
/** Whoever asks chooses the key: what it looks like is none of the table's. */
const tableKey = (key: string): string => ANSWERS + createHash('sha256').update(key).digest('hex');

export function sharedAnswers(table: LeaseTable, clock: Clock): KeptAnswers {
  /** By key, the revision under which it was taken here. */
  const underWay = new Map<string, number>();
  /** Answers of ours, oldest first. */
  const kept: { key: string; revision: number; bytes: number; atMs: number }[] = [];
  let keptBytes = 0;
  /** What a table that is away does not free now goes with its lease. */
  const makeRoom = async (): Promise<void> => {
    const old = (): boolean => clock.monotonicMs() - kept[0]!.atMs > ANSWERS_KEPT_MS;
    while (kept.length > 0 && (kept.length > KEPT_MAX || keptBytes > KEPT_BYTES_MAX || old())) {
      const { key, revision, bytes } = kept.shift()!;
      keptBytes -= bytes;
      await table.free(key, revision);
    }
  };
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
      else {
        const value = written(fingerprint, answer);
        await table.put(await leaseOfHour(), tableKey(key), value);
        kept.push({ key: tableKey(key), revision, bytes: value.length, atMs: clock.monotonicMs() });
        keptBytes += value.length;
        await makeRoom();
      }
    },
  };
}

function written(fingerprint: string, answer: GivenAnswer): string {
  const whole = JSON.stringify({ fingerprint, answer } satisfies KeptAnswer);
  if (Buffer.byteLength(whole) <= ANSWER_BYTES_MAX) return whole;
  return JSON.stringify({ fingerprint, answer: { ...answer, body: null } } satisfies KeptAnswer);
}
