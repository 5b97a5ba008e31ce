/**
 * The last check before a command leaves: fencing and truth to the plan. Input: the command, its step, the highest pair ever
 * seen for this VM and resource; output: what is wrong, or null.
 */
import type { FrameOf } from '../../../shared/protocol/frames.ts';
import { comparePairs, type Pair, sameSetting } from '../../../shared/resources.ts';
import type { PlanStep } from '../plan/plan.ts';

export function lintCommand(command: FrameOf<'command'>, step: PlanStep, highest: Pair | undefined, ownEpoch: number): string | null {
  const { pair } = command;
  if (pair.epoch < ownEpoch) return `epoch ${pair.epoch} is below our own, ${ownEpoch}`;
  if (highest !== undefined && comparePairs(pair, highest) <= 0) {
    return `pair (${pair.epoch}, ${pair.generation}) is not above (${highest.epoch}, ${highest.generation}), which the host has seen`;
  }
  if (command.vm !== step.vm || command.resource !== step.resource) return 'it speaks of another VM or resource than its step';
  if (!sameSetting(command.previous, step.from) || !sameSetting(command.target, step.to)) return 'its values are not those of its step';
  if (command.mode !== step.mode || command.floor !== step.floor || command.ceiling !== step.ceiling)
    return 'its bounds are not those of its step';
  return command.leaseMs > 0 ? null : 'it has no lease';
}
