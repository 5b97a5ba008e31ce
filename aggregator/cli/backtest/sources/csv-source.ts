/**
 * Traces out of one CSV with many VMs, as monitoring tools and spreadsheets export it: a row a VM and time, plain or gzip. Input:
 * the file, and which column is what; output: a source of traces. Rows may come in any order. Refuses with the line what it cannot read.
 */
import { parse } from 'csv-parse/sync';
import { errorText, HeadroomError } from '../../../../shared/errors.ts';
import type { BacktestResource } from '../../../core/backtest/trace.ts';
import { bothWays } from '../../../core/forecast/heard.ts';
import { timeOfText } from '../../time-text.ts';
import { textOf } from '../trace-file.ts';
import type { TraceSource } from '../trace-source.ts';
import { type Sample, traceOfSamples } from './bins.ts';

/** What a column can be, and the headings it is known by. */
const HEADINGS = {
  vm: ['vm', 'vm_name', 'name', 'host', 'hostname', 'instance', 'domain'],
  time: ['time', 'timestamp', 'date', 'datetime'],
  cpu: ['cpu_cores_used', 'cpu_cores', 'cpu'],
  'cpu-percent': ['cpu_percent', 'cpu_usage_percent', 'cpu %', 'cpu usage %'],
  'cpu-max': ['cpu_cores_used_max', 'cpu_max'],
  cpus: ['cpu_cores_alloc', 'cpus', 'vcpus', 'num_cpus'],
  memory: ['mem_mib_used', 'memory_mib', 'memory'],
  'memory-percent': ['memory_percent', 'mem_percent', 'memory %', 'memory usage %'],
  'memory-size': ['mem_mib_alloc', 'memory_size_mib', 'memory_size'],
  'network-in': ['net_rx_bps', 'network_in', 'netin'],
  'network-out': ['net_tx_bps', 'network_out', 'netout'],
  'disk-read': ['disk_read_bps', 'disk_read', 'diskread'],
  'disk-write': ['disk_write_bps', 'disk_write', 'diskwrite'],
} as const satisfies Record<string, readonly string[]>;
type Meaning = keyof typeof HEADINGS;
const MEANINGS = Object.keys(HEADINGS) as Meaning[];

type Row = Readonly<Record<BacktestResource, Sample>>;

/** `columns`: MEANING=HEADING, comma-separated, for headings that are not known. Throws USAGE on others. */
export function csvSource(file: string, columns: string): TraceSource {
  const told = toldColumns(columns);
  let rows: Map<string, Row[]> | null = null;
  return {
    place: file,
    async names() {
      try {
        rows = rowsOf(await textOf(file), told);
      } catch (error) {
        throw new HeadroomError('USAGE', `backtest: ${file}: ${errorText(error)}`, { cause: error });
      }
      return [...rows.keys()].sort();
    },
    async read(vm, resource) {
      const samples = (rows?.get(vm) ?? []).map((row) => row[resource]);
      return traceOfSamples(vm, samples, resource);
    },
    close: () => Promise.resolve(),
  };
}

function toldColumns(text: string): Partial<Record<Meaning, string>> {
  const told: Partial<Record<Meaning, string>> = {};
  for (const part of text.split(',').filter((one) => one !== '')) {
    const at = part.indexOf('=');
    const meaning = MEANINGS.find((one) => one === part.slice(0, at));
    if (meaning === undefined)
      throw new HeadroomError('USAGE', `backtest: --columns ${part}: MEANING=HEADING with one of ${MEANINGS.join(', ')}`);
    told[meaning] = part.slice(at + 1);
  }
  return told;
}

function rowsOf(text: string, told: Partial<Record<Meaning, string>>): Map<string, Row[]> {
  const [header = [], ...lines] = parse(text, { bom: true, skip_empty_lines: true, trim: true }) as string[][];
  const at = placesOf(header, told);
  if (at.vm < 0 || at.time < 0)
    throw new HeadroomError(
      'USAGE',
      `no column for ${at.vm < 0 ? 'vm' : 'time'} among ${header.join(', ').slice(0, 200)}; name it with --columns`,
    );
  const rows = new Map<string, Row[]>();
  lines.forEach((cells, i) => {
    const vm = cells[at.vm]!;
    const timeMs = timeOfText(cells[at.time]!);
    if (Number.isNaN(timeMs))
      throw wrong(i, `"${cells[at.time]!.slice(0, 40)}" is neither like 2014-04-01 00:05:00 nor seconds since 1970`);
    const number = (meaning: Meaning): number => numberOf(cells[at[meaning]] ?? '', meaning, i);
    const list = rows.get(vm) ?? [];
    if (list.length === 0) rows.set(vm, list);
    list.push(samplesOf(timeMs, number));
  });
  return rows;
}

function placesOf(header: readonly string[], told: Partial<Record<Meaning, string>>): Record<Meaning, number> {
  const lower = header.map((heading) => heading.toLowerCase());
  const place = (meaning: Meaning): number => {
    const named = told[meaning];
    if (named === undefined) return lower.findIndex((heading) => (HEADINGS[meaning] as readonly string[]).includes(heading));
    const found = header.indexOf(named);
    if (found < 0) throw new HeadroomError('USAGE', `--columns ${meaning}=${named}: it has ${header.join(', ').slice(0, 200)}`);
    return found;
  };
  return Object.fromEntries(MEANINGS.map((meaning) => [meaning, place(meaning)])) as Record<Meaning, number>;
}

/** Amounts, or shares of a size; shares without a size have a whole VM for unit. */
function samplesOf(timeMs: number, number: (meaning: Meaning) => number): Row {
  const of = (amount: number, percent: number, told: number): Sample => {
    const size = Number.isNaN(told) && !Number.isNaN(percent) ? 1 : told;
    return { timeMs, used: Number.isNaN(amount) ? (percent / 100) * size : amount, size };
  };
  const cpu = of(number('cpu'), number('cpu-percent'), number('cpus'));
  const memory = of(number('memory'), number('memory-percent'), number('memory-size'));
  const network = bothWays(number('network-in'), number('network-out'));
  const disk = bothWays(number('disk-read'), number('disk-write'));
  const heard = { cpu: cpu.used, memory: memory.used, network, disk };
  return {
    cpu: { ...cpu, heard },
    cpumax: { ...of(number('cpu-max'), Number.NaN, number('cpus')), heard },
    memory: { ...memory, heard },
  };
}

/** An empty cell is unknown. */
function numberOf(text: string, meaning: Meaning, row: number): number {
  if (text === '') return Number.NaN;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw wrong(row, `${meaning} is "${text.slice(0, 40)}", not a number of 0 or more`);
  return value;
}

/** Lines are counted from 1, the header being the first. */
function wrong(row: number, what: string): HeadroomError {
  return new HeadroomError('USAGE', `line ${row + 2}: ${what}`);
}
