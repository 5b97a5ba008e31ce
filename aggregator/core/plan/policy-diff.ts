/**
 * What a new policy changes, before it is taken: the fleet's own values, and per VM and resource what was resolved and what
 * will be. Input: two policies and the VMs there are; output: differences, as data and as lines a person reads. Pure.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import { boundsOf } from './amounts.ts';
import type { VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';

/** `before` and `after` are plain JSON; `undefined` became null: the field was not there. */
export interface FieldChange {
  field: string;
  before: unknown;
  after: unknown;
}

export interface VmPolicyChange {
  vm: VmId;
  name: string;
  host: HostId;
  resource: Resource;
  /** The mode first, then `floor` and `ceiling` as they will bind this VM (safety rules and baseline included), then the rest. */
  fields: FieldChange[];
}

export interface PolicyDifferences {
  fleet: FieldChange[];
  vms: VmPolicyChange[];
}

export function policyDifferences(before: FleetPolicy, after: FleetPolicy, vms: readonly VmSnapshot[]): PolicyDifferences {
  const { version: _v, resolve: _r, takenAtMs: _t, ...fleetBefore } = before;
  const { version: _w, resolve: _s, takenAtMs: _u, ...fleetAfter } = after;
  const changes: VmPolicyChange[] = [];
  for (const vm of vms) {
    for (const resource of RESOURCES) {
      const fields = fieldChanges(effective(before, vm, resource), effective(after, vm, resource));
      if (fields.length > 0) changes.push({ vm: vm.id, name: vm.name, host: vm.host, resource, fields });
    }
  }
  return { fleet: fieldChanges(fleetBefore, fleetAfter), vms: changes };
}

/** What the policy says of one VM, with the bounds that will really hold. */
function effective(policy: FleetPolicy, vm: VmSnapshot, resource: Resource): object {
  const { mode, floor, ceiling, ...rest } = policy.resolve(vm, resource);
  const bounds = boundsOf(resource, vm, { ...rest, mode, floor, ceiling });
  return { mode, floor: bounds?.floor ?? floor, ceiling: bounds?.ceiling ?? ceiling, ...rest };
}

function fieldChanges(before: object, after: object): FieldChange[] {
  const was = before as Record<string, unknown>;
  const is = after as Record<string, unknown>;
  const names = new Set([...Object.keys(is), ...Object.keys(was)]);
  return [...names].flatMap((field) => {
    const change = { field, before: was[field] ?? null, after: is[field] ?? null };
    return JSON.stringify(change.before) === JSON.stringify(change.after) ? [] : [change];
  });
}

/** In words: `web-1 cpu: mode observe → auto`; the fleet's own values first; at most so many, the rest counted. */
export function differenceLines({ fleet, vms }: PolicyDifferences, linesMax: number): string[] {
  const lines = [
    ...fleet.map((change) => `fleet: ${changeWords(change)}`),
    ...vms.map(({ name, resource, fields }) => `${name} ${resource}: ${fields.map(changeWords).join(', ')}`),
  ];
  return lines.length <= linesMax ? lines : [...lines.slice(0, linesMax), `… and ${lines.length - linesMax} more`];
}

function changeWords({ field, before, after }: FieldChange): string {
  return `${field} ${valueWords(before)} → ${valueWords(after)}`;
}

function valueWords(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
