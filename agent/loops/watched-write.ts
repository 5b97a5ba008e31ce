/**
 * Carries out one write and keeps watch over it from before it leaves until it is read back: a balloon takes seconds, and
 * whoever else sends it elsewhere meanwhile is not to be overwritten by the next step. Input: VM and target; output: what was
 * read back, with the VM's watch and value in force brought up to date.
 */
import type { Setting } from '../../shared/resources.ts';
import { actuate } from '../actuators/actuate.ts';
import type { Actuation, ActuatorContext } from '../actuators/actuator.ts';
import { observe, watchReadBack, watchWrite } from '../core/foreign-writer.ts';
import type { HostContext } from './host-context.ts';
import { isOtherRequest, noteRequest, requestInForceMiB } from './memory-request.ts';
import { handsOff, holdsMemory, noteInForce, type VmEntry } from './vm-table.ts';

/** A guest that reboots holds its boot memory until its driver loads: a minute more than a slow boot takes. */
export const REBOOT_REST_MS = 180_000;

export async function watchedWrite(context: HostContext, entry: VmEntry, target: Setting, actuator: ActuatorContext): Promise<Actuation> {
  const { resource } = target;
  const isOurs = (seen: Setting): boolean => watchSeen(context, entry, seen) === null && handsOff(entry, resource) === null;
  // Held against what was written last; from then on against this target, also if the answer never comes.
  const mayWrite = (inForce: Setting): boolean => {
    const ours = isOurs(inForce);
    if (ours) entry.watches[resource] = watchWrite(inForce, target, null, entry.watches[resource]);
    return ours;
  };
  const requestedMiB = await requestInForceMiB(context, entry, resource);
  if (isOtherRequest(entry, requestedMiB)) return othersRequest(context, entry, target, requestedMiB);
  const wrote = (): Promise<void> => noteRequest(context, entry);
  const actuation = await actuate({ ...actuator, mayWrite, isOurs, wrote }, entry.id, target);
  noteInForce(entry, actuation.readBack);
  const watch = entry.watches[resource];
  if (watch && holdsMemory(entry.power) && !isTheirs(actuation)) entry.watches[resource] = watchReadBack(watch, actuation.readBack);
  return actuation;
}

/** It is adopted by the next reading of what is in force. */
async function othersRequest({ hypervisor }: HostContext, { id }: VmEntry, target: Setting, requestedMiB: number): Promise<Actuation> {
  const readBack: Setting = await hypervisor.readSetting(id, target.resource);
  return { wrote: false, readBack, shortfall: `somebody else requested ${requestedMiB} MiB of its memory device` };
}

/** Nothing was written: somebody else was first. */
export const isTheirs = ({ wrote, shortfall }: Actuation): boolean => !wrote && shortfall !== null;

/** Holds a value just read against what was written; output: somebody else's once that is certain, else null. */
export function watchSeen(context: HostContext, entry: VmEntry, seen: Setting): Setting | null {
  const watch = entry.watches[seen.resource];
  if (watch === undefined) return null;
  const bootMiB = entry.facts?.bootMemoryMiB ?? Number.NaN;
  const options = { restMs: context.settings.foreignRestMs, rebootRestMs: REBOOT_REST_MS };
  const observation = observe(watch, seen, bootMiB, context.clock.monotonicMs(), options);
  entry.watches[seen.resource] = observation.watch;
  return observation.foreign;
}
