/**
 * What the aggregator adds to the series of a host, one row per finished step: joint demand of its VMs, what they will want in the hour
 * and the day to come (0.99 quantile), what can be sold. Views in, blocks out; what is unknown is left out.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { type NamedValue, ownRow } from '../state/own-row.ts';
import type { CapacityView, ResourceCapacity } from './host-capacity.ts';
import { SOLD_RESOURCES, type SoldResource } from './host-demand.ts';

const NAMES: Readonly<Record<SoldResource, string>> = { cpu: 'cpuCores', memory: 'memoryMiB' };

/** Field names: `host_capacity.cpuCores/demand`, `/hour`, `/day`, `/sellable`; the same of `memoryMiB`. */
export function capacityRow({ host, resources }: CapacityView, startMs: number): TelemetryBlock | null {
  const row = SOLD_RESOURCES.flatMap((resource) => fieldsOf(NAMES[resource], resources[resource]));
  if (row.length === 0) return null;
  return ownRow({ kind: 'host', id: host }, startMs, row);
}

function fieldsOf(name: string, { demand, nextHour, nextDay, sellable }: ResourceCapacity): NamedValue[] {
  const values = { demand, hour: nextHour?.q99 ?? null, day: nextDay?.q99 ?? null, sellable: nextDay === null ? null : sellable };
  return Object.entries(values).flatMap(([what, value]) => (value === null ? [] : [[`host_capacity.${name}/${what}`, value]]));
}
