/**
 * What comes of a round of `bench failover`, by those who cannot be wrong about it: what agents wrote down of who acted on their hosts,
 * every aggregator's copy of the ledger, and the store. Input: acts, what was acknowledged; output: seconds and counts.
 */
import { join } from 'node:path';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Act, ClusterAgent } from '../support/cluster-agent.ts';

/** Whose owner was struck: until one with a higher epoch acted. */
export function untilNext(acts: readonly Act[], atMs: number, epoch: number): number {
  const next = acts.find((act) => act.atMs >= atMs && act.epoch > epoch);
  return next === undefined ? Number.POSITIVE_INFINITY : (next.atMs - atMs) / 1000;
}

/** Anyone else: until the last time that nobody had acted for long; null = there was none. */
export function unowned(acts: readonly Act[], atMs: number, unownedMs: number): number | null {
  let seconds: number | null = null;
  for (let i = 1; i < acts.length; i++) {
    const [before, act] = [acts[i - 1]!, acts[i]!];
    if (act.atMs > atMs && act.atMs - before.atMs > unownedMs) seconds = (act.atMs - atMs) / 1000;
  }
  return seconds;
}

/** Hosts and epochs in which more than one acted, and acts below an epoch that the host had seen. */
export function doubleOwners(hosts: readonly (readonly Act[])[]): number {
  let doubles = 0;
  for (const acts of hosts) {
    const by = new Map<number, string>();
    let highest = 0;
    for (const act of acts) {
      const first = by.get(act.epoch) ?? act.by;
      by.set(act.epoch, first);
      if (first !== act.by || act.epoch < highest) doubles++;
      highest = Math.max(highest, act.epoch);
    }
  }
  return doubles;
}

/** Acknowledged to the operator, or acted on by an agent, and not in every aggregator's copy. */
export async function lostEntries(cluster: Cluster, agents: readonly ClusterAgent[], acknowledged: readonly string[]): Promise<number> {
  const plans = new Set(agents.flatMap(({ planIds }) => [...planIds]));
  let lost = 0;
  for (const { name } of cluster.nodes) {
    const ledger = await openSqliteLedgerStore({ directory: join(cluster.folder, name, 'ledger') });
    const verified = await ledger.verify();
    if (!verified.ok) throw new Error(`the copy of ${name} is broken at ${verified.index}: ${verified.problem}`);
    const [reasons, planned] = [new Set<string>(), new Set<string>()];
    for (let fromIndex = 0; ; ) {
      const entries = await ledger.entries({ fromIndex, limit: 1000 });
      for (const { body } of entries) {
        if (body.kind === 'operator') reasons.add(body.reason);
        if (body.kind === 'plan') planned.add(body.planId);
      }
      if (entries.length === 0) break;
      fromIndex = entries.at(-1)!.index + 1;
    }
    await ledger.close();
    lost += acknowledged.filter((reason) => !reasons.has(reason)).length + [...plans].filter((plan) => !planned.has(plan)).length;
  }
  return lost;
}

/** Rows that were acknowledged and are not in the store: one of a VM each second. */
export async function lostRows(cluster: Cluster, agents: readonly ClusterAgent[]): Promise<number> {
  let lost = 0;
  for (const { vm, rowTimesMs } of agents) {
    const stored = await cluster.storedTimes(vm.id);
    lost += rowTimesMs.filter((timeMs) => !stored.has(timeMs)).length;
  }
  return lost;
}
