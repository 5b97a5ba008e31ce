/**
 * The balloon of a VM. The write only tells the guest's driver where to go; the size follows in seconds, and a busy guest
 * may settle short. Waits a while and reports the size that was really read: never the wish.
 */
import { sleep } from '../../shared/clock.ts';
import { type MemorySetting, sameSetting } from '../../shared/resources.ts';
import { type Actuate, lastLook } from './actuator.ts';

/** Pause between two looks at a moving balloon. */
export const LOOK_EVERY_MS = 250;

export const actuateMemory: Actuate<'memory'> = async (context, vm, target) => {
  const { hypervisor, clock, hurry, isOurs = () => true, wrote = async () => {} } = context;
  const { theirs } = await lastLook(context, vm, 'memory');
  if (theirs !== null) return theirs;
  // Always written: the size in force says nothing about the target the driver is still moving to.
  let readBack: MemorySetting;
  try {
    readBack = await hypervisor.writeSetting(vm, target);
  } finally {
    await wrote();
  }
  const untilMs = clock.monotonicMs() + context.balloonSettleMs;
  while (isOurs(readBack) && !sameSetting(readBack, target) && clock.monotonicMs() < untilMs && !hurry?.asked) {
    await (hurry?.sleep(clock, LOOK_EVERY_MS) ?? sleep(clock, LOOK_EVERY_MS));
    readBack = await hypervisor.readSetting(vm, 'memory');
  }
  const shortfall = sameSetting(readBack, target) ? null : `the balloon is at ${readBack.memoryMiB.toFixed(0)} MiB on its way`;
  return { wrote: true, readBack, shortfall };
};
