/**
 * What an actuator is: it carries out one kind of change on one VM and reads back what is in force. Idempotent (a value that
 * already holds is not written again) and live-only. Input: hypervisor, VM, target; output: the value read back.
 */
import type { Clock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Resource, Setting, SettingOf } from '../../shared/resources.ts';
import type { Hypervisor } from '../hypervisor/hypervisor.ts';

export interface ActuatorContext {
  hypervisor: Hypervisor;
  clock: Clock;
  /** How long to wait for a balloon to arrive before reporting where it is, ms. */
  balloonSettleMs: number;
}

export interface Actuation<R extends Resource = Resource> {
  /** False when the value was in force already. */
  wrote: boolean;
  readBack: SettingOf<R>;
  /** Why what was read back is not what was asked for, null when it is. */
  shortfall: string | null;
}

/** Rejects with the hypervisor's error when nothing was written. */
export type Actuate<R extends Resource> = (context: ActuatorContext, vm: VmId, target: SettingOf<R>) => Promise<Actuation<R>>;

/** For values that hold at once: write unless in force, compare what was read back. */
export async function writeExact<S extends Setting>(
  context: ActuatorContext,
  vm: VmId,
  target: S,
  same: (a: SettingOf<S['resource']>, b: S) => boolean,
): Promise<Actuation<S['resource']>> {
  const before = await context.hypervisor.readSetting(vm, target.resource as S['resource']);
  if (same(before, target)) return { wrote: false, readBack: before, shortfall: null };
  const readBack = await context.hypervisor.writeSetting(vm, target);
  const shortfall = same(readBack, target) ? null : `read back ${JSON.stringify(readBack)} instead of ${JSON.stringify(target)}`;
  return { wrote: true, readBack, shortfall };
}
