/**
 * Takes memory from a guest: the balloon inflates in bounded steps, each after the guest has told that the one before left it
 * enough, and stops as soon as anything speaks against going on. What is left then is for the next plan. Input: the VM, where
 * to go; output: where it got to. Callers are inside the VM's queue.
 */
import type { MemorySetting } from '../../shared/resources.ts';
import type { Actuation, ActuatorContext } from '../actuators/actuator.ts';
import type { Hurry } from '../actuators/hurry.ts';
import { LOOK_EVERY_MS } from '../actuators/memory.ts';
import { nextStepMiB, WATCH_MS } from '../core/inflation.ts';
import { memoryRefusal, type VouchedMemory } from '../core/memory-guard.ts';
import { shrinkInBlocksMiB } from '../core/plugged-memory.ts';
import { guardedHost, type HostContext, killReason, statsAgeMsMax } from './host-context.ts';
import { handsOff, type VmEntry, vouchedMemory } from './vm-table.ts';
import { isTheirs, watchedWrite, watchSeen } from './watched-write.ts';

/** Steps wait for the guest's word, a second or two each; a command takes no longer than this, and others come to their turn. */
const INFLATION_MS_MAX = 8000;

/** Memory is being taken from it, or was a moment ago: looked at more often, and turned round sooner. */
export function isInflating(context: HostContext, entry: VmEntry): boolean {
  return context.clock.monotonicMs() - entry.inflatedAtMs <= WATCH_MS;
}

export async function inflate(
  context: HostContext,
  entry: VmEntry,
  target: MemorySetting,
  actuator: ActuatorContext & { hurry: Hurry },
): Promise<Actuation> {
  const untilMs = context.clock.monotonicMs() + INFLATION_MS_MAX;
  for (;;) {
    const nextMiB = nextStepMiB(target.memoryMiB, memoryOf(context, entry));
    const memoryMiB = entry.facts === null ? nextMiB : shrinkInBlocksMiB(nextMiB, entry.slow.balloonMiB, entry.facts);
    const step: MemorySetting = { ...target, memoryMiB };
    entry.inflatedAtMs = context.clock.monotonicMs();
    // What is watched is where the driver was sent: a rest there is nobody else's doing.
    const actuation = await watchedWrite(context, entry, step, actuator);
    entry.inflatedAtMs = context.clock.monotonicMs();
    if (isTheirs(actuation) || step.memoryMiB <= target.memoryMiB) return actuation;
    const reason = (await told(context, entry, step, actuator.hurry, untilMs)) ?? (await standsAgainst(context, entry, target));
    if (reason === null) continue;
    const readBack: MemorySetting = { ...step, memoryMiB: entry.slow.balloonMiB };
    return { wrote: true, readBack, shortfall: `a part of the way, ${step.memoryMiB} MiB: ${reason}` };
  }
}

const memoryOf = (context: HostContext, entry: VmEntry): VouchedMemory =>
  vouchedMemory(entry, context.clock.monotonicMs(), statsAgeMsMax(context.settings));

/** Waits until the balloon has arrived and the guest has told after that, null; or says why it waits no longer. */
async function told(context: HostContext, entry: VmEntry, step: MemorySetting, hurry: Hurry, untilMs: number): Promise<string | null> {
  const { clock } = context;
  let arrivedAtMs = Number.NaN;
  while (!(entry.slow.toldAtMs > arrivedAtMs)) {
    // Statistics follow the balloon's size meanwhile.
    if (Number.isNaN(arrivedAtMs) && entry.slow.balloonMiB < step.memoryMiB + 1) arrivedAtMs = clock.monotonicMs();
    if (hurry.asked) return 'something urgent is to be done to this VM';
    if (context.queues.waiting(entry.id) > 1) return 'another instruction for this VM waits';
    if (clock.monotonicMs() >= untilMs) return 'the guest has not yet told how it does with that';
    await hurry.sleep(clock, LOOK_EVERY_MS);
  }
  return null;
}

/** Judged anew, as any command would be now: the guest and the world may have changed since this one was. */
async function standsAgainst(context: HostContext, entry: VmEntry, target: MemorySetting): Promise<string | null> {
  // Somebody else may have sent the balloon elsewhere since the step before.
  watchSeen(context, entry, await context.hypervisor.readSetting(entry.id, 'memory'));
  const theirs = handsOff(entry, 'memory');
  if (theirs !== null) return theirs;
  const memory = memoryOf(context, entry);
  const refusal = memoryRefusal(nextStepMiB(target.memoryMiB, memory), memory, guardedHost(context));
  if (refusal !== null) return refusal;
  const killed = killReason(context, entry.id);
  if (killed !== null) return `kill switch: ${killed}`;
  if (context.host.leaseOut) return 'the lease ran out';
  const busy = await context.hypervisor.jobActive(entry.id).catch(() => true);
  return busy ? 'the VM has a job (migration, backup or save) under way' : null;
}
