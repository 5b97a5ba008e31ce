/**
 * Traces out of InfluxDB (1.6 and later, through InfluxQL's /query), as Telegraf or Proxmox write there. Input: its address and
 * database, how far back; output: a source of traces named by the VMs' tag, in bins of five minutes. One VM is asked for at a time.
 */
import { HeadroomError } from '../../../../shared/errors.ts';
import type { Resource } from '../../../../shared/resources.ts';
import { RESOURCE_OF, type Trace } from '../../../core/backtest/trace.ts';
import { othersOf } from '../../../core/forecast/heard.ts';
import { type InfluxSeries, quoteName, quoteText, readResults, timeWithin } from '../../../store/influx/influxql.ts';
import type { CliIo } from '../../command.ts';
import type { TraceSource } from '../trace-source.ts';
import { BIN_MS, othersAligned } from './bins.ts';
import { HistoryServer } from './history-server.ts';
import { type Column, INFLUX_LAYOUTS, type InfluxLayout, type Reading } from './influx-layouts.ts';

export interface InfluxPlace {
  url: string;
  database: string;
  days: number;
  /** A layout's name; null = the first whose measurements list VMs. */
  layout: string | null;
}

/** Throws USAGE on an address or a layout that is none. */
export function influxSource({ url, database, days, layout: wanted }: InfluxPlace, io: CliIo): TraceSource {
  const server = new HistoryServer('InfluxDB', url, io);
  const layouts = INFLUX_LAYOUTS.filter(({ name }) => wanted === null || name === wanted);
  if (layouts.length === 0) {
    const names = INFLUX_LAYOUTS.map(({ name }) => name).join(', ');
    throw new HeadroomError('USAGE', `backtest: --layout ${wanted}: InfluxDB has ${names}`);
  }
  const toMs = Math.floor(io.clock.wallMs() / BIN_MS) * BIN_MS;
  const within = timeWithin(toMs - days * 86_400_000, toMs);
  const query = async (statements: readonly string[]): Promise<readonly InfluxSeries[][]> => {
    const answer = await server.post('/query', { db: database, epoch: 'ms', q: statements.join('; ') });
    const results = asResults(server, answer);
    const failed = results.find(({ error }) => error !== null);
    if (failed) throw new HeadroomError('UNAVAILABLE', `backtest: InfluxDB at ${server.place} refused a query: ${failed.error}`);
    return statements.map((_, i) => [...(results.find(({ statement }) => statement === i)?.series ?? [])]);
  };
  let layout: InfluxLayout | undefined;
  return {
    place: `${server.place}, database ${database}`,
    async names() {
      for (const one of layouts) {
        const from = quoteName(one.measurement);
        const where = one.where === undefined ? '' : ` WHERE ${one.where}`;
        const [series] = await query([`SHOW TAG VALUES FROM ${from} WITH KEY = ${quoteName(one.tag)}${where}`]);
        const names = series!.flatMap(({ columns, values }) => values.map((row) => String(row[columns.indexOf('value')])));
        if (names.length === 0) continue;
        layout = one;
        return [...new Set(names)].sort();
      }
      const known = layouts.map(({ measurement, tag }) => `${measurement} by ${tag}`).join(', ');
      throw new HeadroomError('NOT_FOUND', `backtest: database ${database} at ${server.place} holds none of ${known}`);
    },
    async read(vm, resource) {
      const { tag, readings, traffic } = layout!;
      const reading = readings[resource];
      if (!reading) return null;
      const ofVm = `${quoteName(tag)} = ${quoteText(vm)}`;
      const binned = async (columns: readonly Column[]): Promise<Bins[]> =>
        (await query(columns.map((column) => statementOf(column, ofVm, within)))).map(binsOf);
      const own = await binned(reading.columns);
      if (own[0]!.size === 0) return null;
      const trace = traceOf(vm, gathered(own, reading));
      const heard = new Map<Resource, Bins>();
      for (const other of othersOf(RESOURCE_OF[resource])) {
        const told = other === 'cpu' || other === 'memory' ? readings[other] : trafficReading(traffic[other]);
        if (told) heard.set(other, new Map(gathered(await binned(told.columns), told).map(({ timeMs, used }) => [timeMs, used])));
      }
      return { ...trace, ...othersAligned(resource, trace, heard) };
    },
    close: () => Promise.resolve(),
  };
}

function asResults(server: HistoryServer, answer: unknown): ReturnType<typeof readResults> {
  try {
    return readResults(answer);
  } catch (error) {
    throw server.unreadable('/query', error);
  }
}

/** A counter that starts anew is no growth: such a difference is left out. */
function statementOf({ measurement, field, where, gather, counter, each }: Column, ofVm: string, within: string): string {
  const amount = [field].flat().map(quoteName).join(' + ');
  const from = `FROM ${quoteName(measurement)} WHERE ${where === undefined ? '' : `${where} AND `}${ofVm} AND ${within}`;
  const every = `GROUP BY time(${BIN_MS}ms) fill(none)`;
  if (!counter) return `SELECT ${gather}(${amount}) ${from} ${every}`;
  const apart = each === undefined ? '' : ` GROUP BY ${quoteName(each)}`;
  const count = `SELECT ${amount} AS "count" ${from}${apart}`;
  const growth = `SELECT non_negative_derivative("count", 1s) AS "growth" FROM (${count}) WHERE ${within}${apart}`;
  if (each === undefined) return `SELECT ${gather}("growth") FROM (${growth}) WHERE ${within} ${every}`;
  const binned = `GROUP BY time(${BIN_MS}ms), ${quoteName(each)} fill(none)`;
  return `SELECT sum("growth") FROM (SELECT ${gather}("growth") AS "growth" FROM (${growth}) WHERE ${within} ${binned}) WHERE ${within} ${every}`;
}

type Bins = ReadonlyMap<number, number>;

function binsOf(series: readonly InfluxSeries[]): Bins {
  const bins = new Map<number, number>();
  for (const { values } of series) {
    for (const [time, value] of values) if (typeof time === 'number' && typeof value === 'number') bins.set(time, value);
  }
  return bins;
}

/** One column, the use itself: its size does not matter. */
function trafficReading(column: Column | undefined): Reading | null {
  return column === undefined ? null : { columns: [column], used: ([rate]) => rate!, size: () => 0 };
}

interface Gathered {
  timeMs: number;
  used: number;
  size: number;
}

/** Bins of which all is known. Sizes change seldom and may come seldom: the newest known one stands. */
function gathered([first, ...rest]: readonly Bins[], { used, size }: Pick<Reading, 'used' | 'size'>): Gathered[] {
  const newest = rest.map((column) => column.values().next().value ?? Number.NaN);
  const bins: Gathered[] = [];
  for (const [timeMs, value] of first!) {
    rest.forEach((column, i) => {
      newest[i] = column.get(timeMs) ?? newest[i]!;
    });
    const values = [value, ...newest];
    if (!values.some(Number.isNaN)) bins.push({ timeMs, used: used(values), size: size(values) });
  }
  return bins;
}

function traceOf(vm: string, bins: readonly Gathered[]): Trace {
  const granted = bins.reduce((most, { size }) => Math.max(most, size), 0);
  if (granted <= 0) throw new HeadroomError('USAGE', "the VM's size is not recorded, and without it there is nothing to compare with");
  const timesMs = Float64Array.from(bins, ({ timeMs }) => timeMs);
  return { vm, stepMs: BIN_MS, timesMs, used: Float64Array.from(bins, ({ used }) => used), granted };
}
