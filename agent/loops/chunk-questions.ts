/**
 * What the aggregator asks before it chooses the host that brings a VM back: some chunks of its snapshot by name, of the host that holds
 * it; how many of these lie here, of the others. Input: the question, records, stores; output: the answer's own part. Nothing is changed
 * or opened for it but indexes; names are keyed, so that they tell nobody what a chunk holds.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { CHUNK_QUESTIONS } from '../../shared/protocol/suspend-frames.ts';
import { sampleChunks } from '../core/chunk-sample.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import { recordsOfEntry } from '../snapshot/manifest.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';

export type ChunkQuestion = Extract<FrameOf<'suspend'>['order'], { action: (typeof CHUNK_QUESTIONS)[number] }>;
export type ChunkAnswer = Pick<FrameOf<'suspend-result'>, 'chunks' | 'held'>;

export interface ChunkGround {
  records(): readonly SuspendRecord[];
  /** On the disk. */
  tenants(): Promise<readonly string[]>;
  store(tenant: string): Promise<SnapshotStore>;
}

/** Rejects with NOT_FOUND when there is nothing to take a sample of. */
export async function answerAboutChunks(question: ChunkQuestion, ground: ChunkGround): Promise<ChunkAnswer> {
  return question.action === 'sample' ? sampleOf(question.vm, ground) : heldOf(question, ground);
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

/** The same key may lie under another name here: that of another host's gets a mark. */
const MARK = /-[0-9a-f]{12}$/;

async function heldOf({ tenant, first, rest }: Extract<ChunkQuestion, { action: 'held' }>, ground: ChunkGround): Promise<ChunkAnswer> {
  const same = (await ground.tenants()).filter((name) => name.replace(MARK, '') === tenant.replace(MARK, ''));
  const stores = await Promise.all(same.map((name) => ground.store(name)));
  const count = (names: readonly string[]): number => names.filter((name) => stores.some((store) => store.has(name))).length;
  return { held: { first: count(first), rest: count(rest) } };
}
