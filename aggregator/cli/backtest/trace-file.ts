/**
 * Trace files: one CSV a VM, plain or gzip, its name is the VM's. Input: a path and the resource; output: a trace, or null
 * when the file has no such series. Refuses with the number of the line what it cannot read: a wrong report is worse than none.
 */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { Resource } from '../../../shared/resources.ts';
import { type BacktestResource, othersFrom, type Trace } from '../../core/backtest/trace.ts';
import { bothWays } from '../../core/forecast/heard.ts';

/** A year of ten-second samples is 300 MB: more is not one VM's history. */
const BYTES_MAX = 512 * 1024 * 1024;
export const TRACE_FILE = /\.csv(\.gz)?$/;
const COLUMNS: Readonly<Record<BacktestResource, readonly [used: string, granted: string]>> = {
  cpu: ['cpu_cores_used', 'cpu_cores_alloc'],
  memory: ['mem_mib_used', 'mem_mib_alloc'],
  cpumax: ['cpu_cores_used_max', 'cpu_cores_alloc'],
};
/** What tells of each resource when another is read: one column, or both directions. */
const HEARD_COLUMNS: Readonly<Record<Resource, readonly string[]>> = {
  cpu: [COLUMNS.cpu[0]],
  memory: [COLUMNS.memory[0]],
  network: ['net_rx_Bps', 'net_tx_Bps'],
  disk: ['disk_read_Bps', 'disk_write_Bps'],
};

/** Throws USAGE for a file that cannot be read as a trace. */
export async function readTrace(path: string, resource: BacktestResource): Promise<Trace | null> {
  const vm = basename(path).replace(TRACE_FILE, '');
  return parseTrace(vm, await textOf(path), resource);
}

/** A whole file as text, gunzipped where its name says so. Throws USAGE when it cannot be read. */
export async function textOf(path: string): Promise<string> {
  try {
    const bytes = await readFile(path);
    const plain = path.endsWith('.gz') ? await promisify(gunzip)(bytes, { maxOutputLength: BYTES_MAX }) : bytes;
    return plain.toString('utf8');
  } catch (error) {
    throw new HeadroomError('USAGE', `it cannot be read: ${errorText(error)}`, { cause: error });
  }
}

export function parseTrace(vm: string, text: string, resource: BacktestResource): Trace | null {
  const lines = text.split(/\r?\n/);
  while (lines.length > 0 && lines.at(-1) === '') lines.pop();
  const header = (lines[0] ?? '').split(',');
  const [time, used, granted] = ['timestamp', ...COLUMNS[resource]].map((name) => columnOf(header, name)) as [number, number, number];
  const count = lines.length - 1;
  const heard = (other: Resource) => heardColumn(header, lines, HEARD_COLUMNS[other]);
  const others = othersFrom(resource, count, heard);
  const trace: Trace = { vm, stepMs: 0, timesMs: new Float64Array(count), used: new Float64Array(count), ...others, granted: Number.NaN };
  for (let i = 0; i < count; i++) {
    const cells = lines[i + 1]!.split(',');
    if (cells.length !== header.length) throw wrong(i, `it has ${cells.length} fields, the header has ${header.length}`);
    const seconds = numberOf(cells[time]!, i, 'timestamp');
    if (!(i === 0 || seconds * 1000 > trace.timesMs[i - 1]!)) throw wrong(i, `its time ${cells[time]} is not after the line before`);
    trace.timesMs[i] = seconds * 1000;
    trace.used[i] = cells[used] === '' ? Number.NaN : numberOf(cells[used]!, i, COLUMNS[resource][0]);
    const size = cells[granted] === '' ? Number.NaN : numberOf(cells[granted]!, i, COLUMNS[resource][1]);
    if (size > trace.granted || Number.isNaN(trace.granted)) trace.granted = size;
  }
  if (trace.used.every(Number.isNaN)) return null;
  if (!(trace.granted > 0)) throw new HeadroomError('USAGE', `${COLUMNS[resource][1]} is nowhere above zero: the size of the VM is needed`);
  trace.stepMs = usualStep(trace.timesMs);
  return trace;
}

function columnOf(header: readonly string[], name: string): number {
  const at = header.indexOf(name);
  if (at < 0) throw new HeadroomError('USAGE', `its first line names no column ${name}`);
  return at;
}

/** Of one column, or of both directions together; null = it is not there. What is not a number is unknown: only the resource itself has to be right. */
function heardColumn(header: readonly string[], lines: readonly string[], names: readonly string[]): Float64Array | null {
  const places = names.map((name) => header.indexOf(name));
  if (places.includes(-1)) return null;
  return Float64Array.from({ length: lines.length - 1 }, (_, i) => {
    const cells = lines[i + 1]!.split(',');
    return places.map((place) => numberOrUnknown(cells[place])).reduce(bothWays);
  });
}

function numberOrUnknown(text: string | undefined): number {
  return text === undefined || text.trim() === '' ? Number.NaN : Number(text);
}

function numberOf(text: string, row: number, name: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw wrong(row, `${name} is "${text.slice(0, 40)}", not a number of 0 or more`);
  return value;
}

/** Lines are counted from 1, the header being the first. */
function wrong(row: number, what: string): HeadroomError {
  return new HeadroomError('USAGE', `line ${row + 2}: ${what}`);
}

/** The distance that occurs most; gaps are longer. */
function usualStep(timesMs: Float64Array): number {
  const counts = new Map<number, number>();
  for (let i = 1; i < timesMs.length; i++) {
    const step = timesMs[i]! - timesMs[i - 1]!;
    counts.set(step, (counts.get(step) ?? 0) + 1);
  }
  const [step] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [];
  if (step === undefined) throw new HeadroomError('USAGE', 'it has fewer than two samples');
  return step;
}
