/**
 * What a simulated host agent keeps on its host's disk: survives the agent's death, not the host's. Also watches what the
 * journal may never do: a pair that falls back is a broken fence.
 */
import type { VmRecord } from '../agent/core/journal.ts';
import type { LiftRequest, StateFiles } from '../agent/loops/state-files.ts';
import type { VmId } from '../shared/ids.ts';
import { comparePairs, RESOURCES } from '../shared/resources.ts';

export interface WatchedStateFiles extends StateFiles {
  /** Pairs that were replaced by lower ones, in words. */
  readonly regressions: string[];
}

export function createMemoryStateFiles(): WatchedStateFiles {
  const records = new Map<VmId, string>();
  const kills = { host: null as string | null, vms: new Map<VmId, string>() };
  const regressions: string[] = [];
  let lifts: LiftRequest[] = [];
  const read = (text: string): VmRecord => JSON.parse(text) as VmRecord;
  return {
    regressions,
    load: () => ({ records: [...records.values()].map(read), problems: [] }),
    save(record) {
      const before = records.get(record.vm);
      if (before !== undefined) regressions.push(...fallen(read(before), record));
      records.set(record.vm, JSON.stringify(record));
    },
    remove: (vm) => void records.delete(vm),
    kills: () => kills,
    setKill(vm, reason) {
      if (vm === null) kills.host = reason;
      else if (reason === null) kills.vms.delete(vm);
      else kills.vms.set(vm, reason);
    },
    requestLift: (request) => void lifts.push(request),
    takeLifts() {
      const taken = lifts;
      lifts = [];
      return taken;
    },
  };
}

function fallen(before: VmRecord, after: VmRecord): string[] {
  return RESOURCES.flatMap((resource) => {
    const [old, next] = [before.pairs[resource], after.pairs[resource]];
    if (old === undefined || (next !== undefined && comparePairs(next, old) >= 0)) return [];
    return [`${resource} of ${after.name}: ${JSON.stringify(old)} was followed by ${JSON.stringify(next ?? null)}`];
  });
}
