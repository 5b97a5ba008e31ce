/**
 * Traces out of Proxmox' own records (RRD), through its API or from files that hold its answers. Input: an address, or a
 * directory with one JSON a VM (`pvesh get /nodes/NODE/qemu/VMID/rrddata --timeframe month --output-format json`); output: a source of
 * traces. Proxmox keeps a month in means of half an hour (version 9) or of twelve (before): the report says what that hides.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../../../shared/errors.ts';
import type { BacktestResource, Trace } from '../../../core/backtest/trace.ts';
import { bothWays } from '../../../core/forecast/heard.ts';
import type { CliIo } from '../../command.ts';
import type { TraceSource } from '../trace-source.ts';
import { type Sample, traceOfSamples } from './bins.ts';
import { HistoryServer } from './history-server.ts';

const FILE = /\.json$/;
/** Two weeks are needed, and the next finer record holds one. */
const TIMEFRAME = 'month';
const BYTES_PER_MIB = 1024 * 1024;

/** What an RRD row holds; a cell not known is left out or null. `cpu` is a share of `maxcpu`; traffic is bytes a second. */
interface RrdRow {
  time?: unknown;
  cpu?: unknown;
  maxcpu?: unknown;
  mem?: unknown;
  maxmem?: unknown;
  netin?: unknown;
  netout?: unknown;
  diskread?: unknown;
  diskwrite?: unknown;
}

interface Vm {
  name: string;
  node: string;
  vmid: number;
}

/** `place`: an address such as https://pve.example:8006, or a directory. */
export function proxmoxSource(place: string, io: CliIo): TraceSource {
  return /^https?:/.test(place) ? serverSource(new HistoryServer('Proxmox', place, io)) : filesSource(place);
}

function serverSource(server: HistoryServer): TraceSource {
  const vms = new Map<string, Vm>();
  return {
    place: server.place,
    async names() {
      const path = '/api2/json/cluster/resources';
      const rows = rowsOf(await server.get(path, { type: 'vm' }));
      if (rows === null) throw server.unreadable(path, 'no list of VMs');
      for (const row of rows as { type?: unknown; template?: unknown; name?: unknown; node?: unknown; vmid?: unknown }[]) {
        if (row.type !== 'qemu' || row.template === 1 || typeof row.vmid !== 'number' || typeof row.node !== 'string') continue;
        // Names may repeat, numbers do not.
        vms.set(`${row.vmid}-${typeof row.name === 'string' ? row.name : 'vm'}`, {
          name: String(row.name),
          node: row.node,
          vmid: row.vmid,
        });
      }
      return [...vms.keys()].sort();
    },
    async read(name, resource) {
      const { node, vmid } = vms.get(name)!;
      const path = `/api2/json/nodes/${encodeURIComponent(node)}/qemu/${vmid}/rrddata`;
      const rows = rowsOf(await server.get(path, { timeframe: TIMEFRAME, cf: resource === 'cpu' ? 'AVERAGE' : 'MAX' }));
      if (rows === null) throw server.unreadable(path, 'no rows');
      return traceOf(name, rows, resource);
    },
    close: () => Promise.resolve(),
  };
}

function filesSource(directory: string): TraceSource {
  return {
    place: directory,
    async names() {
      try {
        return (await readdir(directory)).filter((file) => FILE.test(file)).sort();
      } catch (error) {
        throw new HeadroomError('NOT_FOUND', `backtest: ${directory} cannot be read: ${errorText(error)}`, { cause: error });
      }
    },
    async read(file, resource) {
      const rows = rowsOf(await jsonOf(join(directory, file)));
      if (rows === null) throw new HeadroomError('USAGE', 'it holds no list of RRD rows');
      return traceOf(file.replace(FILE, ''), rows, resource);
    },
    close: () => Promise.resolve(),
  };
}

async function jsonOf(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new HeadroomError('USAGE', `it cannot be read: ${errorText(error)}`, { cause: error });
  }
}

/** The API wraps its answers in `data`, pvesh does not. */
function rowsOf(answer: unknown): RrdRow[] | null {
  const rows = Array.isArray(answer) ? answer : (answer as { data?: unknown } | null)?.data;
  return Array.isArray(rows) ? (rows as RrdRow[]) : null;
}

function traceOf(vm: string, rows: readonly RrdRow[], resource: BacktestResource): Trace | null {
  const samples: Sample[] = [];
  for (const row of rows) {
    if (typeof row.time !== 'number') throw new HeadroomError('USAGE', 'a row of its RRD has no time');
    const [share, cpus, bytes, bytesMax] = [row.cpu, row.maxcpu, row.mem, row.maxmem].map(numberOf) as [number, number, number, number];
    const [used, size] = resource === 'memory' ? [bytes / BYTES_PER_MIB, bytesMax / BYTES_PER_MIB] : [share * cpus, cpus];
    const network = bothWays(numberOf(row.netin), numberOf(row.netout));
    const disk = bothWays(numberOf(row.diskread), numberOf(row.diskwrite));
    samples.push({ timeMs: row.time * 1000, used, size, heard: { cpu: share * cpus, memory: bytes / BYTES_PER_MIB, network, disk } });
  }
  return traceOfSamples(vm, samples, resource);
}

const numberOf = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : Number.NaN);
