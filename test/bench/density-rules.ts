/**
 * Rules that place a fleet of VMs on hosts, each with one knob that makes it more careful. A fleet with a week of history in, hosts with
 * their VMs out: granted sizes, N-sigma, own quantiles, and Headroom's joint forecast.
 */
import type { ForecasterFactory } from '../../aggregator/core/forecast/forecaster.ts';
import { JointForecaster } from '../../aggregator/core/forecast/joint-forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { DAY_MS, MINUTE_MS } from './benchmark.ts';
import type { FleetVm } from './density-fleet.ts';

export const STEP_MS = 5 * MINUTE_MS;
export const DAY_STEPS = DAY_MS / STEP_MS;
export const HISTORY = 7 * DAY_STEPS;
export const STEPS = HISTORY + 3 * DAY_STEPS;
/** Small enough that a fleet fills a dozen hosts: a spare one is then a tenth, as in a rack. */
export const HOST_CORES = 16;
/** Half-hour maxima are what peaks are compared by. */
const COARSE = 6;
const LEVEL = 0.99;
const DAY_AHEAD = [1, 2, 4, 12, ...Array.from({ length: 24 }, (_, hour) => 12 * (hour + 1)).slice(1)];

export type Host = readonly FleetVm[];
/** Hosts with all VMs of a fleet, at a setting of the rule's knob; a higher setting is more careful. */
type Placement = (fleet: readonly FleetVm[], knob: number) => Host[];

export interface Rule {
  place: Placement;
  /** Absent: the rule is as it is. */
  knob?: readonly [least: number, most: number];
}

/** First fit in order of size, each VM asking `needs(vm)` beside those of the host, of what the host has. */
function firstFit(fleet: readonly FleetVm[], fits: (host: Host, vm: FleetVm) => boolean): Host[] {
  const hosts: FleetVm[][] = [];
  for (const vm of fleet.toSorted((a, b) => b.sizeCores - a.sizeCores)) {
    const host = hosts.find((one) => fits(one, vm));
    if (host) host.push(vm);
    else hosts.push([vm]);
  }
  return hosts;
}

const bySum =
  (need: (vm: FleetVm, knob: number) => number): Placement =>
  (fleet, knob) => {
    const needs = new Map(fleet.map((vm) => [vm, need(vm, knob)]));
    return firstFit(fleet, (host, vm) => host.reduce((sum, one) => sum + needs.get(one)!, needs.get(vm)!) <= HOST_CORES);
  };

/** Mean and N standard deviations of the host's own total (Bashir et al., EuroSys 2021, "Take it to the limit"). */
const nSigma: Placement = (fleet, n) => {
  const totals = new Map<Host, Float64Array>();
  const totalOf = (host: Host): Float64Array => totals.get(host) ?? new Float64Array(HISTORY);
  return firstFit(fleet, (host, vm) => {
    const before = totalOf(host);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < HISTORY; i++) {
      const value = before[i]! + vm.demand[i]!;
      sum += value;
      squares += value * value;
    }
    const mean = sum / HISTORY;
    if (mean + n * Math.sqrt(Math.max(0, squares / HISTORY - mean * mean)) > HOST_CORES) return false;
    const after = before.slice();
    for (let i = 0; i < HISTORY; i++) after[i]! += vm.demand[i]!;
    totals.set(host, after);
    return true;
  });
};

const sortedHistory = new WeakMap<FleetVm, Float64Array>();

function ownQuantile(vm: FleetVm, level: number): number {
  const sorted = sortedHistory.get(vm) ?? vm.demand.slice(0, HISTORY).sort();
  sortedHistory.set(vm, sorted);
  return sorted[Math.min(HISTORY - 1, Math.floor(level * HISTORY))]!;
}

/** The joint forecast of these VMs at the end of history: the highest 0.99 quantile of the day to come, cores. */
function jointNeed(vms: Host, factory: ForecasterFactory): number {
  const joint = new JointForecaster({ stepMs: STEP_MS, seasonsMs: [DAY_MS] }, factory);
  const demands = new Map<string, number>();
  for (let step = 0; step < HISTORY; step++) {
    for (const vm of vms) demands.set(vm.name, vm.demand[step]!);
    joint.observe(step * STEP_MS, demands);
  }
  return Math.max(...(joint.forecast(DAY_AHEAD, [LEVEL])?.values ?? [Number.POSITIVE_INFINITY]));
}

function peaksOf({ demand }: FleetVm, from: number, bins: number, each: number): Float64Array {
  return Float64Array.from({ length: bins }, (_, i) => Math.max(...demand.subarray(from + i * each, from + (i + 1) * each)));
}

/**
 * All VMs over so many hosts, the large ones first, each where it makes the highest half hour of the week least high: peaks that do not
 * meet come together, and no host is full while another is empty. By default the week of history is looked at, in half hours.
 */
export function spreadOver(fleet: readonly FleetVm[], count: number, from = 0, to = HISTORY, each = COARSE): Host[] {
  const bins = (to - from) / each;
  const hosts = Array.from({ length: count }, () => ({ vms: [] as FleetVm[], total: new Float64Array(bins) }));
  const order = fleet.map((vm) => ({ vm, own: peaksOf(vm, from, bins, each) })).sort((a, b) => Math.max(...b.own) - Math.max(...a.own));
  for (const { vm, own } of order) {
    let best = hosts[0]!;
    let least = Number.POSITIVE_INFINITY;
    for (const host of hosts) {
      let peak = 0;
      for (let i = 0; i < own.length; i++) peak = Math.max(peak, host.total[i]! + own[i]!);
      if (peak < least) [best, least] = [host, peak];
    }
    for (let i = 0; i < own.length; i++) best.total[i]! += own[i]!;
    best.vms.push(vm);
  }
  return hosts.map(({ vms }) => vms);
}

interface Spread {
  hosts: Host[];
  /** The highest need of any of them, cores. */
  need: number;
}

const spreads = new WeakMap<readonly FleetVm[], Map<number, Spread>>();

function spreadOf(fleet: readonly FleetVm[], count: number): Spread {
  const known = spreads.get(fleet) ?? new Map<number, Spread>();
  spreads.set(fleet, known);
  const found = known.get(count);
  if (found) return found;
  const factory = forecasterFactory(AGGREGATE);
  const hosts = spreadOver(fleet, count);
  const made = { hosts, need: Math.max(...hosts.map((vms) => jointNeed(vms, factory))) };
  known.set(count, made);
  return made;
}

/**
 * The fewest hosts of which every one's joint forecast, times the knob, fits, and one host more: the N+1 reserve is not an idle
 * machine but room on all of them, as admission control of clusters keeps it.
 */
const headroom: Placement = (fleet, margin) => {
  // Fewer would not even hold the mean.
  const mean = fleet.reduce((sum, { demand }) => sum + demand.subarray(0, HISTORY).reduce((a, b) => a + b, 0) / HISTORY, 0);
  let count = Math.max(2, Math.floor(mean / HOST_CORES));
  while (margin * spreadOf(fleet, count).need > HOST_CORES) count++;
  return spreadOf(fleet, count + 1).hosts;
};

export const RULES: Readonly<Record<string, Rule>> = {
  granted: { place: bySum((vm) => vm.sizeCores) },
  fourToOne: { place: bySum((vm) => vm.sizeCores / 4) },
  nSigma: { place: nSigma, knob: [-1, 8] },
  sumOfQuantiles: { place: bySum(ownQuantile), knob: [0.2, 1] },
  headroom: { place: headroom, knob: [0.5, 1.3] },
};
