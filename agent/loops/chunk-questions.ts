/**
 * What the aggregator asks about chunks. Before it chooses the host that brings a VM back: some chunks of its snapshot by name, of the host
 * that holds it; how many of these lie here, of the others. For a VM whose snapshot lacks some on another host: these, as they are sealed; and
 * of the host that lacks them, to take them. Input: the question, records, stores; output: the answer's own part. Names are keyed, so that they
 * tell nobody what a chunk holds, and who lacks the tenant's key can open none.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { CHUNK_QUESTIONS } from '../../shared/protocol/suspend-frames.ts';
import { sampleChunks } from '../core/chunk-sample.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import { recordsOfEntry } from '../snapshot/manifest.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';

export type ChunkQuestion = Extract<FrameOf<'suspend'>['order'], { action: (typeof CHUNK_QUESTIONS)[number] }>;
export type ChunkAnswer = Pick<FrameOf<'suspend-result'>, 'chunks' | 'held' | 'records'>;

export interface ChunkGround {
  records(): readonly SuspendRecord[];
  /** On the disk. */
  tenants(): Promise<readonly string[]>;
  store(tenant: string): Promise<SnapshotStore>;
  /** Records came for this VM from another host. */
  supplied(vm: VmId, from: string, count: number): void;
}

/** Rejects with NOT_FOUND when there is nothing to take a sample of. */
export async function answerAboutChunks(question: ChunkQuestion, ground: ChunkGround): Promise<ChunkAnswer> {
  switch (question.action) {
    case 'sample':
      return sampleOf(question.vm, ground);
    case 'held':
      return heldOf(question, ground);
    case 'give':
      return { records: await given(question, ground) };
    case 'supply':
      await supply(question, ground);
      return {};
  }
}

async function sampleOf(vm: string, { records, store }: ChunkGround): Promise<ChunkAnswer> {
  const record = records().find((one) => one.vm === vm);
  if (record?.snapshot == null || record.from !== null)
    throw new HeadroomError('NOT_FOUND', `there is no whole snapshot of VM ${vm} on this host`);
  const { tenant, snapshot, touches } = record;
  const opened = await (await store(tenant)).open(snapshot);
  try {
    const predicted = createTouchModel(touches).predict(PREDICTED_CHUNKS_MAX);
    const sample = sampleChunks(
      opened.manifest.memory.map(recordsOfEntry),
      predicted.map(({ chunk }) => chunk),
      CHUNK_BYTES,
    );
    return { chunks: { tenant, snapshot, ...sample } };
  } finally {
    opened.close();
  }
}

type Asked<Action extends ChunkQuestion['action']> = Extract<ChunkQuestion, { action: Action }>;

/** The same key may lie under another name here: that of another host's gets a mark. */
const MARK = /-[0-9a-f]{12}$/;

async function storesOf(tenant: string, ground: ChunkGround): Promise<SnapshotStore[]> {
  const same = (await ground.tenants()).filter((name) => name.replace(MARK, '') === tenant.replace(MARK, ''));
  return Promise.all(same.map((name) => ground.store(name)));
}

async function heldOf({ tenant, first, rest }: Asked<'held'>, ground: ChunkGround): Promise<ChunkAnswer> {
  const stores = await storesOf(tenant, ground);
  const count = (names: readonly string[]): number => names.filter((name) => stores.some((store) => store.has(name))).length;
  return { held: { first: count(first), rest: count(rest) } };
}

async function given({ tenant, names }: Asked<'give'>, ground: ChunkGround): Promise<NonNullable<ChunkAnswer['records']>> {
  const found: NonNullable<ChunkAnswer['records']> = [];
  const stores = await storesOf(tenant, ground);
  for (const name of names)
    for (const store of stores) {
      const sealed = store.has(name) ? await store.sealed(name) : null;
      if (sealed === null) continue;
      found.push({ name, sealed: sealed.toString('base64') });
      break;
    }
  return found;
}

/** Throws STORE_CORRUPT when one is not what its name says: sealed with another key, or broken on the way. */
async function supply({ vm, from, records }: Asked<'supply'>, ground: ChunkGround): Promise<void> {
  const record = ground.records().find((one) => one.vm === vm);
  if (record === undefined) throw new HeadroomError('NOT_FOUND', `there is no snapshot of VM ${vm} on this host`);
  const store = await ground.store(record.tenant);
  let taken = 0;
  for (const { name, sealed } of records) if (await store.supply(name, Buffer.from(sealed, 'base64'))) taken++;
  if (taken > 0) ground.supplied(vm as VmId, from, taken);
  if (taken < records.length)
    throw new HeadroomError(
      'STORE_CORRUPT',
      `${records.length - taken} of ${records.length} records from host ${from} are not what was written`,
    );
}
