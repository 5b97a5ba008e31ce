/**
 * Brings a suspended VM back, in two steps so that the first may come before anyone asks: prepared (memory shown as a file, the
 * chunks it will touch first fetched and verified, QEMU started and given its devices' state, paused) and gone on. Input: an open
 * snapshot, the seam to the hypervisor, predicted chunks; output: the VM paused and ready, or nothing: whatever fails, what was
 * begun is taken away, and the snapshot is as it was.
 */
import type { Clock } from '../../shared/clock.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { type MemoryPlace, placeLazily } from '../snapshot/memory-place.ts';
import type { OpenSnapshot } from '../snapshot/snapshot-store.ts';

export interface ResumeDeps {
  snapshotter: VmSnapshotter;
  clock: Clock;
  /** In RAM: what resumed guests write goes there. */
  folder: string;
  /** A chunk that a running guest waits for could not be had and is tried again; null: it came. */
  onStuck(chunk: number, problem: unknown): void;
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
  readonly place: MemoryPlace;
  go(): Promise<Residence>;
  /** Takes everything away again. */
  abandon(): Promise<void>;
}

/** @param predicted chunks of memory in the order to fetch them; none = all come as they are touched */
export async function prepareResume(deps: ResumeDeps, snapshot: OpenSnapshot, predicted: readonly number[]): Promise<PreparedResume> {
  const { snapshotter, clock, folder, onStuck } = deps;
  const { vm, machine } = snapshot.manifest.facts;
  // Read, and so verified, before anything is started.
  const state = await snapshot.state();
  const place = await placeLazily({ snapshot, folder, clock, onStuck });
  let failed = false;
  const warming = place.warm(predicted, () => failed);
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
  return {
    bytesFirst: warmed.value,
    place,
    abandon,
    async go() {
      await snapshotter.goOn(vm);
      return {
        snapshot,
        place,
        async leave() {
          await place.close();
          snapshot.close();
        },
      };
    },
  };
}
