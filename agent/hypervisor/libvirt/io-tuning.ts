/**
 * Network and disk: libvirt's interface and block I/O limits ↔ one limit over all interfaces and one over all disks. A
 * limit is shared out equally, exactly (the parts add up to the whole); read back, the parts are added up, and a VM with
 * one unlimited part has no limit. Interface limits are whole KiB/s; disks of one throttle group share that group's part.
 */
import type { DiskSetting, NetworkSetting } from '../../../shared/resources.ts';
import { numberOf, type Params, type TypedParam } from './typed-params.ts';

const BYTES_PER_KIB = 1024;
const BURST_SECONDS_DEFAULT = 1;
const WAYS = ['total', 'read', 'write'] as const;

/** Equal whole parts of a whole number, largest first. */
export function shareOut(total: number, parts: number): number[] {
  const each = Math.floor(total / parts);
  const left = total - each * parts;
  return Array.from({ length: parts }, (_, i) => each + (i < left ? 1 : 0));
}

function addUp(limits: (number | null)[]): number | null {
  if (limits.length === 0) return null;
  let sum = 0;
  for (const limit of limits) {
    if (limit === null) return null;
    sum += limit;
  }
  return sum;
}

const limitOf = (value: number | undefined): number | null => (value === undefined || value <= 0 ? null : value);

export function networkSettingOf(interfaces: readonly Params[]): NetworkSetting {
  const of = (name: string): number | null => {
    const sum = addUp(interfaces.map((params) => limitOf(numberOf(params, name))));
    return sum === null ? null : sum * BYTES_PER_KIB;
  };
  return { resource: 'network', inboundBytesPerSecond: of('inbound.average'), outboundBytesPerSecond: of('outbound.average') };
}

/** Parameters for each interface, given what is in force; peak and burst go, so that the limit is what it says. */
export function networkParams(setting: NetworkSetting, current: readonly Params[]): TypedParam[][] {
  const kib = (bytes: number | null): number[] =>
    bytes === null ? current.map(() => 0) : shareOut(Math.floor(bytes / BYTES_PER_KIB), current.length).map((part) => Math.max(1, part));
  const inbound = kib(setting.inboundBytesPerSecond);
  const outbound = kib(setting.outboundBytesPerSecond);
  return current.map((params, i) => [...direction('inbound', inbound[i] ?? 0, params), ...direction('outbound', outbound[i] ?? 0, params)]);
}

function direction(name: 'inbound' | 'outbound', averageKib: number, current: Params): TypedParam[] {
  if ((numberOf(current, `${name}.average`) ?? 0) === averageKib) return [];
  const params = [uint(`${name}.average`, averageKib), uint(`${name}.peak`, 0), uint(`${name}.burst`, 0)];
  const floor = numberOf(current, 'inbound.floor') ?? 0;
  return name === 'inbound' && floor > 0 && averageKib > 0 ? [...params, uint('inbound.floor', floor)] : params;
}

const uint = (name: string, value: number): TypedParam => ({ name, type: 'uint', value });
const ullong = (name: string, value: number): TypedParam => ({ name, type: 'ullong', value });

/** All numbers of an interface as they were. */
export function networkRestoreParams(recorded: Params, current: Params): TypedParam[] {
  const names = Object.keys(recorded).filter((name) => typeof recorded[name] === 'number');
  if (names.every((name) => recorded[name] === current[name])) return [];
  return names.filter((name) => name !== 'inbound.floor' || recorded[name] !== 0).map((name) => uint(name, Number(recorded[name])));
}

/** Bytes or I/O per second of one disk: the total, or read and write together; null when either way is open. */
function diskLimit(params: Params, what: 'bytes' | 'iops'): number | null {
  const total = limitOf(numberOf(params, `total_${what}_sec`));
  if (total !== null) return total;
  return addUp([limitOf(numberOf(params, `read_${what}_sec`)), limitOf(numberOf(params, `write_${what}_sec`))]);
}

/** `groups`: one member of each throttle group (disks without a group are their own). */
export function diskSettingOf(groups: readonly Params[]): DiskSetting {
  return {
    resource: 'disk',
    bytesPerSecond: addUp(groups.map((params) => diskLimit(params, 'bytes'))),
    iops: addUp(groups.map((params) => diskLimit(params, 'iops'))),
  };
}

/**
 * Parameters for each group, given what is in force. Limits by direction and bursts are cleared, else the total would not
 * be accepted, or not be what it says.
 */
export function diskParams(setting: DiskSetting, current: readonly Params[]): TypedParam[][] {
  const parts = (limit: number | null): number[] =>
    limit === null ? current.map(() => 0) : shareOut(Math.floor(limit), current.length).map((part) => Math.max(1, part));
  const bytes = parts(setting.bytesPerSecond);
  const iops = parts(setting.iops);
  return current.map((params, i) => [...diskLimitParams('bytes', bytes[i] ?? 0, params), ...diskLimitParams('iops', iops[i] ?? 0, params)]);
}

function diskLimitParams(what: 'bytes' | 'iops', limit: number, current: Params): TypedParam[] {
  const of = (name: string): number => numberOf(current, name) ?? 0;
  const bursts = WAYS.map((way) => `${way}_${what}_sec_max`).filter((name) => of(name) !== 0);
  const names = WAYS.map((way) => `${way}_${what}_sec`);
  const wanted = (name: string): number => (name === `total_${what}_sec` ? limit : 0);
  if (bursts.length === 0 && names.every((name) => of(name) === wanted(name))) return [];
  // libvirt keeps what it is not told of within a family, except when any of the family is told: name them all.
  return [...names, ...bursts].map((name) => ullong(name, wanted(name)));
}

/**
 * All numbers of a disk as they were. Bursts only where there is or was one, their lengths only where there will be one:
 * else libvirt refuses them.
 */
export function diskRestoreParams(recorded: Params, current: Params): TypedParam[] {
  const names = Object.keys(recorded).filter((name) => typeof recorded[name] === 'number');
  if (names.every((name) => recorded[name] === current[name])) return [];
  return names
    .filter((name) => !name.endsWith('_max') || recorded[name] !== 0 || (numberOf(current, name) ?? 0) !== 0)
    .filter((name) => !name.endsWith('_max_length') || needsLength(name, recorded, current))
    .map((name) => ullong(name, Number(recorded[name])));
}

/** A burst lasts one second unless told otherwise; told, it stays in the definition, so the default is not. */
function needsLength(name: string, recorded: Params, current: Params): boolean {
  const burst = name.slice(0, -'_length'.length);
  if (recorded[burst] === 0) return false;
  return recorded[name] !== BURST_SECONDS_DEFAULT || (numberOf(current, burst) !== 0 && current[name] !== BURST_SECONDS_DEFAULT);
}

/** What still differs, in words. */
export function differences(where: string, recorded: Params, current: Params): string[] {
  return Object.keys(recorded)
    .filter((name) => typeof recorded[name] === 'number' && recorded[name] !== current[name])
    .map((name) => `${where} ${name} is ${current[name]} instead of ${recorded[name]}`);
}
