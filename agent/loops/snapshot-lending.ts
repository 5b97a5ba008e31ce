/**
 * Snapshots of VMs suspended on this host, lent to the hosts that bring them back. Input: what suspends VMs here, their queues; output:
 * answers to one asker at a time for each. That a VM runs elsewhere is written down before the asker is told that it may: one that was
 * taken back by then is refused.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { TouchState } from '../core/touch-model.ts';
import { DISKS_TOO, type QuestionKind } from '../snapshot/lend-wire.ts';
import type { Lending } from '../snapshot/lender.ts';
import type { LentSnapshot, SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { LentDisk } from './local-disks.ts';
import type { Suspender } from './suspender.ts';

/** What the other host is told of a VM it brings back. */
export interface AboutLent {
  name: string;
  tenant: string;
  /** Opens what is sealed; hexadecimal. */
  tenantKey: string;
  snapshot: string;
  memoryBytes: number;
  filledBytes: number;
  ownMemory: string | null;
  touches: TouchState | null;
  /** Its persistent definition. */
  definition: string;
  /** Those that the holder alone sees. Absent: it knows no such thing, and there are none. */
  disks?: LentDisk[];
  /** What it touches first of them, by target. */
  diskTouches?: Record<string, TouchState>;
}

export interface LendingParts {
  suspender: Suspender;
  store(tenant: string): Promise<SnapshotStore>;
  keyOf(tenant: string): Promise<Buffer>;
  definition(vm: VmId): Promise<string | null>;
  /** After all that is under way for this VM. */
  inTurn<T>(vm: VmId, task: () => Promise<T>): Promise<T>;
}

const NOTHING = Buffer.alloc(0);

export async function lendingOf({ suspender, store, keyOf, definition, inTurn }: LendingParts, vm: VmId): Promise<Lending> {
  const { tenant, snapshot: id, disks: held } = lent(suspender, vm);
  const disks = held.map(({ target, bytes, snapshot }): LentDisk => ({ target, bytes, snapshot }));
  const snapshots = await lentOf(await store(tenant), [id, ...disks.map((disk) => disk.snapshot)]);
  const about = async (asked: string): Promise<Buffer> => {
    if (disks.length > 0 && asked !== DISKS_TOO)
      throw new HeadroomError('CONFLICT', 'its disks lie on this host alone, and the agent of the other is too old to bring them along');
    const { name, memoryBytes, filledBytes, ownMemory, touches, diskTouches = {} } = lent(suspender, vm);
    const xml = await definition(vm);
    if (xml === null) throw new HeadroomError('NOT_FOUND', `${name} is not defined here any more`);
    const tenantKey = (await keyOf(tenant)).toString('hex');
    const what = { name, tenant, tenantKey, snapshot: id, memoryBytes, filledBytes, ownMemory };
    const told: AboutLent = { ...what, touches, definition: xml, disks, diskTouches };
    return Buffer.from(JSON.stringify(told));
  };
  const answers: Record<QuestionKind, (name: string) => Promise<Buffer>> = {
    about,
    async manifest(name) {
      const asked = snapshots.get(name);
      if (asked === undefined) throw new HeadroomError('NOT_FOUND', `snapshot ${name} is not lent`);
      return asked.manifest();
    },
    async record(name) {
      for (const [of, snapshot] of snapshots) {
        if (!snapshot.names(name)) continue;
        const sealed = await snapshot.record(name);
        if (sealed !== null) return sealed;
        const anew = (await suspender.rereadDisk(vm, of, name)) ? await snapshot.record(name) : null;
        if (anew !== null) return anew;
      }
      throw new HeadroomError('STORE_CORRUPT', `record ${name} is not lent, or not as it was written`);
    },
    going: () => inTurn(vm, () => suspender.goesElsewhere(vm)).then(() => NOTHING),
    done: () => inTurn(vm, () => suspender.isElsewhere(vm)).then(() => NOTHING),
  };
  return { answer: (kind, name) => answers[kind](name), close: () => closeAll(snapshots.values()) };
}

async function lentOf(store: SnapshotStore, ids: readonly string[]): Promise<Map<string, LentSnapshot>> {
  const snapshots = new Map<string, LentSnapshot>();
  try {
    for (const id of ids) snapshots.set(id, await store.lend(id));
    return snapshots;
  } catch (error) {
    closeAll(snapshots.values());
    throw error;
  }
}

function closeAll(snapshots: Iterable<LentSnapshot>): void {
  for (const snapshot of snapshots) snapshot.close();
}

/** Throws CONFLICT unless it is lent. */
function lent(suspender: Suspender, vm: VmId) {
  const record = suspender.records().find((one) => one.vm === vm);
  if (record?.lentTo == null || record.snapshot === null) throw new HeadroomError('CONFLICT', `VM ${vm} is not lent`);
  return { ...record, snapshot: record.snapshot };
}
