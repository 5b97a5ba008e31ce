/**
 * A series store over made data: every query is answered from functions of time, so there is nothing to fill and nothing to
 * age. Input: queries; output: one row a second for telemetry, one row a step for what the aggregator adds. Read-only.
 */
import type { Resolution, SeriesQuery, SeriesResult, SeriesStore } from '../../aggregator/store/series-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { Resource } from '../../shared/resources.ts';
import { allocation, expectedDemand, MADE_VMS, type MadeVm, STEP_MS, stepDemand, usage } from './made-fleet.ts';

const MS: Readonly<Record<Resolution, number>> = { raw: 1000, '5m': 300_000, '1h': 3_600_000 };
/** Far more rows than any chart asks for; keeps a test from filling memory by mistake. */
const ROWS_MAX = 200_000;

type Field = { periodMs: number; at: (vm: MadeVm, timeMs: number) => number | null };

const everySecond = (at: Field['at']): Field => ({ periodMs: 1000, at });
const everyStep = (at: Field['at']): Field => ({ periodMs: STEP_MS, at });
const NAMES: Readonly<Record<Resource, string>> = {
  cpu: 'cpuCores',
  memory: 'memoryMiB',
  network: 'networkBytesPerSecond',
  disk: 'diskBytesPerSecond',
};

const FIELDS = new Map<string, Field>([
  ['vm_cpu.usageCores', everySecond((vm, t) => usage(vm, 'cpu', t))],
  ['vm_cpu.capCores', everySecond((vm, t) => allocation(vm, 'cpu', t))],
  ['vm_cpu.demandCores', everyStep((vm, t) => expectedDemand(vm, 'cpu', t))],
  ['vm_memory.balloonMiB', everySecond((vm, t) => allocation(vm, 'memory', t))],
  ['vm_memory.targetMiB', everySecond((vm, t) => allocation(vm, 'memory', t))],
  ['vm_memory.availableMiB', everySecond((vm, t) => (allocation(vm, 'memory', t) ?? 0) - usage(vm, 'memory', t))],
  ['vm_memory.demandMiB', everyStep((vm, t) => expectedDemand(vm, 'memory', t))],
  ['vm_network.receiveBytesPerSecond', everySecond((vm, t) => usage(vm, 'network', t) * 0.4)],
  ['vm_network.transmitBytesPerSecond', everySecond((vm, t) => usage(vm, 'network', t) * 0.6)],
  ['vm_disk.readBytesPerSecond', everySecond((vm, t) => usage(vm, 'disk', t) * 0.7)],
  ['vm_disk.writeBytesPerSecond', everySecond((vm, t) => usage(vm, 'disk', t) * 0.3)],
  ...(Object.entries(NAMES) as [Resource, string][]).flatMap(([resource, name]): [string, Field][] => [
    [`vm_allocation.${name}`, everyStep((vm, t) => allocation(vm, resource, t))],
    [`vm_forecast.${name}/q0.5/h1`, everyStep((vm, t) => stepDemand(vm, resource, t + STEP_MS))],
    [`vm_forecast.${name}/q0.95/h1`, everyStep((vm, t) => stepDemand(vm, resource, t + STEP_MS) * 1.15)],
  ]),
]);

/** Data exists from `sinceMs` on: earlier rows are unknown, as after a first start. */
export function madeSeries(nowMs: () => number, sinceMs: number): SeriesStore {
  const query = async (
    asked: Omit<SeriesQuery, 'subject' | 'source'> & { vm: MadeVm | undefined; source: string },
  ): Promise<SeriesResult> => {
    const { vm, fields, resolution, source } = asked;
    const known = source === 'host' ? fields.map((name) => FIELDS.get(name)) : fields.map(() => undefined);
    const stepMs = Math.min(...known.map((field) => field?.periodMs ?? MS.raw));
    const fromMs = Math.ceil(Math.max(asked.fromMs, sinceMs) / stepMs) * stepMs;
    const toMs = Math.min(asked.toMs, nowMs());
    if ((toMs - fromMs) / stepMs > ROWS_MAX) throw new HeadroomError('USAGE', 'made data: ask for less');
    const timesMs: number[] = [];
    const rows: (number | null)[][] = [];
    for (let at = fromMs; vm !== undefined && vm.state === 'ready' && at < toMs; at += stepMs) {
      const row = known.map((field) => (field !== undefined && at % field.periodMs === 0 ? field.at(vm, at) : null));
      if (row.every((value) => value === null)) continue;
      timesMs.push(at);
      rows.push(row);
    }
    const raw = { timesMs, rows };
    const { timesMs: times, rows: shown } = resolution === 'raw' ? raw : means(raw, MS[resolution]);
    return {
      timesMs: Float64Array.from(times),
      columns: Object.fromEntries(fields.map((name, i) => [name, Float64Array.from(shown, (row) => row[i] ?? Number.NaN)])),
    };
  };
  const vmOf = (id: string): MadeVm | undefined => MADE_VMS.find((vm) => vm.id === id);
  return {
    query: ({ subject, ...rest }) => query({ ...rest, vm: vmOf(subject.id) }),
    queryMany: ({ subjects, ...rest }) => Promise.all(subjects.map((subject) => query({ ...rest, vm: vmOf(subject.id) }))),
    append: () => Promise.reject(new HeadroomError('STORE_UNAVAILABLE', 'made data is read-only')),
    last: () => Promise.resolve([]),
    subjects: () => Promise.resolve(MADE_VMS.map(({ id }) => ({ subject: { kind: 'vm' as const, id }, source: 'host' as const }))),
    maintain: () => Promise.resolve(),
    status: () => Promise.resolve({ kind: 'made', bytes: 0, rawFromMs: sinceMs, dropped: {}, problems: [] }),
    close: () => Promise.resolve(),
  };
}

type Rows = { timesMs: number[]; rows: (number | null)[][] };

function means({ timesMs, rows }: Rows, widthMs: number): Rows {
  const bins = new Map<number, (number | null)[][]>();
  for (const [i, at] of timesMs.entries()) {
    const start = Math.floor(at / widthMs) * widthMs;
    bins.set(start, [...(bins.get(start) ?? []), rows[i]!]);
  }
  const mean = (values: (number | null)[]): number | null => {
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  };
  return {
    timesMs: [...bins.keys()],
    rows: [...bins.values()].map((members) => (members[0] ?? []).map((_, column) => mean(members.map((row) => row[column] ?? null)))),
  };
}
