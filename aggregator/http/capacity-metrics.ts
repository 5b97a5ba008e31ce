/** Hosts' joint demand and what they can be sold, as Prometheus gauges. Input: capacity views, a registry; output: gauges in it. */
import { Gauge, type Registry } from 'prom-client';
import type { CapacityView, ResourceCapacity } from '../core/capacity/host-capacity.ts';

const GAUGES: Readonly<Record<string, { help: string; value: (of: ResourceCapacity) => number | null }>> = {
  headroom_host_joint_demand: { help: 'What its VMs wanted together in the newest step', value: ({ demand }) => demand },
  headroom_host_joint_forecast_hour: {
    help: 'What they will want together in the hour to come at most, 0.99 quantile',
    value: ({ nextHour }) => nextHour?.q99 ?? null,
  },
  headroom_host_joint_forecast_day: {
    help: 'What they will want together in the day to come at most, 0.99 quantile',
    value: ({ nextDay }) => nextDay?.q99 ?? null,
  },
  headroom_host_sellable: { help: 'Capacity less reserve less that of the day', value: ({ sellable }) => sellable },
  headroom_host_allocation_ratio: {
    help: 'Sold per unit of capacity less reserve at which joint demand would just fit',
    value: ({ allocationRatio }) => allocationRatio,
  },
};

export function capacityGauges(views: readonly CapacityView[], registry: Registry): void {
  for (const [name, { help, value }] of Object.entries(GAUGES)) {
    const gauge = new Gauge({ name, help, labelNames: ['host', 'resource', 'unit'], registers: [registry] });
    for (const { host, resources } of views) {
      for (const [resource, view] of Object.entries(resources)) {
        const amount = value(view);
        if (amount !== null) gauge.set({ host, resource, unit: view.unit }, amount);
      }
    }
  }
}
