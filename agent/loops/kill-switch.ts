/**
 * The kill switch: files in the state directory, set by the command line, by hand, or by a frame of the aggregator. Every
 * write looks at them itself; this loop tells the aggregator and clears what only the aggregator set. Input: files and
 * frames; output: the host's state, events.
 */
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { lifted, withoutExpiredHolds } from '../core/journal.ts';
import { clockReading, type HostContext, tell } from './host-context.ts';

/** What the aggregator set, the aggregator may take off; a switch set here stays until it is taken off here. */
const FROM_AGGREGATOR = 'aggregator: ';

export function receiveKillSwitch(context: HostContext, frame: FrameOf<'kill-switch'>): void {
  const vm = frame.vm as VmId | null;
  const kills = context.files.kills();
  const present = vm === null ? kills.host : (kills.vms.get(vm) ?? null);
  if (frame.engaged && present === null) context.files.setKill(vm, `${FROM_AGGREGATOR}${frame.reason || 'no reason given'}`);
  if (!frame.engaged && present?.startsWith(FROM_AGGREGATOR)) context.files.setKill(vm, null);
  readSwitches(context);
}

/** Twice a second: the state of the switches, requests to lift holds, and holds that ran out. */
export function readSwitches(context: HostContext): void {
  const before = context.host.killed;
  const now = context.files.kills();
  context.host.killed = now;
  if (before.host !== now.host) {
    tell(
      context,
      'kill-switch',
      now.host === null ? 'the kill switch of this host is off' : `the kill switch of this host is on: ${now.host}`,
    );
    context.changed();
  }
  for (const vm of new Set([...before.vms.keys(), ...now.vms.keys()])) {
    const reason = now.vms.get(vm);
    if (before.vms.get(vm) === reason) continue;
    tell(
      context,
      'kill-switch',
      reason === undefined ? 'the kill switch of this VM is off' : `the kill switch of this VM is on: ${reason}`,
      { vm },
    );
    context.changed();
  }
  updateHolds(context);
}

function updateHolds(context: HostContext): void {
  const now = clockReading(context);
  const lifts = context.files.takeLifts();
  for (const entry of context.table.values()) {
    let record = withoutExpiredHolds(entry.record, now);
    for (const lift of lifts) if (lift.vm === entry.id) record = lifted(record, lift.resource);
    if (record === entry.record) continue;
    entry.record = record;
    context.files.save(record);
    context.changed();
  }
}
