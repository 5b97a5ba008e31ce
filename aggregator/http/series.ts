/**
 * One VM's usage, demand, allocation and forecast over time, for charts. Input: a query, the series store; output: columns
 * on one regular grid of at most `points` rows, null where nothing is known. Names of fields are the stores' own.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { Resource } from '../../shared/resources.ts';
import type { Resolution, SeriesResult } from '../store/series-store.ts';
import type { AggregatorService, VmView } from './service.ts';

export interface SeriesRequest {
  resource?: Resource;
  fromMs?: number;
  toMs?: number;
  resolution?: Resolution;
  points?: number;
}

interface Names {
  usage: readonly string[];
  demand: string;
  /** In force, the finer one first. */
  allocation: readonly string[];
  forecast: string;
}

const NAMES: Readonly<Record<Resource, Names>> = {
  cpu: {
    usage: ['vm_cpu.usageCores'],
    demand: 'vm_cpu.demandCores',
    allocation: ['vm_cpu.capCores', 'vm_allocation.cpuCores'],
    forecast: 'vm_forecast.cpuCores',
  },
  memory: {
    usage: [],
    demand: 'vm_memory.demandMiB',
    allocation: ['vm_memory.targetMiB', 'vm_allocation.memoryMiB'],
    forecast: 'vm_forecast.memoryMiB',
  },
  network: {
    usage: ['vm_network.receiveBytesPerSecond', 'vm_network.transmitBytesPerSecond'],
    demand: 'vm_network.demandBytesPerSecond',
    allocation: ['vm_allocation.networkBytesPerSecond'],
    forecast: 'vm_forecast.networkBytesPerSecond',
  },
  disk: {
    usage: ['vm_disk.readBytesPerSecond', 'vm_disk.writeBytesPerSecond'],
    demand: 'vm_disk.demandBytesPerSecond',
    allocation: ['vm_allocation.diskBytesPerSecond'],
    forecast: 'vm_forecast.diskBytesPerSecond',
  },
};
/** What a balloon has given the guest, and how much of it the guest says is left: used memory is the difference. */
const MEMORY_USAGE = ['vm_memory.balloonMiB', 'vm_memory.availableMiB'] as const;
const HOUR_MS = 3_600_000;
const RAW_SPAN_MS_MAX = 6 * HOUR_MS;

export interface VmSeriesAnswer {
  vm: string;
  resource: Resource;
  unit: string;
  resolution: Resolution;
  timesMs: number[];
  usage: (number | null)[];
  demand: (number | null)[];
  allocation: (number | null)[];
  forecastMedian: (number | null)[];
  forecastHigh: (number | null)[];
  /** The quantile of `forecastHigh`; null = no forecast is stored in this time. */
  forecastQuantile: number | null;
  /** Demand, allocation and forecast come once a step; null = unknown. */
  stepMs: number | null;
}

export async function vmSeries(service: AggregatorService, vm: VmView, request: SeriesRequest): Promise<VmSeriesAnswer> {
  const resource = request.resource ?? 'cpu';
  const toMs = request.toMs ?? service.nowMs();
  const fromMs = request.fromMs ?? toMs - HOUR_MS;
  if (!(fromMs < toMs)) throw new HeadroomError('USAGE', `fromMs (${fromMs}) must be before toMs (${toMs})`);
  const resolution = request.resolution ?? (toMs - fromMs <= RAW_SPAN_MS_MAX ? 'raw' : '5m');
  const names = NAMES[resource];
  const view = vm.resources[resource];
  const quantiles = view.forecast?.quantiles ?? [];
  const high = quantiles.filter((q) => q > 0.5).map((quantile) => ({ quantile, field: forecastField(names.forecast, quantile) }));
  const median = forecastField(names.forecast, 0.5);
  const stepMs = view.forecast?.stepMs ?? 0;
  const fields = [
    ...names.usage,
    ...(resource === 'memory' ? MEMORY_USAGE : []),
    names.demand,
    ...names.allocation,
    median,
    ...high.map(({ field }) => field),
  ];
  const result = await service.series.query({
    subject: { kind: 'vm', id: vm.id },
    source: 'host',
    fields: [...new Set(fields)],
    // The forecast for the first row was made one step before it.
    fromMs: fromMs - stepMs,
    toMs,
    resolution,
  });
  const grid = gridOf(fromMs, toMs, request.points ?? 600, resolution);
  const column = (name: string, shiftMs = 0): (number | null)[] => binned(result, name, grid, shiftMs);
  const highest = high.findLast(({ field }) => result.columns[field]?.some(Number.isFinite));
  return {
    vm: vm.id,
    resource,
    unit: view.unit,
    resolution,
    timesMs: grid.timesMs,
    usage:
      resource === 'memory' ? combine(column(MEMORY_USAGE[0]), column(MEMORY_USAGE[1]), -1) : sum(names.usage.map((name) => column(name))),
    demand: column(names.demand),
    allocation: names.allocation.map((name) => column(name)).reduce(firstKnown),
    forecastMedian: column(median, stepMs),
    forecastHigh: highest === undefined ? grid.timesMs.map(() => null) : column(highest.field, stepMs),
    forecastQuantile: highest?.quantile ?? null,
    stepMs: view.forecast?.stepMs ?? null,
  };
}

function forecastField(name: string, quantile: number): string {
  return `${name}/q${Number(quantile.toPrecision(6))}/h1`;
}

interface Grid {
  timesMs: number[];
  widthMs: number;
}

const RESOLUTION_MS: Readonly<Record<Resolution, number>> = { raw: 1000, '5m': 300_000, '1h': HOUR_MS };

function gridOf(fromMs: number, toMs: number, points: number, resolution: Resolution): Grid {
  const widthMs = Math.max(RESOLUTION_MS[resolution], Math.ceil((toMs - fromMs) / points));
  const startMs = Math.floor(fromMs / widthMs) * widthMs;
  const timesMs: number[] = [];
  for (let at = startMs; at < toMs; at += widthMs) timesMs.push(at);
  return { timesMs, widthMs };
}

/** Mean of the known values in each bin of the grid. */
function binned(result: SeriesResult, name: string, { timesMs, widthMs }: Grid, shiftMs: number): (number | null)[] {
  const sums = new Float64Array(timesMs.length);
  const counts = new Uint32Array(timesMs.length);
  const values = result.columns[name];
  const startMs = timesMs[0] ?? 0;
  for (let i = 0; values && i < result.timesMs.length; i++) {
    const bin = Math.floor((result.timesMs[i]! + shiftMs - startMs) / widthMs);
    if (bin < 0 || bin >= timesMs.length || !Number.isFinite(values[i])) continue;
    sums[bin]! += values[i]!;
    counts[bin]!++;
  }
  return timesMs.map((_, bin) => (counts[bin] === 0 ? null : sums[bin]! / counts[bin]!));
}

function sum(columns: (number | null)[][]): (number | null)[] {
  return columns.reduce((total, column) => combine(total, column, 1));
}

function combine(a: (number | null)[], b: (number | null)[], sign: 1 | -1): (number | null)[] {
  return a.map((value, i) => (value === null || b[i] == null ? null : value + sign * b[i]));
}

function firstKnown(a: (number | null)[], b: (number | null)[]): (number | null)[] {
  return a.map((value, i) => value ?? b[i] ?? null);
}
