/**
 * Reads the values in force and tells our own from someone else's. A foreign value becomes the VM's new baseline, that VM
 * and resource are left alone for a day (until lifted after the second time), and everyone is told. Input: VMs of the
 * table; output: their `current`, holds, events.
 */
import { errorText, isHeadroomError } from '../../shared/errors.ts';
import { RESOURCES, type Resource, type Setting, sameSetting } from '../../shared/resources.ts';
import { foreignHold } from '../core/foreign-hold.ts';
import { watchReadBack, watchWrite } from '../core/foreign-writer.ts';
import { endsUnread, hasEntries, type NativeValues, reversalsWith, unended, withForeign, withWritten } from '../core/journal.ts';
import { clockReading, type HostContext, tell } from './host-context.ts';
import { isOtherRequest, mayHaveRequest, requestInForceMiB, sizeRequested } from './memory-request.ts';
import { holdsMemory, isUp, noteInForce, type VmEntry } from './vm-table.ts';
import { REBOOT_REST_MS, watchSeen } from './watched-write.ts';
import { copyToMetadata } from './writer.ts';

/** Reads one value; says null when it could not be read or a write came between. Rejects never. */
export async function refreshSetting(context: HostContext, entry: VmEntry, resource: Resource): Promise<Setting | null> {
  if (entry.writing.has(resource)) return null;
  const { writes } = entry;
  try {
    const seen: Setting = await context.hypervisor.readSetting(entry.id, resource);
    // Nearly always there is nothing to wait for: this runs for every value in force, again and again.
    const requestedMiB = mayHaveRequest(entry, resource) ? await requestInForceMiB(context, entry, resource) : Number.NaN;
    if (entry.writing.has(resource) || entry.writes !== writes) return null;
    const adopting = noteSeen(context, entry, seen);
    if (adopting !== undefined) await adopting;
    else if (resource !== 'memory' && endsUnread(entry.record.entries[resource])) await noteUnread(context, entry, seen);
    if (isOtherRequest(entry, requestedMiB)) {
      await adopt(context, entry, sizeRequested(entry, seen, requestedMiB), seen);
      takeOver(context, entry, seen);
    }
    entry.missing.delete(resource);
    entry.unread.delete(resource);
    return seen;
  } catch (error) {
    entry.current[resource] = undefined;
    entry.missing.set(resource, errorText(error));
    if (!isHeadroomError(error, 'HYPERVISOR_UNSUPPORTED')) entry.unread.add(resource);
    return null;
  }
}

/** Takes a value as read in, and looks whether it is somebody else's. Then it is adopted, which is left to be waited for. */
export function noteSeen(context: HostContext, entry: VmEntry, seen: Setting): Promise<void> | undefined {
  const { resource } = seen;
  const { clock, settings } = context;
  if (!holdsMemory(entry.power)) return;
  if (entry.watches[resource] === undefined) {
    // A balloon is still on its way while the guest boots; from then on its size is a value somebody would have to change.
    const upMs = clock.monotonicMs() - entry.runningSinceMs;
    if (resource !== 'memory' || upMs > Math.max(settings.bootDeadlineMs, REBOOT_REST_MS)) {
      entry.watches[resource] = watchWrite(seen, seen, seen);
    }
    // The first value of a VM that has just come is told at once.
    if (entry.current[resource] === undefined) context.changed();
    noteInForce(entry, seen);
    return;
  }
  const foreign = watchSeen(context, entry, seen);
  if (foreign !== null) return adopt(context, entry, foreign).then(() => takeOver(context, entry, seen));
  takeOver(context, entry, seen);
  return;
}

/**
 * A write whose end was not recorded is seen to be in force: from now on that is on record. Else, once somebody else changes one of these
 * values, the others would be taken for theirs, and the originals of those forgotten. A balloon is a body in motion, and one value.
 */
async function noteUnread(context: HostContext, entry: VmEntry, seen: Setting): Promise<void> {
  const { resource } = seen;
  const { hypervisor, files } = context;
  const { writes, record } = entry;
  const native = await hypervisor.readNative(entry.id, resource);
  // What changed between the two readings is not what was found to be ours.
  const still: Setting = await hypervisor.readSetting(entry.id, resource);
  const watch = entry.watches[resource];
  if (entry.writing.has(resource) || entry.writes !== writes || entry.record !== record) return;
  if (watch === undefined || !sameSetting(still, seen)) return;
  entry.watches[resource] = watchReadBack(watch, seen);
  entry.record = withWritten(record, seen, native);
  files.save(entry.record);
}

function takeOver(context: HostContext, entry: VmEntry, seen: Setting): void {
  const before = entry.current[seen.resource];
  noteInForce(entry, seen);
  if (before === undefined || !sameSetting(before, entry.current[seen.resource] ?? seen)) context.changed();
}

/** Of a write whose end is not on record each part may be there: the originals of those must not be taken for overwritten. */
async function partsLeft({ hypervisor }: HostContext, entry: VmEntry, resource: Resource): Promise<NativeValues[]> {
  const write = unended(entry.record.entries[resource]);
  if (write === null) return [];
  return (await Promise.all(write.settings.map((setting) => hypervisor.nativesWith(entry.id, write.over, setting)))).flat();
}

/** `inForce`: where they sent it from, when it is not there yet. */
async function adopt(context: HostContext, entry: VmEntry, seen: Setting, inForce: Setting = seen): Promise<void> {
  const { resource } = seen;
  const watch = entry.watches[resource];
  // Fails: then nothing is adopted, the watch goes on, and the next reading finds the same.
  const left = await partsLeft(context, entry, resource);
  const native = await context.hypervisor.readNative(entry.id, resource);
  if (entry.watches[resource] !== watch) return;
  entry.requestedMiB = Number.NaN;
  // Counted from now on as what is in force, so that one foreign write is told once.
  entry.watches[resource] = watchWrite(inForce, seen, seen === inForce ? seen : null);
  const hold = foreignHold(seen, reversalsWith(entry.record, resource), clockReading(context), context.settings.foreignHoldMs);
  const hadEntries = hasEntries(entry.record);
  entry.record = withForeign(entry.record, seen, native, hold, left);
  entry.baseline = { ...entry.baseline, [resource]: seen };
  context.files.save(entry.record);
  tell(context, 'foreign-writer', `${entry.name}: ${hold.reason}; it is the new baseline, hands off ${resource}`, {
    vm: entry.id,
    resource,
    setting: seen,
  });
  context.changed();
  if (hadEntries) await copyToMetadata(context, entry);
}

/** One round over all VMs that run: what we have written is read at each, and what could not be read last time; the rest when `all`. */
export async function refreshSettings(context: HostContext, all: boolean): Promise<void> {
  const reads: Promise<unknown>[] = [];
  for (const entry of context.table.values()) {
    if (!entry.managed || !isUp(entry) || entry.stuck) continue;
    for (const resource of RESOURCES) if (all || isDue(context, entry, resource)) reads.push(refreshSetting(context, entry, resource));
  }
  await Promise.all(reads);
}

function isDue(context: HostContext, entry: VmEntry, resource: Resource): boolean {
  if (entry.unread.has(resource)) return true;
  if (entry.record.entries[resource] === undefined) return false;
  return resource !== 'memory' || !sizeWasTold(context, entry);
}

/** Bulk statistics have told its size since the last round, and whose it is was looked at then: a call for each VM would tell the same. */
function sizeWasTold({ clock, settings }: HostContext, entry: VmEntry): boolean {
  if (entry.current.memory === undefined || mayHaveRequest(entry, 'memory')) return false;
  return clock.monotonicMs() - entry.slow.sizeToldAtMs <= settings.settingsMs;
}
