/**
 * From stored telemetry to the seconds that are scored. Input: columns of one guest, as the series API gives them; output:
 * offered load, allocation and usage on the grid. An unknown reading stays unknown. Pure.
 */
import { onGrid, type Point } from './grid.ts';
import type { ScoredResource } from './rules.ts';
import type { GuestSeconds } from './score.ts';

export interface Columns {
  timesMs: readonly number[];
  columns: Record<string, readonly (number | null)[]>;
}

/** What the host saw of the VM: the cap in force and the balloon, both read back from the hypervisor, and what was used. */
export const HOST_SERIES = [
  'vm_cpu.usageCores',
  'vm_cpu.capCores',
  'vm_cpu.weight',
  'vm_cpu.vcpusOnline',
  'vm_memory.balloonMiB',
  'vm_memory.availableMiB',
] as const;
/** What the workload says it offers: for scoring only. */
export const GUEST_SERIES = ['vm_app.offeredCores', 'vm_app.offeredMemoryMiB'] as const;

/** Balloon statistics come every few seconds, as their cost allows, and a balloon says where it is with each. */
const BALLOON_HOLD_MS = 8000;

function points(source: Columns, value: (field: (name: string) => number | null) => number | null): Point[] {
  return source.timesMs.flatMap((timeMs, index) => {
    const found = value((name) => source.columns[name]?.[index] ?? null);
    return found === null ? [] : [{ timeMs, value: found }];
  });
}

/** A cap that is unknown while the weight is known means that there is none: then all vCPUs are granted. */
function grantedCores(field: (name: string) => number | null): number | null {
  return field('vm_cpu.capCores') ?? (field('vm_cpu.weight') === null ? null : field('vm_cpu.vcpusOnline'));
}

function workingSetMiB(field: (name: string) => number | null): number | null {
  const [balloon, available] = [field('vm_memory.balloonMiB'), field('vm_memory.availableMiB')];
  return balloon === null || available === null ? null : balloon - available;
}

export function guestSeconds(resource: ScoredResource, host: Columns, guest: Columns, fromMs: number, toMs: number): GuestSeconds {
  if (resource === 'cpu') {
    return {
      offered: onGrid(
        points(guest, (field) => field('vm_app.offeredCores')),
        fromMs,
        toMs,
      ),
      allocation: onGrid(points(host, grantedCores), fromMs, toMs),
      usage: onGrid(
        points(host, (field) => field('vm_cpu.usageCores')),
        fromMs,
        toMs,
      ),
    };
  }
  return {
    offered: onGrid(
      points(guest, (field) => field('vm_app.offeredMemoryMiB')),
      fromMs,
      toMs,
    ),
    allocation: onGrid(
      points(host, (field) => field('vm_memory.balloonMiB')),
      fromMs,
      toMs,
      BALLOON_HOLD_MS,
    ),
    usage: onGrid(points(host, workingSetMiB), fromMs, toMs, BALLOON_HOLD_MS),
  };
}
