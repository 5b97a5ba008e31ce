/**
 * `headroom look`: a first look at one host, within a minute, with nothing written anywhere. Adapters and a sample length
 * in; the report, printed as text or as one JSON line. A VM that cannot be looked at is named, the others are shown.
 */
import { type Clock, sleep } from '../shared/clock.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { RESOURCES, type Resource, type Setting } from '../shared/resources.ts';
import type { Collector, NoData } from './collectors/collector.ts';
import { type LookedAtVm, type LookReport, lookReport } from './core/look-report.ts';
import { createVmRates, type VmCounters } from './core/vm-counters.ts';
import type { Hypervisor, StatsGroup, VmStats, VmSummary } from './hypervisor/hypervisor.ts';
import { lookText } from './look-text.ts';

export interface LookOptions {
  /** Not connected yet; read-only where the hypervisor knows such a thing. */
  hypervisor: Hypervisor;
  hostName: string;
  /** Host-side collectors: CPU, memory, pressure. */
  collectors: readonly Collector[];
  /** Fast counters of a VM's process. */
  counters: (processId: number) => VmCounters | NoData;
  balloonManager: () => string | null;
  clock: Clock;
  sampleSeconds: number;
  json: boolean;
  out: (line: string) => void;
}

/** The whole look takes less than a minute: gathering takes milliseconds a VM, so most of it may be the sample. */
export const SAMPLE_SECONDS_MAX = 45;
export const SAMPLE_SECONDS_DEFAULT = 10;
const GROUPS: readonly StatsGroup[] = ['state', 'cpu', 'vcpu', 'balloon'];
/** Both ends of the sample must belong to it, however long gathering took between them. */
const GAP_MS_MAX = 120_000;

export async function look(options: LookOptions): Promise<LookReport> {
  if (!(options.sampleSeconds >= 1 && options.sampleSeconds <= SAMPLE_SECONDS_MAX)) {
    throw new HeadroomError('USAGE', `a sample of ${options.sampleSeconds} s was asked for; it takes 1 to ${SAMPLE_SECONDS_MAX} s`);
  }
  await options.hypervisor.connect();
  try {
    const report = await gather(options);
    options.out(options.json ? JSON.stringify(report) : lookText(report));
    return report;
  } finally {
    await options.hypervisor.close();
  }
}

interface Sampled {
  summary: VmSummary;
  processId: number | null;
  toRates: ReturnType<typeof createVmRates>;
  before: VmStats | undefined;
}

async function gather(options: LookOptions): Promise<LookReport> {
  const { hypervisor, clock } = options;
  const capacity = await hypervisor.capacity();
  const all = await hypervisor.list();
  const running = all.filter(({ power }) => !['shutoff', 'crashed'].includes(power));
  sampleHost(options);
  const stats = await hypervisor.stats(GROUPS);
  const sampled = await Promise.all(running.map((summary) => begin(options, summary, stats.stats)));
  await sleep(clock, options.sampleSeconds * 1000);
  const values = sampleHost(options);
  const later = await hypervisor.stats(GROUPS);
  const stuck = new Set([...stats.stuck, ...later.stuck]);
  const problems: string[] = [];
  const vms: LookedAtVm[] = [];
  for (const one of sampled) {
    try {
      vms.push(await lookAt(options, one, later.stats, stuck.has(one.summary.id)));
    } catch (error) {
      problems.push(`${one.summary.name}: ${errorText(error)}`);
    }
  }
  const host = {
    name: options.hostName,
    cpuCores: capacity.cpuCores,
    memoryMiB: capacity.memoryMiB,
    hypervisorVersion: capacity.hypervisorVersion,
    balloonManager: options.balloonManager(),
    values,
  };
  const notRunning = all.filter((vm) => !running.includes(vm)).map(({ id, name, power }) => ({ vm: id, name, power }));
  return lookReport(host, vms, notRunning, options.sampleSeconds, problems);
}

/** One reading of the host; a collector that fails leaves its values unknown. */
function sampleHost({ collectors, clock }: LookOptions): Record<string, number> {
  const values: Record<string, number> = {};
  for (const collector of collectors) {
    try {
      const result = collector.update(clock.monotonicMs());
      if (result.kind === 'reading') Object.assign(values, result.values);
    } catch {
      for (const field of collector.fields) values[field] = Number.NaN;
    }
  }
  return values;
}

async function begin({ hypervisor, counters, clock }: LookOptions, summary: VmSummary, stats: readonly VmStats[]): Promise<Sampled> {
  const processId = await hypervisor.processId(summary.id).catch(() => null);
  const toRates = createVmRates(GAP_MS_MAX);
  const first = processId === null ? null : counters(processId);
  if (first !== null && !('kind' in first)) toRates(first, clock.monotonicMs());
  return { summary, processId, toRates, before: stats.find(({ id }) => id === summary.id) };
}

async function lookAt(
  { hypervisor, counters, clock }: LookOptions,
  { summary, processId, toRates, before }: Sampled,
  stats: readonly VmStats[],
  stuck: boolean,
): Promise<LookedAtVm> {
  const { id, power } = summary;
  const problems: string[] = [];
  const unless = async <T>(what: string, call: Promise<T>): Promise<T | null> =>
    call.catch((error) => {
      problems.push(`${what}: ${errorText(error)}`);
      return null;
    });
  const last = processId === null ? null : counters(processId);
  const nowMs = clock.monotonicMs();
  const fast = last === null || 'kind' in last ? null : toRates(last, nowMs);
  const after = stats.find((one) => one.id === id);
  const facts = await hypervisor.facts(id);
  const settings: Partial<Record<Resource, Setting>> = {};
  for (const resource of RESOURCES) {
    // A stuck VM's limits would only be waited for.
    const setting = stuck && resource === 'disk' ? null : await unless(`${resource} limits`, hypervisor.readSetting(id, resource));
    if (setting !== null) settings[resource] = setting;
  }
  const toldMs = (after?.balloon?.lastUpdateSeconds ?? Number.NaN) * 1000;
  return {
    facts,
    power,
    settings,
    baseline: await unless('its persistent definition', hypervisor.baseline(id)),
    headroomState: (await unless("Headroom's metadata", hypervisor.readMetadata(id))) !== null,
    processId,
    fast,
    usageCores: rateOf(before, after, ({ cpuTimeNs }) => (cpuTimeNs === undefined ? undefined : cpuTimeNs / 1e9)),
    balloonMiB: after?.balloon?.actualMiB ?? null,
    availableMiB: after?.balloon?.usableMiB ?? null,
    statsAgeMs: Number.isNaN(toldMs) ? null : Math.max(0, clock.wallMs() - toldMs),
    swapInMiBPerSecond: rateOf(before, after, ({ balloon }) => balloon?.swapInMiB),
    stuck,
    problems,
  };
}

/** Growth per second between two statistics; null when either is missing or the counter was reset. */
function rateOf(before: VmStats | undefined, after: VmStats | undefined, read: (stats: VmStats) => number | undefined): number | null {
  if (before === undefined || after === undefined) return null;
  const [first, second] = [read(before), read(after)];
  const seconds = (after.monotonicMs - before.monotonicMs) / 1000;
  return first === undefined || second === undefined || second < first || seconds <= 0 ? null : (second - first) / seconds;
}
