/**
 * When a VM's job (migration, backup, save) is over: nobody tells, and until it is known nothing is done to that VM, not even by the fast
 * guard. Input: the table; output: VMs that were found busy looked at again every few seconds. That a job begins is seen by whoever is
 * about to write.
 */
import type { HostContext } from './host-context.ts';
import { isUp, type VmEntry } from './vm-table.ts';

/** A call to the hypervisor each; a job takes seconds at least. */
const LOOK_EVERY_MS = 2000;

export interface JobWatch {
  /** At the pace of looks. */
  tick(): void;
}

export function createJobWatch(context: HostContext): JobWatch {
  const restsUntilMs = new WeakMap<VmEntry, number>();
  const look = async (entry: VmEntry): Promise<void> => {
    // Who cannot be asked may still be busy.
    entry.jobActive = await context.hypervisor.jobActive(entry.id).catch(() => true);
    if (!entry.jobActive) context.changed();
  };
  return {
    tick() {
      const nowMs = context.clock.monotonicMs();
      for (const entry of context.table.values()) {
        if (!entry.managed || !entry.jobActive || !isUp(entry) || nowMs < (restsUntilMs.get(entry) ?? 0)) continue;
        restsUntilMs.set(entry, nowMs + LOOK_EVERY_MS);
        void look(entry);
      }
    },
  };
}
