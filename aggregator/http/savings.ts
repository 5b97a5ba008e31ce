/**
 * What was saved, beside what it cost: for each VM how much less than its size it was granted over a time, and in the same rows how
 * long it was short, throttled, under memory pressure, and what harm was found. Input: the service, a time; output: rows and sums.
 * A time in which grant or demand is unknown counts neither way and is told as such.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VerdictKind } from '../core/verdict/judge.ts';
import type { Resolution, SeriesResult } from '../store/series-store.ts';
import type { AggregatorService } from './service.ts';

const SHARED = ['cpu', 'memory'] as const;
type SharedResource = (typeof SHARED)[number];

const FIELDS = {
  cpu: { granted: ['vm_allocation.cpuCores', 'vm_cpu.capCores'], demand: 'vm_cpu.demandCores', held: 'vm_cpu.throttledFraction' },
  memory: {
    granted: ['vm_allocation.memoryMiB', 'vm_memory.targetMiB'],
    demand: 'vm_memory.demandMiB',
    held: 'vm_pressure.memoryFullFraction',
  },
} as const;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Beyond this the finer rows are more than an answer needs. */
const RAW_SPAN_MS_MAX = 2 * HOUR_MS;
const SPAN_MS_MAX = 31 * DAY_MS;

export interface SavingsRow {
  vm: string;
  vmName: string;
  host: string;
  resource: SharedResource;
  mode: string;
  unit: 'cores' | 'MiB';
  /** What it was made with. */
  size: number;
  /** Mean of what it was granted where that is known; null = nowhere. */
  granted: number | null;
  /** Size less grant over the known time, unit × hours. */
  savedUnitHours: number;
  /** Time in which grant and demand are known, and of it in which demand was above the grant. */
  knownHours: number;
  shortHours: number;
  /** Throttled by a cap (CPU), or all of it waiting for memory; null = the host does not tell. */
  heldSeconds: number | null;
}

export interface SavingsReport {
  fromMs: number;
  toMs: number;
  savedCoreHours: number;
  savedMiBHours: number;
  /** Of the time known, in which demand was above the grant; null = nothing is known. */
  shortShare: { cpu: number | null; memory: number | null };
  /** Null: no host tells. */
  throttledSeconds: number | null;
  memoryStalledSeconds: number | null;
  /** Changes found to have done harm, of those still remembered. */
  harmfulChanges: number;
  items: SavingsRow[];
}

/** Throws USAGE for a time that is none, or too long. */
export async function savingsReport(service: AggregatorService, asked: { fromMs?: number; toMs?: number }): Promise<SavingsReport> {
  const toMs = asked.toMs ?? service.nowMs();
  const fromMs = asked.fromMs ?? toMs - DAY_MS;
  if (!(fromMs < toMs) || toMs - fromMs > SPAN_MS_MAX)
    throw new HeadroomError('USAGE', `from ${fromMs} to ${toMs}: a time of at most 31 days is needed`);
  const items = await rowsOf(service, fromMs, toMs);
  const sum = (resource: SharedResource, of: (row: SavingsRow) => number): number =>
    items.reduce((total, row) => total + (row.resource === resource ? of(row) : 0), 0);
  const share = (resource: SharedResource): number | null => {
    const known = sum(resource, ({ knownHours }) => knownHours);
    return known === 0 ? null : sum(resource, ({ shortHours }) => shortHours) / known;
  };
  // Unknown is never zero: where no host tells there is no sum.
  const held = (resource: SharedResource): number | null =>
    items.some((row) => row.resource === resource && row.heldSeconds !== null)
      ? sum(resource, ({ heldSeconds }) => heldSeconds ?? 0)
      : null;
  const within = (ms: number): boolean => ms >= fromMs && ms <= toMs;
  return {
    fromMs,
    toMs,
    savedCoreHours: sum('cpu', ({ savedUnitHours }) => savedUnitHours),
    savedMiBHours: sum('memory', ({ savedUnitHours }) => savedUnitHours),
    shortShare: { cpu: share('cpu'), memory: share('memory') },
    throttledSeconds: held('cpu'),
    memoryStalledSeconds: held('memory'),
    harmfulChanges: service
      .plans(Number.MAX_SAFE_INTEGER)
      .filter(({ nowMs }) => within(nowMs))
      .reduce((total, { verdicts, vcpuVerdicts = [] }) => total + [...verdicts, ...vcpuVerdicts].filter(didHarm).length, 0),
    items,
  };
}

const didHarm = ({ verdict }: { verdict: VerdictKind }): boolean => verdict === 'harmed';

async function rowsOf(service: AggregatorService, fromMs: number, toMs: number): Promise<SavingsRow[]> {
  const sizes = new Map(service.snapshot().vms.map((vm) => [vm.id, { cpu: vm.vcpus, memory: vm.bootMemoryMiB }]));
  const vms = service.vms().filter(({ id }) => sizes.has(id));
  const resolution: Resolution = toMs - fromMs <= RAW_SPAN_MS_MAX ? 'raw' : '5m';
  const fields = SHARED.flatMap((resource) => [...FIELDS[resource].granted, FIELDS[resource].demand, FIELDS[resource].held]);
  const subjects = vms.map(({ id }) => ({ kind: 'vm', id: id }) as const);
  const results = await service.series.queryMany({ subjects, source: 'host', fields, fromMs, toMs, resolution });
  return vms.flatMap(({ id: vm, name: vmName, host, resources }, i) =>
    SHARED.map((resource) => {
      const size = sizes.get(vm)![resource];
      const unit = resource === 'cpu' ? ('cores' as const) : ('MiB' as const);
      return {
        vm,
        vmName,
        host,
        resource,
        mode: resources[resource].mode,
        unit,
        size,
        ...reckoned(results[i]!, resource, size, { fromMs, toMs }),
      };
    }),
  );
}

type Reckoned = Pick<SavingsRow, 'granted' | 'savedUnitHours' | 'knownHours' | 'shortHours' | 'heldSeconds'>;

/** By whole minutes: the mean of what is known in each; a grant holds until the next is known, for an hour at most. */
function reckoned(
  result: SeriesResult,
  resource: SharedResource,
  size: number,
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Reckoned {
  const { granted: names, demand, held } = FIELDS[resource];
  const slotMs = toMs - fromMs <= RAW_SPAN_MS_MAX ? MINUTE_MS : 5 * MINUTE_MS;
  const slots = Math.ceil((toMs - fromMs) / slotMs);
  const column = (name: string): Float64Array => slotted(result, name, { fromMs, slotMs, slots });
  const grants = names.map((name) => column(name));
  const [demands, helds] = [column(demand), column(held)];
  const hours = slotMs / HOUR_MS;
  let [grantSum, granted, known, short, heldSum, heldKnown] = [0, 0, 0, 0, 0, 0];
  let [last, lastAt, lastDemand] = [Number.NaN, Number.NEGATIVE_INFINITY, Number.NaN];
  for (let i = 0; i < slots; i++) {
    const now = grants.map((grant) => grant[i]!).find((value) => !Number.isNaN(value));
    if (now !== undefined) [last, lastAt] = [now, i];
    if ((i - lastAt) * slotMs > HOUR_MS) last = Number.NaN;
    if (!Number.isNaN(demands[i]!)) lastDemand = demands[i]!;
    const grant = Math.min(size, last);
    if (!Number.isNaN(helds[i]!)) [heldSum, heldKnown] = [heldSum + helds[i]! * (slotMs / 1000), heldKnown + 1];
    if (Number.isNaN(grant)) continue;
    [grantSum, granted] = [grantSum + grant, granted + 1];
    if (Number.isNaN(lastDemand)) continue;
    known++;
    if (Math.min(size, lastDemand) > grant) short++;
  }
  return {
    granted: granted === 0 ? null : grantSum / granted,
    savedUnitHours: (size * granted - grantSum) * hours,
    knownHours: known * hours,
    shortHours: short * hours,
    heldSeconds: heldKnown === 0 ? null : heldSum,
  };
}

function slotted({ timesMs, columns }: SeriesResult, name: string, grid: { fromMs: number; slotMs: number; slots: number }): Float64Array {
  const [sums, counts] = [new Float64Array(grid.slots), new Float64Array(grid.slots)];
  const values = columns[name];
  for (const [i, timeMs] of timesMs.entries()) {
    const slot = Math.floor((timeMs - grid.fromMs) / grid.slotMs);
    const value = values?.[i] ?? Number.NaN;
    if (slot < 0 || slot >= grid.slots || Number.isNaN(value)) continue;
    sums[slot]! += value;
    counts[slot]!++;
  }
  return sums.map((sum, slot) => sum / counts[slot]!);
}
