/** What a host can be sold, made by hand. */
import type { CapacityView } from '../../aggregator/core/capacity/host-capacity.ts';

export function madeCapacity(host: string): CapacityView {
  const quantiles = (high: number) => ({ q50: 0.5 * high, q90: 0.8 * high, q99: high });
  return {
    host,
    vms: 4,
    moreVms: 3,
    tightest: 'cpu',
    advice: 'takes about 3 more VMs like its 4',
    resources: {
      cpu: {
        ...{ unit: 'cores', capacity: 16, reserve: 2, sold: 24, demand: 5, usual: 4.5 },
        ...{ nextHour: quantiles(6), nextDay: quantiles(8), sellable: 6, allocationRatio: 3, confidence: 0.8 },
      },
      memory: {
        ...{ unit: 'MiB', capacity: 65_536, reserve: 4096, sold: 40_960, demand: null, usual: 0 },
        ...{ nextHour: null, nextDay: null, sellable: 0, allocationRatio: null, confidence: 0 },
      },
    },
  };
}
