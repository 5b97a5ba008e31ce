/** What every route is given, and the helpers that all share. */
import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { type HostId, hostId, type VmId, vmId } from '../../../shared/ids.ts';
import { PROBLEM } from '../problem.ts';
import type { AggregatorService, VmView } from '../service.ts';

export type Routes = (app: FastifyInstance, service: AggregatorService) => void;

/** Response schemas of a route: its own for 200, a problem for everything else. */
export function answers(ok: Type.TSchema, description = 'OK'): Record<string, unknown> {
  const problem = { description: 'Problem', content: { 'application/problem+json': { schema: PROBLEM } } };
  return { 200: { ...ok, description }, '4xx': problem, '5xx': problem };
}

/** For changes that can be tried: everything is checked as for the change itself, and nothing is done. */
export const DryRunQuery = Type.Object({
  dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only tell what would be done' })),
});

export const isDryRun = ({ query }: { query: Static<typeof DryRunQuery> }): boolean => query.dryRun ?? false;

/** A VM by UUID or by name (names are unique per host only: an ambiguous one is refused). */
export function findVm(service: AggregatorService, idOrName: string): VmView {
  const byName = service.vms().filter(({ name }) => name === idOrName);
  if (byName.length === 1) return byName[0]!;
  if (byName.length > 1) {
    const ids = byName.map(({ id, host }) => `${id} on ${host}`).join(', ');
    throw new HeadroomError('CONFLICT', `several VMs are called "${idOrName}": ${ids}; use the UUID`);
  }
  const vm = /^[0-9a-fA-F-]{36}$/.test(idOrName) ? service.vm(vmId(idOrName)) : null;
  if (!vm) throw new HeadroomError('NOT_FOUND', `no VM "${idOrName}" is known; GET /v1/vms lists them`);
  return vm;
}

export function knownHost(service: AggregatorService, name: string): HostId {
  if (!service.hosts().some(({ id }) => id === name))
    throw new HeadroomError('NOT_FOUND', `no host "${name}" is known; GET /v1/hosts lists them`);
  return hostId(name);
}

export function knownVm(service: AggregatorService, idOrName: string): VmId {
  return findVm(service, idOrName).id;
}

/** JSON has no Infinity or NaN: unknown is null. */
export function finiteOrNull(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

/** For lists whose order tells something: as they are; the cursor is the last id given. What it names is gone: so is all after it. */
export function newestFirst<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { limit = 100, cursor }: { limit?: number; cursor?: string },
): { items: T[]; cursor: string | null } {
  const start = cursor === undefined ? 0 : items.findIndex((item) => idOf(item) === cursor) + 1;
  const page = cursor !== undefined && start === 0 ? [] : items.slice(start, start + limit);
  const last = page.at(-1);
  return { items: page, cursor: last !== undefined && start + page.length < items.length ? idOf(last) : null };
}

/** Lists are sorted by id; the cursor is the last id given. */
export function pageOf<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  query: { limit?: number; cursor?: string },
): { items: T[]; cursor: string | null } {
  const limit = query.limit ?? 100;
  const sorted = [...items].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const start = query.cursor === undefined ? 0 : sorted.findIndex((item) => idOf(item) > query.cursor!);
  const page = start < 0 ? [] : sorted.slice(start, start + limit);
  const last = page.at(-1);
  const more = start >= 0 && start + limit < sorted.length;
  return { items: page, cursor: more && last !== undefined ? idOf(last) : null };
}
