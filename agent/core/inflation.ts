/**
 * How a balloon inflates: in steps small enough that a guest which turns hungry meanwhile is seen before it runs dry, each
 * taken only on what the guest told after the one before. Input: where to go and what the host can vouch for; output: where
 * to go next, or what will be left. Pure.
 */
import { REACTION_MS, type VouchedMemory } from './memory-guard.ts';

/** Smaller steps take longer than they save: a driver moves this much in a fraction of a second. */
const STEP_MIB_MIN = 16;
/** Of what the guest has to spare a step takes half: what it grows meanwhile finds the other half. */
const STEP_SHARE_OF_SPARE = 0.5;
/** A driver asked to tell every second that says nothing for this long is starved itself. */
export const SILENT_MS = 5000;
/** An inflation is watched closely for this long after its last step: a guest that grows meets what is left by then. */
export const WATCH_MS = 30_000;

/** The size to go to next, MiB: the target itself when it is within one step. */
export function nextStepMiB(targetMiB: number, memory: VouchedMemory): number {
  if (memory.balloonMiB === null || memory.workingSetMiB === null) return targetMiB;
  const spareMiB = memory.balloonMiB - memory.workingSetMiB - memory.growthMiBPerSecond * (REACTION_MS / 1000);
  const stepMiB = Math.max(STEP_MIB_MIN, spareMiB * STEP_SHARE_OF_SPARE);
  const nextMiB = Math.ceil(memory.balloonMiB - stepMiB);
  // A rest smaller than the least step goes with this one.
  return nextMiB - targetMiB < STEP_MIB_MIN ? targetMiB : nextMiB;
}

/**
 * Memory the guest will have available once the inflation has arrived and the host could have reacted, MiB; null = unknown.
 * `touchedMiB`: what the host itself saw its process come to hold since the guest told last.
 */
export function foreseenMiB(memory: VouchedMemory, touchedMiB: number): number | null {
  if (memory.balloonMiB === null || memory.workingSetMiB === null) return null;
  const sizeMiB = Math.min(memory.balloonMiB, memory.targetMiB ?? memory.balloonMiB);
  const sinceToldMiB = Math.max(touchedMiB, (memory.growthMiBPerSecond * memory.toldAgeMs) / 1000);
  return sizeMiB - memory.workingSetMiB - sinceToldMiB - (memory.growthMiBPerSecond * REACTION_MS) / 1000;
}
