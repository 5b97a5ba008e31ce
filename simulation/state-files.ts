/**
 * The host agent's state files in memory: they outlive an agent that is killed and started anew, as a disk would. What is
 * saved goes through the same text and the same check as on disk. Also watches what the journal may never do: a pair that
 * falls back is a broken fence.
 */
import type { VmRecord } from '../agent/core/journal.ts';
import { checkRecord } from '../agent/core/journal-check.ts';
import type { LiftRequest, StateFiles } from '../agent/loops/state-files.ts';
import { assert } from '../shared/assert.ts';
import type { VmId } from '../shared/ids.ts';
import { comparePairs, RESOURCES, type Resource } from '../shared/resources.ts';

export interface WatchedStateFiles extends StateFiles {
  /** Pairs that were replaced by lower ones, in words. */
  readonly regressions: string[];
  /** The journal holds an original of this resource: the agent has written it. */
  wrote(vm: VmId, resource: Resource): boolean;
}

interface Watched {
  pairs: VmRecord['pairs'];
  written: ReadonlySet<Resource>;
}

export function createMemoryStateFiles(): WatchedStateFiles {
  /** As on disk, and what is watched of it. */
  const records = new Map<VmId, { text: string; seen: Watched }>();
  const kills = { host: null as string | null, vms: new Map<VmId, string>() };
  const regressions: string[] = [];
  let lifts: LiftRequest[] = [];
  return {
    regressions,
    wrote: (vm, resource) => records.get(vm)?.seen.written.has(resource) === true,
    load: () => ({ records: [...records.values()].map(({ text }) => parse(text)), problems: [] }),
    save(record) {
      const before = records.get(record.vm);
      if (before !== undefined) regressions.push(...fallen(before.seen.pairs, record));
      const written = new Set(RESOURCES.filter((resource) => record.entries[resource] !== undefined));
      records.set(record.vm, { text: JSON.stringify(record), seen: { pairs: { ...record.pairs }, written } });
    },
    remove: (vm) => void records.delete(vm),
    kills: () => ({ host: kills.host, vms: new Map(kills.vms) }),
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

function parse(text: string): VmRecord {
  const check = checkRecord(text);
  assert(check.ok, `a journal of our own cannot be read back: ${text}`);
  return check.record;
}

function fallen(before: VmRecord['pairs'], after: VmRecord): string[] {
  return RESOURCES.flatMap((resource) => {
    const [old, next] = [before[resource], after.pairs[resource]];
    if (old === undefined || (next !== undefined && comparePairs(next, old) >= 0)) return [];
    return [`${resource} of ${after.name}: ${JSON.stringify(old)} was followed by ${JSON.stringify(next ?? null)}`];
  });
}
