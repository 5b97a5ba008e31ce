/**
 * Snapshots of VMs suspended on this host, lent to the hosts that bring them back. Input: what suspends VMs here, their queues; output:
 * answers to one asker at a time for each. That a VM runs elsewhere is written down before the asker is told that it may: one that was
 * taken back by then is refused.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { TouchState } from '../core/touch-model.ts';
import type { QuestionKind } from '../snapshot/lend-wire.ts';
import type { Lending } from '../snapshot/lender.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';
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
  const { tenant, snapshot: id } = lent(suspender, vm);
  const snapshot = await (await store(tenant)).lend(id);
  const about = async (): Promise<Buffer> => {
    const { name, memoryBytes, filledBytes, ownMemory, touches } = lent(suspender, vm);
    const xml = await definition(vm);
    if (xml === null) throw new HeadroomError('NOT_FOUND', `${name} is not defined here any more`);
    const tenantKey = (await keyOf(tenant)).toString('hex');
    const told: AboutLent = { name, tenant, tenantKey, snapshot: id, memoryBytes, filledBytes, ownMemory, touches, definition: xml };
    return Buffer.from(JSON.stringify(told));
  };
  const answers: Record<QuestionKind, (name: string) => Promise<Buffer>> = {
    about,
    async manifest(name) {
      if (name !== id) throw new HeadroomError('NOT_FOUND', `snapshot ${name} is not lent`);
      return snapshot.manifest();
    },
    async record(name) {
      const sealed = await snapshot.record(name);
      if (sealed === null) throw new HeadroomError('STORE_CORRUPT', `record ${name} is not lent, or not as it was written`);
      return sealed;
    },
    going: () => inTurn(vm, async () => suspender.goesElsewhere(vm)).then(() => NOTHING),
    done: () => inTurn(vm, () => suspender.isElsewhere(vm)).then(() => NOTHING),
  };
  return { answer: (kind, name) => answers[kind](name), close: () => snapshot.close() };
}

/** Throws CONFLICT unless it is lent. */
function lent(suspender: Suspender, vm: VmId) {
  const record = suspender.records().find((one) => one.vm === vm);
  if (record?.lentTo == null || record.snapshot === null) throw new HeadroomError('CONFLICT', `VM ${vm} is not lent`);
  return { ...record, snapshot: record.snapshot };
}
