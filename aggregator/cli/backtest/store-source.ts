/**
 * Traces out of a series store: each VM's demand in bins of five minutes, as the aggregator estimated it, or its use where it
 * was not estimated. Input: the aggregator's configuration file, or its data directory; output: a source of traces named by
 * the VMs' UUIDs. Reads only. An embedded store belongs to one process: it is read while its aggregator is stopped, or from a copy.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import { createPrng } from '../../../shared/prng.ts';
import type { Resource } from '../../../shared/resources.ts';
import { parseFlags, resolveConfig } from '../../config.ts';
import { type BacktestResource, othersFrom, type Trace } from '../../core/backtest/trace.ts';
import { demandField } from '../../core/state/series-rows.ts';
import { openSeriesStore } from '../../open-series-store.ts';
import type { SeriesStore } from '../../store/series-store.ts';
import type { TraceSource } from './trace-source.ts';

const BIN_MS = 300_000;
/** As far back as is looked: stores keep bins of five minutes for a year or less. */
const HISTORY_MS = 400 * 86_400_000;

interface Fields {
  /** The first that is known in a bin is used. */
  used: readonly string[];
  /** The largest ever seen of the first that is known at all is the VM's size. */
  size: readonly string[];
}

const FIELDS: Readonly<Record<BacktestResource, Fields>> = {
  cpu: { used: ['vm_cpu.demandCores', 'vm_cpu.usageCores'], size: ['vm_cpu.vcpusOnline:max', 'vm_allocation.cpuCores:max'] },
  cpumax: { used: ['vm_cpu.usageCores:max'], size: ['vm_cpu.vcpusOnline:max', 'vm_allocation.cpuCores:max'] },
  memory: { used: ['vm_memory.demandMiB'], size: ['vm_memory.balloonMiB:max', 'vm_allocation.memoryMiB:max'] },
};

/** What is heard of each when another is read: demand, as live forecasts hear it, or use where it was not estimated. */
const HEARD: Readonly<Record<Resource, readonly string[]>> = {
  cpu: FIELDS.cpu.used,
  memory: FIELDS.memory.used,
  network: [demandField('network')],
  disk: [demandField('disk')],
};

/** `place`: a configuration file, or a data directory. NOT_FOUND, CONFIG_INVALID, STORE_UNAVAILABLE. */
export async function storeSource(place: string, clock: Clock, onReport: (message: string) => void): Promise<TraceSource> {
  if (!existsSync(place)) throw new HeadroomError('NOT_FOUND', `backtest: ${place} is neither a configuration file nor a data directory`);
  const directory = statSync(place).isDirectory();
  const config = directory
    ? { ...resolveConfig(null, parseFlags([])), dataDir: place }
    : resolveConfig(readFileSync(place, 'utf8'), parseFlags([]));
  // Opening would make an empty store where there is none.
  if (config.store.kind === 'sqlite' && !existsSync(join(config.dataDir, 'series')))
    throw new HeadroomError('NOT_FOUND', `backtest: ${config.dataDir} holds no series; name the aggregator's dataDir or its configuration`);
  const store = await openSeriesStore({ config, clock, prng: createPrng(config.seed), onReport });
  return tracesOf(store, place, clock.wallMs());
}

export function tracesOf(store: SeriesStore, place: string, nowMs: number): TraceSource {
  return {
    place,
    async names() {
      const vms = (await store.subjects()).filter(({ subject, source }) => subject.kind === 'vm' && source === 'host');
      return vms.map(({ subject }) => subject.id).sort();
    },
    async read(vm, resource) {
      const { used, size } = FIELDS[resource];
      const { timesMs, columns } = await store.query({
        subject: { kind: 'vm', id: vm },
        source: 'host',
        fields: [...new Set([...used, ...size, ...Object.values(HEARD).flat()])],
        fromMs: nowMs - HISTORY_MS,
        // The newest bin may still be filling.
        toMs: Math.floor(nowMs / BIN_MS) * BIN_MS,
        resolution: '5m',
      });
      const seriesOf = (fields: readonly string[]): Float64Array => firstKnown(fields.map((field) => columns[field]!));
      const trace = traceOf(
        vm,
        timesMs,
        seriesOf(used),
        size.map((field) => columns[field]!),
      );
      return trace && { ...trace, ...othersFrom(resource, timesMs.length, (other) => seriesOf(HEARD[other])) };
    },
    close: () => store.close(),
  };
}

/** In each bin the first of them that is known. */
function firstKnown(columns: readonly Float64Array[]): Float64Array {
  return columns[0]!.map((_, i) => columns.find((column) => !Number.isNaN(column[i]!))?.[i] ?? Number.NaN);
}

function traceOf(vm: string, timesMs: Float64Array, used: Float64Array, size: readonly Float64Array[]): Trace | null {
  if (used.every(Number.isNaN)) return null;
  const largest = size.map((column) => column.reduce((most, value) => (Number.isNaN(value) ? most : Math.max(most, value)), 0));
  const granted = largest.find((value) => value > 0);
  if (granted === undefined)
    throw new HeadroomError('USAGE', "the VM's size is not in the store, and without it there is nothing to compare with");
  return { vm, stepMs: BIN_MS, timesMs, used, granted };
}
