/**
 * Brings a suspended VM back, in two steps so that the first may come before anyone asks: prepared (memory shown as a file, the
 * chunks it will touch first fetched and verified, QEMU started and given its devices' state, paused) and gone on. Input: an open
 * snapshot, the seam to the hypervisor, predicted chunks; output: the VM paused and ready, or nothing: whatever fails, what was
 * begun is taken away, and the snapshot is as it was.
 */
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import type { OnFetched } from '../snapshot/chunks-ahead.ts';
import { type MemoryPlace, placeLazily } from '../snapshot/memory-place.ts';
import { putInPlace } from '../snapshot/put-in-place.ts';
import type { OpenSnapshot } from '../snapshot/snapshot-store.ts';
import { qemuProcess } from '../snapshot/touched-chunks.ts';
import { placeWhole } from './place-whole.ts';

export interface ResumeDeps {
  snapshotter: VmSnapshotter;
  clock: Clock;
  /** In RAM: what resumed guests write goes there. */
  folder: string;
  /** A chunk that a running guest waits for could not be had and is tried again; null: it came. */
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  onStuck(chunk: number, problem: unknown): void;
  /** Its memory can be seen; nothing runs on it yet. */
  onPlaced?(place: MemoryPlace): void;
}

/** What a resumed VM lives on until it is suspended or ended. */
export interface Residence {
  snapshot: OpenSnapshot;
  place: MemoryPlace;
  /** Once the VM is gone. */
  leave(): Promise<void>;
}

export interface PreparedResume {
  /** Of predicted chunks that hold something, fetched before the VM runs. */
  readonly bytesFirst: number;
  readonly snapshot: OpenSnapshot;
  readonly place: MemoryPlace;
  /** Chunks that the guest will find without waiting. */
  readonly inPlace: ReadonlySet<number>;
  go(): Promise<Residence>;
  /** Takes everything away again. */
  abandon(): Promise<void>;
}

export interface Ahead {
  /** Chunks of memory in the order to fetch them; none = all come as they are touched. */
  predicted: readonly number[];
  /** Fetched too, but not put in place, so that it can be seen whether the guest wants them. */
  isProbe(chunk: number): boolean;
  cancelled?(): boolean;
  /** All of it is fetched and verified before it runs, into a plain file. */
  whole?: boolean;
  onProgress?: OnFetched;
}

export async function prepareResume(deps: ResumeDeps, snapshot: OpenSnapshot, ahead: Ahead): Promise<PreparedResume> {
  const { snapshotter, clock, folder, onStuck, owner } = deps;
  const user = owner === undefined ? {} : { owner };
  const { vm, machine } = snapshot.manifest.facts;
  // Read, and so verified, before anything is started.
  const state = await snapshot.state();
  const own = join(folder, vm);
  const place = ahead.whole
    ? await placeWhole(snapshot, own, { ...user, ...(ahead.onProgress ? { onProgress: ahead.onProgress } : {}) })
    : await placeLazily({ snapshot, folder: own, clock, onStuck, ...user });
  deps.onPlaced?.(place);
  let failed = false;
  const stopped = (): boolean => failed || ahead.cancelled?.() === true;
  const warming = place.warm(ahead.predicted, stopped, ahead.onProgress);
  const starting = (async (): Promise<void> => {
    await snapshotter.prepare(vm, machine, place.path);
    try {
      await snapshotter.loadState(vm, state);
    } catch (error) {
      await snapshotter.end(vm).catch(() => undefined);
      throw error;
    }
  })().catch((error: unknown) => {
    failed = true;
    throw error;
  });
  const [warmed, started] = await Promise.allSettled([warming, starting]);
  const abandon = async (): Promise<void> => {
    if (started.status === 'fulfilled') await snapshotter.end(vm);
    await place.close();
  };
  if (started.status === 'rejected' || warmed.status === 'rejected') {
    await abandon();
    throw started.status === 'rejected' ? started.reason : (warmed as PromiseRejectedResult).reason;
  }
  const pid = ahead.predicted.length === 0 ? null : await qemuProcess(vm, place.identity);
  const wanted = ahead.predicted.filter((chunk) => !ahead.isProbe(chunk));
  const put = (): Promise<Set<number>> =>
    pid === null ? Promise.resolve(new Set<number>()) : putInPlace({ pid, file: place.identity }, wanted, stopped);
  const inPlace = await place.alone(put);
  return {
    bytesFirst: warmed.value,
    snapshot,
    place,
    inPlace,
    abandon,
    async go() {
      await snapshotter.goOn(vm);
      return residenceOn(snapshot, place);
    },
  };
}

export function residenceOn(snapshot: OpenSnapshot, place: MemoryPlace): Residence {
  return {
    snapshot,
    place,
    async leave() {
      await place.close();
      snapshot.close();
    },
  };
}
