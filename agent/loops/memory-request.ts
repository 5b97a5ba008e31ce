/**
 * What is requested of a VM's memory device, watched apart from its size: a request that the guest does not follow shows in no size,
 * and the next write of ours would take its place. Input: the table's entry; output: whether the request in force is the one we left.
 */
import type { Resource, Setting } from '../../shared/resources.ts';
import { memoryMiBMax } from '../core/plugged-memory.ts';
import type { HostContext } from './host-context.ts';
import type { VmEntry } from './vm-table.ts';

/** A request of ours may be in force, to be told from somebody else's. */
export function mayHaveRequest(entry: VmEntry, resource: Resource): boolean {
  return resource === 'memory' && !Number.isNaN(entry.requestedMiB);
}

/** As the live definition has it, MiB; NaN: nothing of ours is to be told from. */
export async function requestInForceMiB({ hypervisor }: HostContext, entry: VmEntry, resource: Resource): Promise<number> {
  if (!mayHaveRequest(entry, resource)) return Number.NaN;
  return (await hypervisor.facts(entry.id)).plugged?.requestedMiB ?? Number.NaN;
}

/** What the guest has once it follows their request, as far as it followed ours. */
export function sizeRequested(entry: VmEntry, seen: Setting, requestedMiB: number): Setting {
  if (seen.resource !== 'memory' || entry.facts === null) return seen;
  return { ...seen, memoryMiB: Math.min(seen.memoryMiB + requestedMiB - entry.requestedMiB, memoryMiBMax(entry.facts)) };
}

export function isOtherRequest(entry: VmEntry, requestedMiB: number): boolean {
  // Unknown on either side is no difference.
  return Math.abs(requestedMiB - entry.requestedMiB) > 0;
}

/** After a write, also one that failed: what is there now is ours. Rejects never. */
export async function noteRequest({ hypervisor }: HostContext, entry: VmEntry): Promise<void> {
  entry.requestedMiB = Number.NaN;
  if (entry.facts?.plugged === undefined) return;
  const facts = await hypervisor.facts(entry.id).catch(() => null);
  entry.requestedMiB = facts?.plugged?.requestedMiB ?? Number.NaN;
}
