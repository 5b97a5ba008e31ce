/**
 * Is this JSON a journal record? Input: anything parsed from disk or from a domain's metadata; output: the record, or a
 * message saying what is wrong with it. A record is what restore acts on: half a record is no record. Pure.
 */
import { UUID_SOURCE } from '../../shared/ids.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { isIsolation } from './isolation.ts';
import type { VmRecord } from './journal.ts';

export type RecordCheck = { ok: true; record: VmRecord } | { ok: false; problem: string };

const UUID = new RegExp(`^${UUID_SOURCE}$`);
const PER_RESOURCE = ['entries', 'pairs', 'holds', 'reversals', 'adopted'] as const;

export function checkRecord(text: string): RecordCheck {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { ok: false, problem: 'it is not JSON' };
  }
  const problem = recordProblem(parsed);
  return problem === null ? { ok: true, record: parsed as VmRecord } : { ok: false, problem };
}

function recordProblem(record: unknown): string | null {
  if (!isObject(record)) return 'it is not an object';
  if (record.version !== 1) return `version ${JSON.stringify(record.version)} is not 1`;
  if (typeof record.vm !== 'string' || !UUID.test(record.vm)) return `vm ${JSON.stringify(record.vm)} is not a UUID`;
  if (typeof record.name !== 'string') return 'it has no name';
  if (!numberOrNull(record.processId) || !numberOrNull(record.statsPeriodSecondsBefore)) return 'a number is missing';
  if (record.isolation !== undefined && !isIsolation(record.isolation)) return 'isolation is malformed';
  for (const key of PER_RESOURCE) {
    const map = record[key];
    if (!isObject(map)) return `${key} is not an object`;
    for (const [resource, value] of Object.entries(map)) {
      if (!(RESOURCES as readonly string[]).includes(resource)) return `${key} names an unknown resource ${resource}`;
      if (!valueFits(key, resource as Resource, value)) return `${key}.${resource} is malformed`;
    }
  }
  return null;
}

function valueFits(key: (typeof PER_RESOURCE)[number], resource: Resource, value: unknown): boolean {
  if (key === 'reversals') return typeof value === 'number';
  if (!isObject(value)) return false;
  if (key === 'pairs') return typeof value.epoch === 'number' && typeof value.generation === 'number';
  if (key === 'holds') return isHold(value);
  if (key === 'adopted') return isSetting(resource, value);
  return (
    isNative(value.original) &&
    isSetting(resource, value.originalSetting) &&
    isSetting(resource, value.intended) &&
    (value.before === undefined || isSetting(resource, value.before)) &&
    (value.formersMiB === undefined || (Array.isArray(value.formersMiB) && value.formersMiB.every(Number.isFinite))) &&
    (value.written === null || isSetting(resource, value.written)) &&
    (value.writtenNative === null || isNative(value.writtenNative))
  );
}

function isHold({ reason, since, forMs }: Record<string, unknown>): boolean {
  const dated = isObject(since) && typeof since.wallMs === 'number' && typeof since.bootMs === 'number';
  return typeof reason === 'string' && dated && numberOrNull(forMs);
}

const FIELDS: Record<Resource, readonly string[]> = {
  cpu: ['weight', 'capCores'],
  memory: ['memoryMiB'],
  network: ['inboundBytesPerSecond', 'outboundBytesPerSecond'],
  disk: ['bytesPerSecond', 'iops'],
};

function isSetting(resource: Resource, value: unknown): value is Setting {
  return isObject(value) && value.resource === resource && FIELDS[resource].every((field) => field in value && numberOrNull(value[field]));
}

const isNative = (value: unknown): boolean => isObject(value) && typeof value.adapter === 'string' && isObject(value.values);
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const numberOrNull = (value: unknown): boolean => value === null || (typeof value === 'number' && Number.isFinite(value));
