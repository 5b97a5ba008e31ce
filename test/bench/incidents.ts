/**
 * `bench incidents`: faults in recorded VMs, seeded. Input: HEADROOM_TRACES, or the three bundled traces; output: for each kind of
 * fault how many were seen, after how long and under what name; and how often the same VMs without faults raised one. CPU is
 * recorded, as are memory and traffic where a trace has them; steal and what a trace lacks is made.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readTrace, TRACE_FILE } from '../../aggregator/cli/backtest/trace-file.ts';
import { FleetIncidents } from '../../aggregator/core/anomaly/fleet-incidents.ts';
import type { VmPoint } from '../../aggregator/core/anomaly/incident.ts';
import { type VmIdentity, VmIncidents } from '../../aggregator/core/anomaly/vm-incidents.ts';
import { createPrng, type Prng } from '../../shared/prng.ts';
import { tracesDirectory } from '../support/traces.ts';
import { type Benchmark, DAY_MS, MINUTE_MS, median, rounded } from './benchmark.ts';
import { FAULTS, type Fault, type Sizes } from './incident-faults.ts';

const VMS_MAX = 24;
const VMS_PER_HOST = 4;
const SEEDS = [1, 2, 3, 4];
/** Everyone may learn for two days. */
const LEARNING_MS = 2 * DAY_MS;
const FAULT_FROM_MS = 9 * DAY_MS;
const FAULT_TO_MS = 16 * DAY_MS;
/** Of a fault, so much must be on record. */
const RECORDED_SHARE = 0.9;
const TRIES_MAX = 50;
const MEMORY_MIB_MADE = 4096;

interface Vm {
  identity: VmIdentity;
  sizes: Sizes;
  points: VmPoint[];
}

async function vmOf(directory: string, file: string, n: number): Promise<Vm | null> {
  const cpu = await readTrace(join(directory, file), 'cpu');
  if (cpu === null || cpu.timesMs.at(-1)! - cpu.timesMs[0]! < FAULT_TO_MS + DAY_MS) return null;
  const memory = await readTrace(join(directory, file), 'memory');
  const memoryAt = new Map(memory === null ? [] : [...memory.timesMs].map((timeMs, i) => [timeMs, memory.used[i]!]));
  const sizes = { cpu: cpu.granted, memory: memory?.granted ?? MEMORY_MIB_MADE };
  const random = createPrng(17, file);
  let wander = 0;
  const points = [...cpu.timesMs].map((timeMs, i): VmPoint => {
    wander = 0.995 * wander + 0.002 * (random.next() - 0.5);
    const used = cpu.used[i]!;
    const made = sizes.memory * (0.4 + wander + (0.1 * used) / sizes.cpu + 0.005 * random.next());
    const traffic = (1e4 + (1e6 * used) / sizes.cpu) * (0.8 + 0.4 * random.next());
    return {
      timeMs,
      values: { cpu: used, memory: memory === null ? made : memoryAt.get(timeMs)!, steal: 0.01 * random.next() ** 2, network: traffic },
    };
  });
  return { identity: { vm: file.replace(TRACE_FILE, ''), host: `host-${Math.floor(n / VMS_PER_HOST)}`, sizes }, sizes, points };
}

/** Some time within the span, while the VM was recorded: what happens in a gap of the recording nobody can see. */
function startOf({ points }: Vm, { lastsMs }: Fault, random: Prng): number {
  const stepMs = median(points.slice(1, 100).map(({ timeMs }, i) => timeMs - points[i]!.timeMs));
  for (let tries = 0; ; tries++) {
    const fromMs = points[0]!.timeMs + FAULT_FROM_MS + random.next() * (FAULT_TO_MS - FAULT_FROM_MS);
    const within = points.filter(({ timeMs }) => timeMs >= fromMs && timeMs < fromMs + lastsMs).length;
    if (within * stepMs >= RECORDED_SHARE * lastsMs || tries === TRIES_MAX) return fromMs;
  }
}

interface Seen {
  delayMs: number | null;
  named: boolean;
}

function struck({ points, sizes }: Vm, { strike, lastsMs }: Fault, fromMs: number): VmPoint[] {
  return points.map((point) => {
    const sinceMs = point.timeMs - fromMs;
    if (sinceMs < 0 || sinceMs >= lastsMs) return point;
    return { timeMs: point.timeMs, values: strike(point.values as Parameters<Fault['strike']>[0], sinceMs, sizes) };
  });
}

/** Seen: an incident opened, or one that was open took the fault's name, while the fault lasted. */
function seen(vm: Vm, fault: Fault, fromMs: number): Seen {
  const incidents = new VmIncidents(vm.identity);
  let delayMs: number | null = null;
  let named = false;
  for (const point of struck(vm, fault, fromMs)) {
    if (point.timeMs >= fromMs + fault.lastsMs) break;
    const change = incidents.observe(point, null);
    if (point.timeMs < fromMs || change === null || change.change === 'closed') continue;
    const rightly = fault.names.includes(change.incident.kind);
    if (change.change === 'opened' || rightly) delayMs ??= point.timeMs - fromMs;
    named ||= rightly;
  }
  return { delayMs, named };
}

/** The same VMs as they were: whatever is raised is false, as far as anyone knows. */
function quiet(vms: readonly Vm[]) {
  const fleet = new FleetIncidents();
  const startMs = Math.min(...vms.map(({ points }) => points[0]!.timeMs));
  const instants = vms.flatMap((vm) => vm.points.map((point) => ({ vm, point, sinceMs: point.timeMs - vm.points[0]!.timeMs })));
  instants.sort((a, b) => a.point.timeMs - b.point.timeMs);
  let incidents = 0;
  /** Told of an incident once more: it has another name, or became one to wake somebody for. */
  let news = 0;
  const pages = new Set<string>();
  for (const { vm, point, sinceMs } of instants) {
    const change = fleet.observe(vm.identity, point);
    if (change === null || sinceMs < LEARNING_MS || change.change === 'closed') continue;
    if (change.change === 'opened') incidents += 1;
    if (change.change === 'updated' && change.news === undefined) continue;
    if (change.alert && change.change === 'updated') news += 1;
    if (change.alert && change.incident.severity === 'page') pages.add(`${vm.identity.vm} ${change.incident.startMs}`);
  }
  const vmWeeks = vms.reduce((sum, { points }) => sum + (points.at(-1)!.timeMs - points[0]!.timeMs - LEARNING_MS) / (7 * DAY_MS), 0);
  const hosts = new Set(vms.map(({ identity }) => identity.host)).size;
  const endMs = Math.max(...vms.map(({ points }) => points.at(-1)!.timeMs));
  const hostWeeks = (hosts * (endMs - startMs - LEARNING_MS)) / (7 * DAY_MS);
  return {
    vmWeeks: rounded(vmWeeks),
    falseIncidentsPerVmWeek: rounded(incidents / vmWeeks),
    newsPerVmWeek: rounded(news / vmWeeks),
    pagesPerHostWeek: rounded(pages.size / hostWeeks),
  };
}

function tableRow(name: string, results: readonly Seen[]) {
  const delays = results.flatMap(({ delayMs }) => delayMs ?? []).sort((a, b) => a - b);
  const found = results.filter(({ delayMs }) => delayMs !== null);
  return {
    fault: name,
    injected: results.length,
    seenShare: rounded(found.length / results.length),
    namedShare: rounded(found.filter(({ named }) => named).length / Math.max(1, found.length)),
    delayMinutesMedian: rounded(median(delays) / MINUTE_MS),
    delayMinutesP90: rounded((delays[Math.floor(0.9 * (delays.length - 1))] ?? Number.NaN) / MINUTE_MS),
  };
}

export const incidents: Benchmark = {
  about: 'faults put into recorded VMs: how many are seen, how late, under what name; and false alarms a VM and week',
  async run(tell) {
    const directory = tracesDirectory();
    const files = readdirSync(directory).filter((file) => TRACE_FILE.test(file));
    const vms: Vm[] = [];
    for (const file of files.sort()) {
      const vm = vms.length < VMS_MAX ? await vmOf(directory, file, vms.length) : null;
      if (vm !== null) vms.push(vm);
    }
    tell(`${vms.length} VMs without faults`);
    const calm = quiet(vms);
    const table = Object.entries(FAULTS).map(([name, fault]) => {
      tell(`${name} in each of ${vms.length} VMs, ${SEEDS.length} times`);
      const results = SEEDS.flatMap((seed) =>
        vms.map((vm) => {
          return seen(vm, fault, startOf(vm, fault, createPrng(seed, `${name} ${vm.identity.vm}`)));
        }),
      );
      return tableRow(name, results);
    });
    const injected = table.reduce((sum, row) => sum + row.injected, 0);
    const detectedShare = rounded(table.reduce((sum, row) => sum + row.seenShare * row.injected, 0) / injected);
    return { vms: vms.length, seeds: SEEDS, detectedShare, ...calm, table };
  },
};
