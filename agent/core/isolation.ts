/**
 * A VM cut off from its network for a while: which links were taken down or which filters replaced, why, and when all is as before.
 * Input: links and the reading of both clocks; output: plain data for the journal, and what is left of the time. Pure.
 */
import type { IsolationMeans } from '../../shared/protocol/vm-action-frames.ts';
import { type ClockReading, type ForeignHold, holdLeftMs } from './foreign-hold.ts';

/** The packet filter of the host that an interface refers to, with the values it is filled with. */
export interface FilterRef {
  name: string;
  parameters: readonly { name: string; value: string }[];
}

/** One network interface as it is live. */
export interface Link {
  /** Hardware address: what stays the same whatever else changes. */
  mac: string;
  up: boolean;
  filter: FilterRef | null;
  /** Packets of this kind of interface pass through the host's filters. */
  filterable: boolean;
}

export interface InterfaceFilter {
  mac: string;
  filter: FilterRef | null;
}

/** The filter that drops everything. One of this name that an administrator made on the host is taken as it is. */
export const QUARANTINE: FilterRef = { name: 'headroom-quarantine', parameters: [] };

export interface Isolation {
  /** Links that were up before, by hardware address: those and no others are brought up again. */
  links: readonly string[];
  /** Filters that were in force before the quarantine, by interface. Absent = it is no quarantine. */
  filters?: readonly InterfaceFilter[];
  reason: string;
  since: ClockReading;
  forMs: number;
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
/** Names and values of filters are words and addresses. */
const FILTER_TEXT_MAX = 256;

/** Asked for again it may be for longer, never shorter; what was found first is what is put back. */
export function isolated(
  before: Isolation | undefined,
  links: readonly Link[],
  { means, reason, forMs }: { means: IsolationMeans; reason: string; forMs: number },
  now: ClockReading,
): Isolation {
  const since: ClockReading = { wallMs: now.wallMs, bootMs: now.bootMs };
  const cut = means === 'link' ? links.filter((link) => link.up).map(({ mac }) => mac) : [];
  const filters = means === 'quarantine' ? [...(before?.filters ?? []), ...replaced(before, links)] : before?.filters;
  return {
    links: [...new Set([...(before?.links ?? []), ...cut])],
    ...(filters === undefined ? {} : { filters }),
    reason,
    since,
    forMs: before === undefined ? forMs : Math.max(forMs, isolationLeftMs(before, now)),
  };
}

/** Filters in force now that are not known from before; ours is nobody's to go back to. */
function replaced(before: Isolation | undefined, links: readonly Link[]): InterfaceFilter[] {
  const known = new Set(before?.filters?.map(({ mac }) => mac));
  return links
    .filter(({ mac }) => !known.has(mac))
    .map(({ mac, filter }) => ({ mac, filter: filter?.name === QUARANTINE.name ? null : filter }));
}

export function sameFilter(one: FilterRef | null, other: FilterRef | null): boolean {
  const text = (ref: FilterRef | null): string =>
    JSON.stringify(ref && [ref.name, ref.parameters.map(({ name, value }) => `${name}=${value}`).sort()]);
  return text(one) === text(other);
}

/** 0: its time is over. A wall clock set forward does not end it early, see `holdLeftMs`. */
export function isolationLeftMs({ reason, since, forMs }: Isolation, now: ClockReading): number {
  const hold: ForeignHold = { reason, since, forMs };
  return holdLeftMs(hold, now) ?? 0;
}

/** Is this, from disk or metadata, an isolation? */
export function isIsolation(value: unknown): value is Isolation {
  if (typeof value !== 'object' || value === null) return false;
  const { links, filters, reason, since, forMs } = value as Partial<Isolation>;
  const dated = typeof since === 'object' && since !== null && Number.isFinite(since.wallMs) && Number.isFinite(since.bootMs);
  const named = Array.isArray(links) && links.every((mac) => typeof mac === 'string' && MAC.test(mac));
  if (filters !== undefined && !(Array.isArray(filters) && filters.every(isInterfaceFilter))) return false;
  return named && dated && typeof reason === 'string' && typeof forMs === 'number' && Number.isFinite(forMs);
}

function isInterfaceFilter(value: unknown): value is InterfaceFilter {
  if (typeof value !== 'object' || value === null) return false;
  const { mac, filter } = value as Partial<InterfaceFilter>;
  return typeof mac === 'string' && MAC.test(mac) && (filter === null || isFilterRef(filter));
}

function isFilterRef(value: unknown): value is FilterRef {
  if (typeof value !== 'object' || value === null) return false;
  const { name, parameters } = value as Partial<FilterRef>;
  const isText = (text: unknown): boolean => typeof text === 'string' && text.length > 0 && text.length <= FILTER_TEXT_MAX;
  return isText(name) && Array.isArray(parameters) && parameters.every((each) => isText(each?.name) && isText(each?.value));
}
