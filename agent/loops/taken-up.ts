/**
 * Takes up what was written to a VM before this agent knew of it, by the record in the VM's metadata. Input: a VM whose process was
 * just found; output: its record here, with the originals from before the first write. Either the state directory was lost, or the guest
 * came here alive (live migration, restored from saved memory) and brought its record and the values in force along: nothing is
 * written to it for that, and nobody else writes any more, since where it came from it has stopped.
 */
import { errorText } from '../../shared/errors.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { arrived, hasEntries, isKept, type NativeValues, type VmRecord } from '../core/journal.ts';
import { checkRecord } from '../core/journal-check.ts';
import { recordTextInMetadata } from '../core/journal-metadata.ts';
import type { HostContext } from './host-context.ts';
import type { VmEntry } from './vm-table.ts';
import { copyToMetadata } from './writer.ts';

/** True: it was taken up, with what is in force as what was written last. Nothing happens where this host's own record speaks of this very process. */
export async function takeUp(context: HostContext, entry: VmEntry, processId: number | null): Promise<boolean> {
  if (!entry.managed || hasEntries(entry.record)) return false;
  const carried = await carriedRecord(context, entry);
  if (carried === null) return false;
  const stayed = carried.processId === processId;
  // What others set since is not copied into the metadata while there is nothing of ours: what is kept here knows more.
  if (stayed && !hasEntries(carried) && isKept(entry.record)) return false;
  if (!stayed && !(await context.hypervisor.cameAlive(entry.id).catch(() => false))) return false;
  await takeOver(context, entry, carried, processId);
  if (stayed) context.log.warn("the journal was recovered from the VM's metadata", { vm: entry.id });
  else context.log.info('a VM came here alive, with the originals from before it was first written to', { vm: entry.id, name: entry.name });
  return true;
}

async function takeOver(context: HostContext, entry: VmEntry, carried: VmRecord, processId: number | null): Promise<void> {
  const { hypervisor, log, files } = context;
  const inForce = new Map<Resource, { setting: Setting; native: NativeValues }>();
  for (const resource of RESOURCES) {
    if (carried.entries[resource] === undefined) continue;
    const setting: Setting = await hypervisor.readSetting(entry.id, resource);
    inForce.set(resource, { setting, native: await hypervisor.readNative(entry.id, resource) });
  }
  entry.record = arrived(carried, entry.record, processId, inForce);
  files.save(entry.record);
  // Of a VM without a persistent definition the live one tells our own values.
  entry.baseline = {};
  // So that the next one who takes it up knows this process.
  await copyToMetadata(context, entry).catch((error: unknown) =>
    log.warn('the journal could not be copied into the metadata yet', { vm: entry.id, error: errorText(error) }),
  );
}

/** A VM whose metadata cannot be read is still watched; it is not written to, since writing needs the metadata too. */
async function carriedRecord(context: HostContext, entry: VmEntry): Promise<VmRecord | null> {
  let text: string | null;
  try {
    text = recordTextInMetadata(await context.hypervisor.readMetadata(entry.id));
  } catch (error) {
    context.log.warn('could not read the journal in the metadata', { vm: entry.id, error: errorText(error) });
    return null;
  }
  if (text === null) return null;
  const check = checkRecord(text);
  return check.ok && check.record.vm === entry.id ? check.record : null;
}
