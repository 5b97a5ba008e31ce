/**
 * What hosts can be sold, in the forms in which other schedulers read it. Capacity views in, plain data out. Read-only: nothing is
 * set anywhere; whoever runs those schedulers decides.
 */
import type { CapacityView } from './host-capacity.ts';

const BYTES_PER_MIB = 1024 * 1024;
/** Ratios change often in the third digit and mean nothing there. */
const RATIO_DIGITS = 3;

/** Allocation ratios as OpenStack's Placement takes them: per compute host and class of resource; a class not known is left out. */
export interface OpenStackInventory {
  host: string;
  inventories: { VCPU?: OpenStackClass; MEMORY_MB?: OpenStackClass };
}

export interface OpenStackClass {
  total: number;
  reserved: number;
  allocation_ratio: number;
}

/** A node as Proxmox' API lists it, its `cpu` and `mem` what its guests will want, and what is left to sell beside. */
export interface ProxmoxNode {
  type: 'node';
  id: string;
  node: string;
  maxcpu: number;
  /** Share of maxcpu. */
  cpu: number | null;
  maxmem: number;
  mem: number | null;
  sellablecpu: number;
  sellablemem: number;
  comment: string;
}

export function openStackForm(views: readonly CapacityView[]): OpenStackInventory[] {
  return views.map(({ host, resources: { cpu, memory } }) => {
    const inventories: OpenStackInventory['inventories'] = {};
    for (const [name, resource] of [
      ['VCPU', cpu],
      ['MEMORY_MB', memory],
    ] as const) {
      if (resource.allocationRatio === null) continue;
      inventories[name] = {
        total: Math.floor(resource.capacity),
        reserved: Math.ceil(resource.reserve),
        // Downwards: what is advised must not be more than what was found.
        allocation_ratio: Math.floor(resource.allocationRatio * 10 ** RATIO_DIGITS) / 10 ** RATIO_DIGITS,
      };
    }
    return { host, inventories };
  });
}

export function proxmoxForm(views: readonly CapacityView[]): ProxmoxNode[] {
  return views.map(({ host, advice, resources: { cpu, memory } }) => ({
    type: 'node',
    id: `node/${host}`,
    node: host,
    maxcpu: cpu.capacity,
    cpu: cpu.nextDay && cpu.capacity > 0 ? cpu.nextDay.q99 / cpu.capacity : null,
    maxmem: memory.capacity * BYTES_PER_MIB,
    mem: memory.nextDay ? Math.round(memory.nextDay.q99 * BYTES_PER_MIB) : null,
    sellablecpu: cpu.sellable,
    sellablemem: Math.floor(memory.sellable * BYTES_PER_MIB),
    comment: advice,
  }));
}
