/**
 * Traces out of Prometheus, or what speaks its HTTP API (VictoriaMetrics, Thanos, Mimir). Input: its address, how far back,
 * which VMs; output: a source of traces named by the VMs' label, in bins of five minutes. One VM is asked for at a time.
 */
import { HeadroomError } from '../../../../shared/errors.ts';
import type { Resource } from '../../../../shared/resources.ts';
import { RESOURCE_OF, type Trace } from '../../../core/backtest/trace.ts';
import { othersOf } from '../../../core/forecast/heard.ts';
import type { CliIo } from '../../command.ts';
import type { TraceSource } from '../trace-source.ts';
import { BIN_MS, othersAligned } from './bins.ts';
import { HistoryServer, type Parameters } from './history-server.ts';
import { PROMETHEUS_LAYOUTS, type PrometheusLayout } from './prometheus-layouts.ts';

/** Prometheus refuses more than 11,000 points a series. */
const POINTS_MAX = 10_000;
const METRICS =
  '{__name__=~"libvirt_domain_.+|pve_(cpu_usage|memory|network|disk)_.+|node_cpu_seconds_total|node_memory_Mem(Total|Available)_bytes|node_(network|disk)_.+_bytes_total"}';

export interface PrometheusPlace {
  url: string;
  days: number;
  /** PromQL label matchers that narrow every selector, such as job="libvirt"; empty = none. */
  match: string;
  /** A layout's name; null = the first whose metrics are there. */
  layout: string | null;
}

/** Throws USAGE on an address or a layout that is none. */
export function prometheusSource({ url, days, match, layout: wanted }: PrometheusPlace, io: CliIo): TraceSource {
  const server = new HistoryServer('Prometheus', url, io);
  if (wanted !== null && !PROMETHEUS_LAYOUTS.some(({ name }) => name === wanted)) {
    const names = PROMETHEUS_LAYOUTS.map(({ name }) => name).join(', ');
    throw new HeadroomError('USAGE', `backtest: --layout ${wanted}: Prometheus has ${names}`);
  }
  const toMs = Math.floor(io.clock.wallMs() / BIN_MS) * BIN_MS;
  const fromMs = toMs - days * 86_400_000;
  const span = { start: String(fromMs / 1000), end: String(toMs / 1000) };
  const told = new Set<string>();
  let metrics: ReadonlySet<string> = new Set();
  let layout: PrometheusLayout | undefined;
  return {
    place: server.place,
    async names() {
      metrics = new Set(await strings(server, '/api/v1/label/__name__/values', { 'match[]': METRICS, ...span }));
      layout = PROMETHEUS_LAYOUTS.find(({ name, metric }) => (wanted === null ? metrics.has(metric) : name === wanted));
      if (!layout) {
        const known = PROMETHEUS_LAYOUTS.map(({ metric }) => metric).join(', ');
        throw new HeadroomError('NOT_FOUND', `backtest: ${server.place} has none of ${known} in the last ${days} days`);
      }
      const { metric, matchers, label } = layout;
      const selector = `${metric}{${joined(matchers, match)}}`;
      return (await strings(server, `/api/v1/label/${label}/values`, { 'match[]': selector, ...span })).sort();
    },
    async read(vm, resource) {
      const { label, readings, traffic } = layout!;
      const possible = <R extends { metrics: readonly string[] }>(all: readonly R[]): R | undefined =>
        all.find((one) => one.metrics.every((metric) => metrics.has(metric)));
      const reading = possible(readings[resource]);
      if (!reading) return null;
      if (reading.note !== undefined && !told.has(reading.note)) io.err(`headroom: ${reading.note}\n`);
      told.add(reading.note ?? '');
      const selector = joined(`${label}="${vm.replace(/["\\]/g, '\\$&')}"`, match);
      const used = await range(server, reading.used(selector), fromMs, toMs);
      const size = await range(server, reading.size(selector), fromMs, toMs);
      const trace = traceOf(vm, used, size);
      if (trace === null) return null;
      const heard = new Map<Resource, ReadonlyMap<number, number>>();
      for (const other of othersOf(RESOURCE_OF[resource])) {
        const told = possible(other === 'cpu' || other === 'memory' ? readings[other] : traffic[other]);
        if (told) heard.set(other, await range(server, told.used(selector), fromMs, toMs));
      }
      return { ...trace, ...othersAligned(resource, trace, heard) };
    },
    close: () => Promise.resolve(),
  };
}

function joined(...matchers: string[]): string {
  return matchers.filter((one) => one !== '').join(',');
}

/** The bins known of one VM. USAGE when no size is. */
function traceOf(vm: string, used: ReadonlyMap<number, number>, size: ReadonlyMap<number, number>): Trace | null {
  if (used.size === 0) return null;
  const granted = [...size.values()].reduce((most, value) => Math.max(most, value), 0);
  if (granted <= 0) throw new HeadroomError('USAGE', "the VM's size is not recorded, and without it there is nothing to compare with");
  return { vm, stepMs: BIN_MS, timesMs: Float64Array.from(used.keys()), used: Float64Array.from(used.values()), granted };
}

/** What an expression says of each bin from `fromMs` on, by the bin's start. The value at a time tells of the bin that ends then. */
async function range(server: HistoryServer, query: string, fromMs: number, toMs: number): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  const path = '/api/v1/query_range';
  for (let startMs = fromMs + BIN_MS; startMs <= toMs; startMs += POINTS_MAX * BIN_MS) {
    const endMs = Math.min(toMs, startMs + (POINTS_MAX - 1) * BIN_MS);
    const parameters = { query, start: String(startMs / 1000), end: String(endMs / 1000), step: String(BIN_MS / 1000) };
    const data = await ask(server, path, parameters);
    for (const { values } of matrixOf(server, path, data)) {
      for (const [seconds, text] of values) {
        const value = Number(text);
        if (Number.isFinite(value) && value >= 0) found.set(Math.round(seconds * 1000) - BIN_MS, value);
      }
    }
  }
  return found;
}

function matrixOf(server: HistoryServer, path: string, data: unknown): { values: readonly [number, string][] }[] {
  const { resultType, result } = (data ?? {}) as { resultType?: unknown; result?: unknown };
  if (resultType !== 'matrix' || !Array.isArray(result)) throw server.unreadable(path, 'no matrix');
  // An aggregate without labels is one series.
  if (result.length > 1) throw server.unreadable(path, `${result.length} series instead of one`);
  return result as { values: readonly [number, string][] }[];
}

async function strings(server: HistoryServer, path: string, parameters: Parameters): Promise<string[]> {
  const data = await ask(server, path, parameters);
  if (!Array.isArray(data)) throw server.unreadable(path, 'no list');
  return data.map(String);
}

/** The `data` of a successful answer. */
async function ask(server: HistoryServer, path: string, parameters: Parameters): Promise<unknown> {
  const answer = (await (path.endsWith('query_range') ? server.post(path, parameters) : server.get(path, parameters))) as {
    status?: unknown;
    error?: unknown;
    data?: unknown;
  } | null;
  if (answer?.status !== 'success') throw server.unreadable(path, String(answer?.error ?? 'no success'));
  return answer.data;
}
