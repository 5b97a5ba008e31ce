/**
 * The virtual pool as its VM may see it: per resource what stays granted whatever happens, what it has now, what of that is
 * borrowed, and which changes are to be expected. Snapshot, policy in; plain data out. It tells nothing of the host or of
 * neighbours. Pure.
 */
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import { baselineCap, boundsOf } from '../plan/amounts.ts';
import { valueAtLevel } from '../plan/forecast-level.ts';
import { headline, type VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy, ResourcePolicy } from '../plan/policy.ts';

export interface PoolEntry {
  resource: Resource;
  unit: 'cores' | 'MiB' | 'bytes/s';
  /** Is not taken, wanted or not. */
  guaranteed: number;
  /** Null = no limit. */
  granted: number | null;
  /** Of what is granted, what others have given up: it may be wanted back. Null = no limit is set. */
  borrowed: number | null;
  /** What is expected to be granted, as far as anything else than now is expected. In modes that change nothing: empty. */
  expected: { atMs: number; amount: number }[];
}

const UNITS: Readonly<Record<Resource, PoolEntry['unit']>> = { cpu: 'cores', memory: 'MiB', network: 'bytes/s', disk: 'bytes/s' };
/** Changes foretold at most; forecasts reach farther than anyone plans by this file. */
const EXPECTED_MAX = 8;
/** A difference worth telling, as a share of what is granted. */
const CHANGE_SHARE_MIN = 0.05;

export function poolOf(vm: VmSnapshot, policy: FleetPolicy): PoolEntry[] {
  return RESOURCES.flatMap((resource) => {
    const own = policy.resolve(vm, resource);
    const current = vm.current[resource];
    const bounds = boundsOf(resource, vm, own);
    if (own.mode === 'off' || current === undefined || bounds === null) return [];
    const amount = headline(current, Number.POSITIVE_INFINITY);
    const granted = Number.isFinite(amount) ? amount : null;
    const guaranteed = Math.min(bounds.ceiling, Math.max(bounds.floor, (1 - own.oversubscribedFraction) * bounds.ceiling));
    return [
      {
        ...{ resource, unit: UNITS[resource], guaranteed, granted },
        borrowed: granted === null ? null : Math.max(0, granted - baselineAmount(vm, resource, bounds.ceiling)),
        expected: own.mode === 'auto' ? expectedOf(vm, resource, own, { floor: guaranteed, ceiling: bounds.ceiling }, granted) : [],
      },
    ];
  });
}

/** What it would have without us. */
function baselineAmount(vm: VmSnapshot, resource: Resource, ceiling: number): number {
  if (resource === 'cpu') return baselineCap(vm) ?? vm.vcpus;
  const setting = vm.baseline[resource];
  return setting ? headline(setting, Number.POSITIVE_INFINITY) : ceiling;
}

function expectedOf(
  vm: VmSnapshot,
  resource: Resource,
  own: ResourcePolicy,
  { floor, ceiling }: { floor: number; ceiling: number },
  granted: number | null,
): PoolEntry['expected'] {
  const { forecast } = vm.demand[resource];
  if (forecast === null || granted === null) return [];
  const expected: PoolEntry['expected'] = [];
  let last = granted;
  for (const [i, horizon] of forecast.horizons.entries()) {
    const wanted = valueAtLevel(forecast, i, 1 - own.violationBudget) * (1 + own.marginFraction);
    const amount = Math.min(ceiling, Math.max(floor, wanted));
    if (Math.abs(amount - last) < CHANGE_SHARE_MIN * Math.max(last, 1e-9)) continue;
    expected.push({ atMs: forecast.fromMs + (horizon - 1) * forecast.stepMs, amount: Number(amount.toPrecision(4)) });
    last = amount;
    if (expected.length >= EXPECTED_MAX) break;
  }
  return expected;
}
