/**
 * The hypervisor's bulk statistics, group by group, each at the pace its measured cost allows. A VM that does not answer in
 * time is marked stuck and told; the others are not delayed. Input: Hypervisor.stats; output: the table's slow readings.
 */
import { errorText } from '../../shared/errors.ts';
import { NS_PER_SECOND } from '../../shared/units.ts';
import { createRate, type Rate } from '../core/rates.ts';
import { PERIOD_MS_MAX, smoothedCostMs, statsPeriodMs } from '../core/stats-pace.ts';
import type { StatsGroup, VmStats } from '../hypervisor/hypervisor.ts';
import { type HostContext, tell } from './host-context.ts';
import { isInflating } from './inflation.ts';
import { noteSeen } from './settings.ts';
import { isUp, type VmEntry } from './vm-table.ts';

/** `state` and `cpu` come with every answer or with the control groups; these are asked for. */
const GROUPS: readonly StatsGroup[] = ['balloon', 'vcpu', 'interface', 'block'];

/** Drivers tell at most once a second. */
const INFLATING_MS = 1000;
/** Readings farther apart than two of the longest periods give no rate. */
const GAP_MS_MAX = 2 * PERIOD_MS_MAX;

export interface StatisticsLoop {
  /** Once per sample: starts what is due. */
  tick(): void;
}

interface GroupPace {
  group: StatsGroup;
  /** Of these VMs only; absent = of all. */
  of?: (entry: VmEntry) => boolean;
  askedMs: number;
  costMs: number;
  dueAtMs: number;
  running: boolean;
}

/** Rates of one VM's slow counters, by a name of their own. */
type SlowRates = Map<string, Rate>;

export function createStatisticsLoop(context: HostContext): StatisticsLoop {
  const { clock, settings } = context;
  const balloonMs = settings.balloonStatsMs || settings.statsMs;
  const notYet = { costMs: Number.NaN, dueAtMs: 0, running: false };
  const paces: GroupPace[] = GROUPS.map((group) => ({ group, askedMs: group === 'balloon' ? balloonMs : settings.statsMs, ...notYet }));
  // A guest whose balloon inflates is asked as often as its driver can tell.
  if (balloonMs > INFLATING_MS) {
    paces.push({ group: 'balloon', of: (entry) => isInflating(context, entry), askedMs: INFLATING_MS, ...notYet });
  }
  const rates = new WeakMap<VmEntry, SlowRates>();

  const poll = async (pace: GroupPace, asked: readonly VmEntry[]): Promise<void> => {
    const startMs = clock.monotonicMs();
    pace.running = true;
    try {
      const ids = pace.of && asked.map(({ id }) => id);
      const { stats, stuck } = await context.hypervisor.stats([pace.group], ids);
      markStuck(context, pace.of ? asked : context.table.values(), new Set(stuck));
      for (const one of stats) {
        const entry = context.table.get(one.id);
        if (entry?.managed && isUp(entry)) await take(context, entry, one, pace.group, ratesOf(rates, entry));
      }
      pace.costMs = smoothedCostMs(pace.costMs, clock.monotonicMs() - startMs);
    } catch (error) {
      context.log.warn('bulk statistics failed', { group: pace.group, error: errorText(error) });
    } finally {
      pace.running = false;
      pace.dueAtMs = startMs + statsPeriodMs(pace.askedMs, pace.costMs);
    }
  };

  return {
    tick() {
      if (!context.hypervisor.connected) return;
      for (const pace of paces) {
        if (pace.running || clock.monotonicMs() < pace.dueAtMs) continue;
        const asked = wanted(context, pace);
        if (asked.length > 0) void poll(pace, asked);
      }
    },
  };
}

/** Whose statistics are of use. CPU times of the hypervisor are only asked for where control groups do not tell them. */
function wanted(context: HostContext, { group, of }: GroupPace): VmEntry[] {
  const untold = (entry: VmEntry): boolean => group !== 'vcpu' || (entry.fast !== null && Number.isNaN(entry.fast.usageCores));
  return [...context.table.values()].filter((entry) => entry.managed && isUp(entry) && untold(entry) && (of?.(entry) ?? true));
}

function markStuck(context: HostContext, asked: Iterable<VmEntry>, stuck: ReadonlySet<string>): void {
  for (const entry of asked) {
    const isStuck = stuck.has(entry.id);
    if (isStuck === entry.stuck) continue;
    entry.stuck = isStuck;
    context.changed();
    const message = isStuck ? `${entry.name} does not answer the hypervisor: its slow signals are unknown` : `${entry.name} answers again`;
    if (entry.managed) tell(context, 'stuck-domain', message, { vm: entry.id });
  }
}

function ratesOf(all: WeakMap<VmEntry, SlowRates>, entry: VmEntry): SlowRates {
  const known = all.get(entry);
  if (known) return known;
  const made: SlowRates = new Map();
  all.set(entry, made);
  return made;
}

async function take(context: HostContext, entry: VmEntry, stats: VmStats, group: StatsGroup, rates: SlowRates): Promise<void> {
  const perSecond = (name: string, value: number | undefined): number => {
    let rate = rates.get(name);
    if (rate === undefined) {
      rate = createRate({ gapMsMax: GAP_MS_MAX });
      rates.set(name, rate);
    }
    return rate.next(value ?? Number.NaN, stats.monotonicMs);
  };
  switch (group) {
    case 'balloon':
      return takeBalloon(context, entry, stats, perSecond);
    case 'vcpu':
      entry.fresh['vm_cpu.usageCores'] = perSecond('vcpuTimeNs', sum(stats.vcpus?.map((vcpu) => vcpu.timeNs))) / NS_PER_SECOND;
      return;
    case 'interface':
      entry.fresh['vm_network.receiveBytesPerSecond'] = perSecond('rx', sum(stats.interfaces?.map((one) => one.rxBytes)));
      entry.fresh['vm_network.transmitBytesPerSecond'] = perSecond('tx', sum(stats.interfaces?.map((one) => one.txBytes)));
      return;
    case 'block':
      entry.fresh['vm_disk.readBytesPerSecond'] = perSecond('rdBytes', sum(stats.blocks?.map((one) => one.readBytes)));
      entry.fresh['vm_disk.writeBytesPerSecond'] = perSecond('wrBytes', sum(stats.blocks?.map((one) => one.writeBytes)));
      entry.fresh['vm_disk.readIops'] = perSecond('rdReq', sum(stats.blocks?.map((one) => one.readRequests)));
      entry.fresh['vm_disk.writeIops'] = perSecond('wrReq', sum(stats.blocks?.map((one) => one.writeRequests)));
      return;
    default:
      return;
  }
}

async function takeBalloon(
  context: HostContext,
  entry: VmEntry,
  stats: VmStats,
  perSecond: (name: string, value: number | undefined) => number,
): Promise<void> {
  const balloon = stats.balloon;
  if (balloon === undefined) {
    entry.missing.set('balloon-statistics', 'the hypervisor tells nothing of its balloon');
    return;
  }
  const { slow, fresh } = entry;
  const toldMs = balloon.lastUpdateSeconds === undefined ? Number.NaN : balloon.lastUpdateSeconds * 1000;
  const ageMs = toldMs > 0 ? Math.max(0, context.clock.wallMs() - toldMs) : Number.NaN;
  slow.availableMiB = balloon.usableMiB ?? Number.NaN;
  slow.unusedMiB = balloon.unusedMiB ?? Number.NaN;
  slow.swapInMiBPerSecond = perSecond('swapIn', balloon.swapInMiB);
  noteTrend(entry, balloon, context.clock.monotonicMs() - ageMs);
  if (Number.isNaN(slow.availableMiB) || Number.isNaN(ageMs))
    entry.missing.set('balloon-statistics', "the guest's driver tells no statistics");
  else entry.missing.delete('balloon-statistics');
  fresh['vm_memory.balloonMiB'] = balloon.actualMiB ?? Number.NaN;
  fresh['vm_memory.availableMiB'] = slow.availableMiB;
  fresh['vm_memory.totalMiB'] = balloon.availableMiB ?? Number.NaN;
  fresh['vm_memory.unusedMiB'] = slow.unusedMiB;
  fresh['vm_memory.swapInMiBPerSecond'] = slow.swapInMiBPerSecond;
  fresh['vm_memory.swapOutMiBPerSecond'] = perSecond('swapOut', balloon.swapOutMiB);
  fresh['vm_memory.majorFaultsPerSecond'] = perSecond('majorFaults', balloon.majorFaults);
  fresh['vm_memory.statsAgeMs'] = ageMs;
  if (Number.isNaN(entry.fast?.rssMiB ?? Number.NaN)) fresh['vm_memory.rssMiB'] = balloon.rssMiB ?? Number.NaN;
  // A reading taken while we write says nothing about who wrote.
  if (balloon.actualMiB === undefined) return;
  if (entry.writing.has('memory')) slow.balloonMiB = balloon.actualMiB;
  else await noteSeen(context, entry, { resource: 'memory', memoryMiB: balloon.actualMiB });
}

function noteTrend(entry: VmEntry, balloon: NonNullable<VmStats['balloon']>, toldAtMs: number): void {
  const { slow } = entry;
  const toldAtSeconds = balloon.lastUpdateSeconds ?? Number.NaN;
  const totalMiB = balloon.availableMiB ?? Number.NaN;
  const trend = entry.toMemoryTrend({ toldAtSeconds, sizeMiB: balloon.actualMiB ?? Number.NaN, totalMiB, availableMiB: slow.availableMiB });
  if (trend.newer) slow.rssAtToldMiB = entry.fast?.rssMiB ?? Number.NaN;
  Object.assign(slow, { toldAtMs, workingSetMiB: trend.workingSetMiB, growthMiBPerSecond: trend.growthMiBPerSecond });
}

/** Sum of what is told; undefined when there is nothing, or one part is unknown. */
function sum(values: readonly (number | undefined)[] | undefined): number | undefined {
  if (values === undefined || values.length === 0) return undefined;
  let total = 0;
  for (const value of values) {
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}
