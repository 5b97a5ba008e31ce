/** Where hosts keep snapshots, as Prometheus gauges. Input: stores' views, a registry; output: gauges in it. */
import { Gauge, type Registry } from 'prom-client';
import type { SnapshotStoreView, SnapshotTierView } from './suspend-service.ts';

const GAUGES: Readonly<Record<string, { help: string; value: (of: SnapshotTierView) => number | null }>> = {
  headroom_snapshot_tier_used_bytes: { help: 'Bytes of snapshots in a place of a host', value: ({ usedBytes }) => usedBytes },
  headroom_snapshot_tier_capacity_bytes: { help: 'The most it may hold; absent = no limit', value: ({ capacityBytes }) => capacityBytes },
  headroom_snapshot_tier_problem: {
    help: '1 = something went wrong there, or it is not there',
    value: ({ problem }) => (problem === null ? 0 : 1),
  },
};

export function snapshotGauges(stores: readonly SnapshotStoreView[], registry: Registry): void {
  for (const [name, { help, value }] of Object.entries(GAUGES)) {
    const gauge = new Gauge({ name, help, labelNames: ['host', 'tier', 'kind'], registers: [registry] });
    for (const { host, tiers } of stores) {
      for (const tier of tiers) {
        const amount = value(tier);
        if (amount !== null) gauge.set({ host, tier: tier.name, kind: tier.kind }, amount);
      }
    }
  }
  const help = 'Bytes of snapshots that a host keeps';
  const stored = new Gauge({ name: 'headroom_snapshot_stored_bytes', help, labelNames: ['host'], registers: [registry] });
  for (const { host, storedBytes } of stores) stored.set({ host }, storedBytes);
}
