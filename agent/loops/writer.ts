/**
 * The one way in which this agent writes a value: note the original, on disk and in the VM's metadata, then the intention,
 * look at the kill switch, write, read back, note what is in force. Input: VM, target, pair; output: how it ended. Callers
 * run it inside the VM's queue.
 */
import { errorText } from '../../shared/errors.ts';
import type { MemorySetting, Outcome, Pair, Resource, Setting } from '../../shared/resources.ts';
import { createHurry, type Hurry } from '../actuators/hurry.ts';
import { watchFailure, watchReadBack } from '../core/foreign-writer.ts';
import { type JournalEntry, withIntent, withoutIntent, withPair, withWritten } from '../core/journal.ts';
import { metadataOf } from '../core/journal-metadata.ts';
import { growthInBlocksMiB } from '../core/plugged-memory.ts';
import { type HostContext, killReason, localPair } from './host-context.ts';
import { inflate } from './inflation.ts';
import { handsOff, known, noteInForce, type VmEntry } from './vm-table.ts';
import { isTheirs, watchedWrite, watchSeen } from './watched-write.ts';

export interface WriteResult {
  outcome: Extract<Outcome, 'applied' | 'refused' | 'failed'>;
  reason: string;
  readBack: Setting | null;
}

export async function carryOut(context: HostContext, entry: VmEntry, wanted: Setting, pair: Pair): Promise<WriteResult> {
  const target = givable(entry, wanted);
  const { resource } = target;
  const before = entry.current[resource];
  if (before === undefined) return { outcome: 'failed', reason: 'the value in force is unknown', readBack: null };
  const journalled = entry.record.entries[resource];
  const watched = entry.watches[resource];
  entry.writing = new Set([...entry.writing, resource]);
  const hurry = createHurry();
  entry.hurry = hurry;
  if (target.resource === 'memory') entry.pendingMiB = target.memoryMiB;
  try {
    await noteIntent(context, entry, target, before, pair);
    const killed = killReason(context, entry.id);
    if (killed !== null) return { outcome: 'refused', reason: `kill switch: ${killed}`, readBack: before };
    const written = await writeAndRead(context, entry, target, hurry);
    if (written.outcome === 'refused') await forgetIntent(context, entry, resource, journalled);
    return written;
  } catch (error) {
    const watch = entry.watches[resource];
    if (watch) entry.watches[resource] = watchFailure(watch);
    const readBack = await inForce(context, entry, resource);
    if (entry.watches[resource] !== watched) await noteAsFarAsItWent(context, entry, readBack);
    return { outcome: 'failed', reason: errorText(error), readBack };
  } finally {
    entry.writes++;
    entry.hurry = null;
    entry.writing = new Set([...entry.writing].filter((other) => other !== resource));
    // What the fast guard is about to give counts already.
    if (resource === 'memory' && !entry.guarding.has('memory')) entry.pendingMiB = 0;
    context.changed();
  }
}

/**
 * The same for what this host does on its own, with the next local pair. `target` is asked at the task's turn: what was true
 * when it was queued may have changed, and then null means nothing is left to do.
 */
export async function carryOutLocally(
  context: HostContext,
  entry: VmEntry,
  resource: Resource,
  target: () => Setting | null,
): Promise<{ result: WriteResult; pair: Pair; setting: Setting } | null> {
  entry.jobActive = await context.hypervisor.jobActive(entry.id).catch(() => true);
  const setting = entry.jobActive || handsOff(entry, resource) !== null || entry.power !== 'running' ? null : target();
  if (setting === null) return null;
  const pair = localPair(context, entry, resource);
  return { result: await carryOut(context, entry, setting, pair), pair, setting };
}

/** Memory that is plugged comes in blocks. */
function givable(entry: VmEntry, wanted: Setting): Setting {
  if (wanted.resource !== 'memory' || entry.facts?.plugged === undefined) return wanted;
  return { ...wanted, memoryMiB: growthInBlocksMiB(wanted.memoryMiB, known(entry.slow.balloonMiB) ?? 0, entry.facts) };
}

/** Before the first write of a resource its original is safe in two places; before every write the intention is on disk. */
async function noteIntent(context: HostContext, entry: VmEntry, target: Setting, before: Setting, pair: Pair): Promise<void> {
  const { hypervisor, files } = context;
  const known = entry.record.entries[target.resource];
  const native = known?.original ?? (await hypervisor.readNative(entry.id, target.resource));
  const record = { ...withPair(withIntent(entry.record, target, before, native), target.resource, pair), processId: entry.processId };
  files.save(record);
  entry.record = record;
  if (known === undefined) await copyToMetadata(context, entry);
}

/** What was never written must not be restored over what somebody else set. */
async function forgetIntent(context: HostContext, entry: VmEntry, resource: Resource, before: JournalEntry | undefined): Promise<void> {
  entry.record = withoutIntent(entry.record, resource, before);
  context.files.save(entry.record);
  if (before === undefined) await copyToMetadata(context, entry);
}

/** Puts the record into the VM's metadata; a VM that takes none is not written to either. */
export function copyToMetadata(context: HostContext, entry: VmEntry): Promise<void> {
  return context.hypervisor.writeMetadata(entry.id, metadataOf(entry.record));
}

async function writeAndRead(context: HostContext, entry: VmEntry, target: Setting, hurry: Hurry): Promise<WriteResult> {
  const { hypervisor, clock, settings } = context;
  const actuator = { hypervisor, clock, balloonSettleMs: settings.balloonSettleMs, hurry };
  const actuation = takesMemory(entry, target)
    ? await inflate(context, entry, target, actuator)
    : await watchedWrite(context, entry, target, actuator);
  const { readBack, shortfall } = actuation;
  if (isTheirs(actuation)) return { outcome: 'refused', reason: `hands off: ${shortfall}`, readBack };
  const native = await hypervisor.readNative(entry.id, target.resource);
  entry.record = withWritten(entry.record, readBack, native);
  context.files.save(entry.record);
  const failed = shortfall !== null && target.resource !== 'memory';
  return { outcome: failed ? 'failed' : 'applied', reason: shortfall ?? '', readBack };
}

function takesMemory(entry: VmEntry, target: Setting): target is MemorySetting {
  return target.resource === 'memory' && target.memoryMiB < entry.slow.balloonMiB;
}

/** What went wrong may have been the reading: an exact value that is left of it is ours, and goes on record as that. */
async function noteAsFarAsItWent(context: HostContext, entry: VmEntry, readBack: Setting | null): Promise<void> {
  if (readBack === null || readBack.resource === 'memory' || watchSeen(context, entry, readBack) !== null) return;
  const sent = entry.watches[readBack.resource];
  if (sent !== undefined) entry.watches[readBack.resource] = watchReadBack(sent, readBack);
  const native = await context.hypervisor.readNative(entry.id, readBack.resource).catch(() => null);
  if (native === null) return;
  entry.record = withWritten(entry.record, readBack, native);
  context.files.save(entry.record);
}

/** The value after a failed write, as far as it can still be read. */
async function inForce(context: HostContext, entry: VmEntry, resource: Resource): Promise<Setting | null> {
  try {
    const seen: Setting = await context.hypervisor.readSetting(entry.id, resource);
    noteInForce(entry, seen);
    return seen;
  } catch (error) {
    context.log.warn('could not read back after a failed write', { vm: entry.id, resource, error: errorText(error) });
    entry.current[resource] = undefined;
    return null;
  }
}
