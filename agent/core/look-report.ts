/**
 * The first look at a host, as data: per VM what may be managed and why not, what limits hold and who seems to have set
 * them, which signals are missing, and a first sight of waste and pressure. Pure: what was gathered in, the report out.
 * What was not told is null, never zero.
 */
import type { EligibilityMap, Resource, Setting } from '../../shared/resources.ts';
import { RESOURCES, sameSetting } from '../../shared/resources.ts';
import { eligibility, type HostFacts, isGrowOnly } from './eligibility.ts';
import { memoryMiBMax } from './plugged-memory.ts';
import type { VmFastSample } from './vm-counters.ts';
import type { VmFacts } from './vm-facts.ts';

/** Everything gathered of one running VM; a part that could not be had is null, with the reason in `problems`. */
export interface LookedAtVm {
  facts: VmFacts;
  power: string;
  settings: Partial<Record<Resource, Setting>>;
  baseline: Setting[] | null;
  /** Headroom's own metadata is there. */
  headroomState: boolean;
  processId: number | null;
  /** Rates over the sample. */
  fast: VmFastSample | null;
  /** CPU use by the hypervisor's own statistics, cores; for VMs without control groups. */
  usageCores: number | null;
  balloonMiB: number | null;
  availableMiB: number | null;
  statsAgeMs: number | null;
  swapInMiBPerSecond: number | null;
  stuck: boolean;
  problems: string[];
}

export type SetBy = 'definition' | 'headroom' | 'someone live' | 'unknown';

export interface LookVm {
  vm: string;
  name: string;
  power: string;
  eligibility: EligibilityMap;
  growOnly: boolean;
  limits: { resource: Resource; setting: Setting | null; setBy: SetBy; words: string }[];
  missingSignals: string[];
  cpu: { allowedCores: number | null; usedCores: number | null; usedFraction: number | null };
  memory: { bootMiB: number; givenMiB: number | null; usedMiB: number | null; usedFraction: number | null; residentMiB: number | null };
  pressure: string[];
}

export interface LookHost {
  name: string;
  cpuCores: number;
  memoryMiB: number;
  hypervisorVersion: string;
  balloonManager: string | null;
  usedCores: number | null;
  availableMiB: number | null;
  swapUsedMiB: number | null;
  pressure: string[];
  /** Sums over VMs against what the host has. */
  allowedCores: number;
  givenMiB: number;
}

export interface LookReport {
  host: LookHost;
  vms: LookVm[];
  notRunning: { vm: string; name: string; power: string }[];
  sampleSeconds: number;
  problems: string[];
}

export interface LookedAtHost extends HostFacts {
  name: string;
  cpuCores: number;
  memoryMiB: number;
  hypervisorVersion: string;
  /** Values by field name, as the host's collectors give them. */
  values: Readonly<Record<string, number>>;
}

/** Below these nothing is worth a word: noise of a quiet host. */
const THROTTLED_FRACTION_MIN = 0.01;
const WAIT_FRACTION_MIN = 0.05;
const PSI_FRACTION_MIN = 0.01;
/** Balloon statistics older than a minute say nothing of now. */
const STATS_AGE_MS_MAX = 60_000;
const AGENT_CHANNELS = ['org.headroom.agent.0', 'org.qemu.guest_agent.0'];

const known = (value: number | undefined | null): number | null =>
  value === undefined || value === null || Number.isNaN(value) ? null : value;
const percent = (fraction: number): string => `${(fraction * 100).toFixed(fraction < 0.1 ? 1 : 0)} %`;

export function lookReport(
  host: LookedAtHost,
  vms: readonly LookedAtVm[],
  notRunning: LookReport['notRunning'],
  sampleSeconds: number,
  problems: string[],
): LookReport {
  const looked = vms.map((vm) => lookVm(vm, host));
  const sum = (numbers: (number | null)[]): number => numbers.reduce<number>((total, value) => total + (value ?? 0), 0);
  return {
    host: {
      name: host.name,
      cpuCores: host.cpuCores,
      memoryMiB: host.memoryMiB,
      hypervisorVersion: host.hypervisorVersion,
      balloonManager: host.balloonManager,
      usedCores: known(host.values['host_cpu.usageCores']),
      availableMiB: known(host.values['host_memory.availableMiB']),
      swapUsedMiB: known(host.values['host_memory.swapUsedMiB']),
      pressure: hostPressure(host.values),
      allowedCores: sum(looked.map(({ cpu }) => cpu.allowedCores)),
      givenMiB: sum(looked.map(({ memory }) => memory.givenMiB)),
    },
    vms: looked,
    notRunning,
    sampleSeconds,
    problems,
  };
}

function lookVm(vm: LookedAtVm, host: HostFacts): LookVm {
  const { facts } = vm;
  return {
    vm: facts.id,
    name: facts.name,
    power: vm.power,
    eligibility: eligibility(facts, host, null),
    growOnly: isGrowOnly(facts),
    limits: RESOURCES.map((resource) => limitOf(vm, resource)),
    missingSignals: missingSignals(vm),
    cpu: cpuOf(vm),
    memory: memoryOf(vm),
    pressure: vmPressure(vm),
  };
}

function limitOf(vm: LookedAtVm, resource: Resource): LookVm['limits'][number] {
  const setting = vm.settings[resource] ?? null;
  const defined = vm.baseline?.find((one) => one.resource === resource);
  if (setting === null) return { resource, setting, setBy: 'unknown', words: 'could not be read' };
  const words = limitWords(setting, memoryMiBMax(vm.facts));
  if (defined === undefined) return { resource, setting, setBy: 'unknown', words };
  if (sameSetting(setting, defined)) return { resource, setting, setBy: 'definition', words };
  // What differs from the definition was set live: by us if we left our mark, else by somebody.
  return { resource, setting, setBy: vm.headroomState ? 'headroom' : 'someone live', words };
}

function limitWords(setting: Setting, bootMiB: number): string {
  const limits = (parts: [string, number | null, string][]): string => {
    const set = parts.filter(([, value]) => value !== null);
    return set.length === 0 ? 'no limit' : set.map(([name, value, unit]) => `${name} ${(value as number).toFixed(0)} ${unit}`).join(', ');
  };
  switch (setting.resource) {
    case 'cpu': {
      const cap = setting.capCores === null ? 'no cap' : `cap ${setting.capCores.toFixed(2)} cores`;
      return `weight ${setting.weight.toFixed(0)}, ${cap}`;
    }
    case 'memory':
      return `${setting.memoryMiB.toFixed(0)} of ${bootMiB.toFixed(0)} MiB`;
    case 'network':
      return limits([
        ['in', setting.inboundBytesPerSecond, 'bytes/s'],
        ['out', setting.outboundBytesPerSecond, 'bytes/s'],
      ]);
    case 'disk':
      return limits([
        ['', setting.bytesPerSecond, 'bytes/s'],
        ['', setting.iops, 'IOPS'],
      ]);
  }
}

function missingSignals({ facts, fast, processId, statsAgeMs, stuck, problems }: LookedAtVm): string[] {
  const missing = [...problems];
  if (stuck) missing.push('the VM does not answer its hypervisor: no statistics');
  if (facts.balloonModel === 'virtio') {
    if (facts.statsPeriodSeconds === 0) missing.push('balloon statistics have no period: memory demand is unknown');
    else if (statsAgeMs === null || statsAgeMs > STATS_AGE_MS_MAX)
      missing.push('the guest does not answer for balloon statistics: memory demand is unknown');
  }
  if (processId === null) missing.push('its process was not found on this machine: no control groups, no resident memory');
  else if (fast === null || Number.isNaN(fast.usageCores))
    missing.push('its control groups were not found: CPU by hypervisor statistics only, no throttled time');
  if (fast !== null && Number.isNaN(fast.memorySomeFraction))
    missing.push('no pressure (PSI) of its own: control groups v1, or PSI is off');
  if (!facts.channels.some(({ name }) => AGENT_CHANNELS.includes(name))) missing.push('no guest agent channel');
  return missing;
}

function cpuOf({ facts, settings, fast, usageCores }: LookedAtVm): LookVm['cpu'] {
  const setting = settings.cpu;
  const cap = setting?.resource === 'cpu' ? setting.capCores : null;
  const allowedCores = facts.vcpusOnline > 0 ? Math.min(facts.vcpusOnline, cap ?? facts.vcpusOnline) : null;
  const usedCores = known(fast?.usageCores) ?? usageCores;
  return { allowedCores, usedCores, usedFraction: share(usedCores, allowedCores) };
}

const share = (part: number | null, whole: number | null): number | null =>
  part === null || whole === null || whole <= 0 ? null : part / whole;

function memoryOf({ facts, balloonMiB, availableMiB, statsAgeMs, fast }: LookedAtVm): LookVm['memory'] {
  const fresh = statsAgeMs !== null && statsAgeMs <= STATS_AGE_MS_MAX;
  const usedMiB = fresh && balloonMiB !== null && availableMiB !== null ? Math.max(0, balloonMiB - availableMiB) : null;
  return {
    bootMiB: facts.bootMemoryMiB,
    givenMiB: balloonMiB,
    usedMiB,
    usedFraction: share(usedMiB, balloonMiB),
    residentMiB: known(fast?.rssMiB),
  };
}

function vmPressure({ fast, swapInMiBPerSecond }: LookedAtVm): string[] {
  const found: string[] = [];
  const say = (value: number | undefined, least: number, words: (text: string) => string): void => {
    if (value !== undefined && value >= least) found.push(words(percent(value)));
  };
  say(fast?.throttledFraction, THROTTLED_FRACTION_MIN, (text) => `throttled ${text} of the time`);
  say(fast?.waitFraction, WAIT_FRACTION_MIN, (text) => `waits for a host CPU ${text} of the time`);
  say(fast?.memorySomeFraction, PSI_FRACTION_MIN, (text) => `stalled on memory ${text} of the time`);
  if (swapInMiBPerSecond !== null && swapInMiBPerSecond > 0) found.push(`swaps in ${swapInMiBPerSecond.toFixed(1)} MiB/s`);
  return found;
}

function hostPressure(values: Readonly<Record<string, number>>): string[] {
  const found: string[] = [];
  for (const [field, words] of [
    ['host_pressure.cpuSomeFraction', 'tasks wait for a CPU'],
    ['host_pressure.memorySomeFraction', 'tasks stall on memory'],
    ['host_pressure.ioSomeFraction', 'tasks wait for I/O'],
  ] as const) {
    const value = values[field];
    if (value === undefined || Number.isNaN(value)) found.push(`${field} is unknown: no PSI`);
    else if (value >= PSI_FRACTION_MIN) found.push(`${words} ${percent(value)} of the time`);
  }
  const swapIn = known(values['host_memory.swapInMiBPerSecond']);
  if (swapIn !== null && swapIn > 0) found.push(`the host swaps in ${swapIn.toFixed(1)} MiB/s`);
  return found;
}
