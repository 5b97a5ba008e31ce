/**
 * What an actuator is: it carries out one kind of change on one VM and reads back what is in force. Idempotent (a value that
 * already holds is not written again) and live-only. Input: hypervisor, VM, target; output: the value read back.
 */
import type { Clock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import { type Resource, type Setting, type SettingOf, sameSetting } from '../../shared/resources.ts';
import type { Hypervisor } from '../hypervisor/hypervisor.ts';
import type { Hurry } from './hurry.ts';

export interface ActuatorContext {
  hypervisor: Hypervisor;
  clock: Clock;
  /** How long to wait for a balloon to arrive before reporting where it is, ms. */
  balloonSettleMs: number;
  /** Ends that wait: something urgent is to be done to the same VM. Absent = never. */
  hurry?: Hurry;
  /** Asked with the value in force right before the write; false = somebody else set it: nothing is written. Absent = write. */
  mayWrite?: (inForce: Setting) => boolean;
  /** Memory only: called right after the write, also one that failed, before it is waited for. */
  wrote?: () => Promise<void>;
  /** Asked with each size of a balloon on its way; false = somebody else moves it: no use waiting. Absent = it is ours. */
  isOurs?: (seen: Setting) => boolean;
}

export interface Actuation {
  /** False when the value was in force already. */
  wrote: boolean;
  readBack: Setting;
  /** Why what was read back is not what was asked for, null when it is. */
  shortfall: string | null;
}

/** Rejects with the hypervisor's error when nothing was written. */
export type Actuate<R extends Resource> = (context: ActuatorContext, vm: VmId, target: SettingOf<R>) => Promise<Actuation>;

/**
 * The last look before a write: what somebody else has set since the command was judged is not overwritten. Between this reading and
 * the write nothing of ours happens. Output: what was read, and why it is left alone.
 */
export async function lastLook(
  { hypervisor, mayWrite }: ActuatorContext,
  vm: VmId,
  resource: Resource,
): Promise<{ before: Setting; theirs: Actuation | null }> {
  const before: Setting = await hypervisor.readSetting(vm, resource);
  const shortfall = `somebody else set it to ${JSON.stringify(before)} a moment ago`;
  return { before, theirs: mayWrite?.(before) === false ? { wrote: false, readBack: before, shortfall } : null };
}

/** For values that hold at once: write unless in force, compare what was read back. */
export async function writeExact(context: ActuatorContext, vm: VmId, target: Setting): Promise<Actuation> {
  const { before, theirs } = await lastLook(context, vm, target.resource);
  if (theirs !== null) return theirs;
  if (sameSetting(before, target)) return { wrote: false, readBack: before, shortfall: null };
  const readBack: Setting = await context.hypervisor.writeSetting(vm, target);
  const shortfall = sameSetting(readBack, target) ? null : `read back ${JSON.stringify(readBack)} instead of ${JSON.stringify(target)}`;
  return { wrote: true, readBack, shortfall };
}
