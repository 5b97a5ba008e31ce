/** What bounds a VM's claimed signals, and the limits its demand may be held down by: inventory and policy in, DemandFacts out. */
import type { VmInventory } from '../../../shared/protocol/frames.ts';
import type { Resource, Setting } from '../../../shared/resources.ts';
import { headline } from '../plan/plan.ts';
import type { ResourcePolicy } from '../plan/policy.ts';
import type { DemandFacts } from './demand.ts';

export function settingsMap(settings: readonly Setting[]): Partial<Record<Resource, Setting>> {
  const map: Partial<Record<Resource, Setting>> = {};
  for (const setting of settings) map[setting.resource] = setting;
  return map;
}

export function factsOf(
  inventory: VmInventory,
  policy: Record<Resource, ResourcePolicy> | null,
  current: Partial<Record<Resource, Setting>>,
): DemandFacts {
  const baseline = settingsMap(inventory.baseline);
  const granted = (resource: 'cpu' | 'memory', whole: number): number => {
    const ceiling = policy?.[resource].ceiling ?? (baseline[resource] ? headline(baseline[resource], whole) : whole);
    return ceiling * (policy?.[resource].guaranteedFraction ?? 1);
  };
  const limit = (setting: Setting | undefined, share: number): number | null => {
    const amount = setting ? headline(setting, Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    return Number.isFinite(amount) ? amount * share : null;
  };
  const { vcpusOnline } = inventory;
  return {
    vcpus: inventory.vcpus,
    guaranteedCores: granted('cpu', inventory.vcpus),
    guaranteedMiB: granted('memory', inventory.bootMemoryMiB),
    // A network limit is two, one per direction; one direction at its limit is held down already.
    networkLimitBytesPerSecond: limit(current.network, 0.5),
    diskLimitBytesPerSecond: limit(current.disk, 1),
    ...(vcpusOnline === undefined || vcpusOnline >= inventory.vcpus ? {} : { vcpusOnline }),
  };
}
