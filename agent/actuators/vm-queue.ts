/**
 * One queue per VM: what is done to one VM happens in order, and a VM that hangs delays no other. Input: tasks; output:
 * their results, or a refusal when the VM's queue is full.
 */
import type { VmId } from '../../shared/ids.ts';

/** Tasks waiting per VM at most: a plan sends at most one per resource, the guards as many again. */
export const VM_QUEUE_MAX = 16;

export interface VmQueues {
  /** Runs `task` after all earlier ones of this VM. False when the queue is full: the task will not run. */
  add(vm: VmId, task: () => Promise<void>): boolean;
  waiting(vm: VmId): number;
  /** Tasks turned away because a queue was full. */
  readonly dropped: number;
  /** Resolves when all that was added has ended. */
  idle(): Promise<void>;
}

/** `onError`: tasks report their own failures; what escapes them ends here. */
export function createVmQueues(onError: (vm: VmId, error: unknown) => void): VmQueues {
  const tails = new Map<VmId, { length: number; last: Promise<void> }>();
  let dropped = 0;
  return {
    add(vm, task) {
      const queue = tails.get(vm) ?? { length: 0, last: Promise.resolve() };
      if (queue.length >= VM_QUEUE_MAX) {
        dropped++;
        return false;
      }
      queue.length++;
      queue.last = queue.last
        .then(task)
        .catch((error: unknown) => onError(vm, error))
        .then(() => {
          queue.length--;
          if (queue.length === 0) tails.delete(vm);
        });
      tails.set(vm, queue);
      return true;
    },
    waiting: (vm) => tails.get(vm)?.length ?? 0,
    get dropped() {
      return dropped;
    },
    async idle() {
      while (tails.size > 0) await Promise.all([...tails.values()].map((queue) => queue.last));
    },
  };
}
