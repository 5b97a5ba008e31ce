/**
 * The host agent's state files in memory: they outlive an agent that is killed and started anew, as a disk would. Input and
 * output as the seam says; what is saved goes through the same text and the same check as on disk.
 */
import { checkRecord } from '../agent/core/journal-check.ts';
import type { LiftRequest, StateFiles } from '../agent/loops/state-files.ts';
import { assert } from '../shared/assert.ts';
import type { VmId } from '../shared/ids.ts';

export function createMemoryStateFiles(): StateFiles {
  const journals = new Map<VmId, string>();
  const kills = new Map<VmId | null, string>();
  let lifts: LiftRequest[] = [];
  return {
    load() {
      const records = [...journals.values()].map((text) => {
        const check = checkRecord(text);
        assert(check.ok, `a journal of our own cannot be read back: ${text}`);
        return check.record;
      });
      return { records, problems: [] };
    },
    save(record) {
      journals.set(record.vm, JSON.stringify(record));
    },
    remove(vm) {
      journals.delete(vm);
    },
    kills: () => ({
      host: kills.get(null) ?? null,
      vms: new Map([...kills].flatMap(([vm, reason]) => (vm === null ? [] : [[vm, reason] as const]))),
    }),
    setKill(vm, reason) {
      if (reason === null) kills.delete(vm);
      else kills.set(vm, reason);
    },
    requestLift(request) {
      lifts.push(request);
    },
    takeLifts() {
      const taken = lifts;
      lifts = [];
      return taken;
    },
  };
}
