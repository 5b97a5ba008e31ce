/**
 * The hypervisor's bulk statistics, group by group, each at the pace its measured cost allows. A VM that does not answer in
 * time is marked stuck and told; the others are not delayed. Input: Hypervisor.stats; output: the table's slow readings.
 */
import { errorText } from '../../shared/errors.ts';
import { NS_PER_SECOND } from '../../shared/units.ts';
import { RateTable } from '../core/rates.ts';
import { PERIOD_MS_MAX, smoothedCostMs, statsPeriodMs } from '../core/stats-pace.ts';
import { VM_COLUMN } from '../core/vm-columns.ts';
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

/** One VM's slow counters, by number. */
const COUNTER = {
  vcpuTimeNs: 0,
  received: 1,
  transmitted: 2,
  readBytes: 3,
  writtenBytes: 4,
  readRequests: 5,
  writeRequests: 6,
  swapIn: 7,
  swapOut: 8,
  majorFaults: 9,
} as const;
const COUNTERS = Object.keys(COUNTER).length;

export function createStatisticsLoop(context: HostContext): StatisticsLoop {
  const { clock, settings } = context;
  const balloonMs = settings.balloonStatsMs || settings.statsMs;
  const notYet = { costMs: Number.NaN, dueAtMs: 0, running: false };
  const paces: GroupPace[] = GROUPS.map((group) => ({ group, askedMs: group === 'balloon' ? balloonMs : settings.statsMs, ...notYet }));
  // A guest whose balloon inflates is asked as often as its driver can tell.
  if (balloonMs > INFLATING_MS) {
    paces.push({ group: 'balloon', of: (entry) => isInflating(context, entry), askedMs: INFLATING_MS, ...notYet });
  }
  const rates = new WeakMap<VmEntry, RateTable>();

  const poll = async (pace: GroupPace, asked: readonly VmEntry[]): Promise<void> => {
    const startMs = clock.monotonicMs();
    pace.running = true;
    try {
      const ids = pace.of && asked.map(({ id }) => id);
      const { stats, stuck } = await context.hypervisor.stats([pace.group], ids);
      markStuck(context, pace.of ? asked : context.table.values(), new Set(stuck));
      for (const one of stats) {
        const entry = context.table.get(one.id);
        if (!entry?.managed || !isUp(entry)) continue;
        const more = take(context, entry, one, pace.group, ratesOf(rates, entry));
        if (more) await more;
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

function ratesOf(all: WeakMap<VmEntry, RateTable>, entry: VmEntry): RateTable {
  const known = all.get(entry);
  if (known) return known;
  const made = new RateTable(COUNTERS, { gapMsMax: GAP_MS_MAX });
  all.set(entry, made);
  return made;
}

/** What is left to be waited for, if anything. */
function take(context: HostContext, entry: VmEntry, stats: VmStats, group: StatsGroup, rates: RateTable): Promise<void> | undefined {
  const { fresh } = entry;
  const perSecond = (counter: number, value: number | undefined): number => rates.next(counter, value ?? Number.NaN, stats.monotonicMs);
  switch (group) {
    case 'balloon':
      return takeBalloon(context, entry, stats, rates);
    case 'vcpu':
      fresh[VM_COLUMN['vm_cpu.usageCores']] =
        perSecond(
          COUNTER.vcpuTimeNs,
          sum(stats.vcpus, (vcpu) => vcpu.timeNs),
        ) / NS_PER_SECOND;
      return;
    case 'interface':
      fresh[VM_COLUMN['vm_network.receiveBytesPerSecond']] = perSecond(COUNTER.received, sum(stats.interfaces, received));
      fresh[VM_COLUMN['vm_network.transmitBytesPerSecond']] = perSecond(COUNTER.transmitted, sum(stats.interfaces, transmitted));
      return;
    case 'block':
      fresh[VM_COLUMN['vm_disk.readBytesPerSecond']] = perSecond(
        COUNTER.readBytes,
        sum(stats.blocks, (one) => one.readBytes),
      );
      fresh[VM_COLUMN['vm_disk.writeBytesPerSecond']] = perSecond(
        COUNTER.writtenBytes,
        sum(stats.blocks, (one) => one.writeBytes),
      );
      fresh[VM_COLUMN['vm_disk.readIops']] = perSecond(
        COUNTER.readRequests,
        sum(stats.blocks, (one) => one.readRequests),
      );
      fresh[VM_COLUMN['vm_disk.writeIops']] = perSecond(
        COUNTER.writeRequests,
        sum(stats.blocks, (one) => one.writeRequests),
      );
      return;
    default:
      return;
  }
}

type Interface = NonNullable<VmStats['interfaces']>[number];
const received = ({ rxBytes }: Interface): number => rxBytes;
const transmitted = ({ txBytes }: Interface): number => txBytes;

function takeBalloon(context: HostContext, entry: VmEntry, stats: VmStats, rates: RateTable): Promise<void> | undefined {
  const { balloon, monotonicMs } = stats;
  if (balloon === undefined) {
    entry.missing.set('balloon-statistics', 'the hypervisor tells nothing of its balloon');
    return;
  }
  const { slow, fresh } = entry;
  const perSecond = (counter: number, value: number | undefined): number => rates.next(counter, value ?? Number.NaN, monotonicMs);
  const toldMs = balloon.lastUpdateSeconds === undefined ? Number.NaN : balloon.lastUpdateSeconds * 1000;
  const ageMs = toldMs > 0 ? Math.max(0, context.clock.wallMs() - toldMs) : Number.NaN;
  slow.availableMiB = balloon.usableMiB ?? Number.NaN;
  slow.unusedMiB = balloon.unusedMiB ?? Number.NaN;
  slow.swapInMiBPerSecond = perSecond(COUNTER.swapIn, balloon.swapInMiB);
  noteTrend(entry, balloon, context.clock.monotonicMs() - ageMs);
  if (Number.isNaN(slow.availableMiB) || Number.isNaN(ageMs))
    entry.missing.set('balloon-statistics', "the guest's driver tells no statistics");
  else entry.missing.delete('balloon-statistics');
  fresh[VM_COLUMN['vm_memory.balloonMiB']] = balloon.actualMiB ?? Number.NaN;
  fresh[VM_COLUMN['vm_memory.availableMiB']] = slow.availableMiB;
  fresh[VM_COLUMN['vm_memory.totalMiB']] = balloon.availableMiB ?? Number.NaN;
  fresh[VM_COLUMN['vm_memory.unusedMiB']] = slow.unusedMiB;
  fresh[VM_COLUMN['vm_memory.swapInMiBPerSecond']] = slow.swapInMiBPerSecond;
  fresh[VM_COLUMN['vm_memory.swapOutMiBPerSecond']] = perSecond(COUNTER.swapOut, balloon.swapOutMiB);
  fresh[VM_COLUMN['vm_memory.majorFaultsPerSecond']] = perSecond(COUNTER.majorFaults, balloon.majorFaults);
  fresh[VM_COLUMN['vm_memory.statsAgeMs']] = ageMs;
  if (Number.isNaN(entry.fast?.rssMiB ?? Number.NaN)) fresh[VM_COLUMN['vm_memory.rssMiB']] = balloon.rssMiB ?? Number.NaN;
  // A reading taken while we write says nothing about who wrote.
  if (balloon.actualMiB === undefined) return;
  if (entry.writing.has('memory')) {
    slow.balloonMiB = balloon.actualMiB;
    return;
  }
  slow.sizeToldAtMs = context.clock.monotonicMs();
  return noteSeen(context, entry, { resource: 'memory', memoryMiB: balloon.actualMiB });
}

function noteTrend(entry: VmEntry, balloon: NonNullable<VmStats['balloon']>, toldAtMs: number): void {
  const { slow } = entry;
  const toldAtSeconds = balloon.lastUpdateSeconds ?? Number.NaN;
  const totalMiB = balloon.availableMiB ?? Number.NaN;
  const trend = entry.toMemoryTrend({ toldAtSeconds, sizeMiB: balloon.actualMiB ?? Number.NaN, totalMiB, availableMiB: slow.availableMiB });
  if (trend.newer) slow.rssAtToldMiB = entry.fast?.rssMiB ?? Number.NaN;
  slow.toldAtMs = toldAtMs;
  slow.workingSetMiB = trend.workingSetMiB;
  slow.growthMiBPerSecond = trend.growthMiBPerSecond;
}

/** Sum of what is told; undefined when there is nothing, or one part is unknown. */
function sum<T>(parts: readonly T[] | undefined, amountOf: (part: T) => number | undefined): number | undefined {
  if (parts === undefined || parts.length === 0) return undefined;
  let total = 0;
  for (const part of parts) {
    const value = amountOf(part);
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}
