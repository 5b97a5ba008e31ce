/**
 * Suspends a VM: stopped at once, its devices' state and its memory into the snapshot store, read back, and only then is it ended.
 * Input: the VM, the seam to its hypervisor, the tenant's store, what it was resumed onto if it was; output: what was used and why.
 * Whatever fails before the end, the VM goes on as if nothing had been: it is saved by the hypervisor's own way instead.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { SnapshotSupport, VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { readRange } from '../snapshot/memory-place.ts';
import type { SavedSnapshot, SnapshotDraft, SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { Residence } from './resume-vm.ts';

export interface SuspendDeps {
  snapshotter: VmSnapshotter;
  store: SnapshotStore;
  clock: Clock;
  /** Memory read and saved so far, bytes. */
  onProgress?(doneBytes: number, totalBytes: number): void;
  /** The snapshot is whole and the VM stands still: written down before it is ended. */
  onSaved?(saved: SavedSnapshot, memoryPath: string): void;
  /** Saved by the hypervisor's own way from here on. */
  onFallBack?(reason: string): void;
}

export type Suspended =
  | {
      recipe: 'memory-file';
      saved: SavedSnapshot;
      /** From the call until the vCPUs stood, and until the VM was ended. */
      stoppedMs: number;
      endedMs: number;
    }
  | { recipe: 'managed-save'; reason: string };

/** Rejects when neither way worked; the VM then runs. */
export async function suspendVm(deps: SuspendDeps, vm: VmId, residence: Residence | null): Promise<Suspended> {
  const { snapshotter } = deps;
  const support = await snapshotter.inspect(vm);
  if (support.recipe === 'managed-save') return byManagedSave(deps, vm, support.reason, residence);
  try {
    // One that was ended and started anew lies on its own file again.
    const onPlace = residence !== null && residence.place.path === support.memoryPath;
    const suspended = await intoStore(deps, vm, support, onPlace ? residence : null);
    await residence?.leave();
    return suspended;
  } catch (error) {
    if ((await snapshotter.power(vm)) === 'off') throw error;
    await snapshotter.goOn(vm);
    // Its administrator set the limits: what does not fit goes nowhere else.
    if (isHeadroomError(error, 'STORE_FULL')) throw error;
    return byManagedSave(deps, vm, errorText(error), residence);
  }
}

async function intoStore(
  { snapshotter, store, clock, onProgress, onSaved }: SuspendDeps,
  vm: VmId,
  { memoryPath, memoryBytes, machine }: Extract<SnapshotSupport, { recipe: 'memory-file' }>,
  residence: Residence | null,
): Promise<Suspended> {
  const beganMs = clock.monotonicMs();
  await snapshotter.pause(vm);
  const stoppedMs = clock.monotonicMs() - beganMs;
  const place = residence?.place ?? null;
  const draft = {
    facts: { vm, takenAtMs: clock.wallMs(), memoryBytes, machine },
    state: await snapshotter.deviceState(vm),
    readMemory: (offset: number, length: number) => {
      onProgress?.(offset, memoryBytes);
      return place === null ? readRange(memoryPath, offset, length) : place.read(offset, length);
    },
    parent: residence?.snapshot ?? null,
    unchanged: (chunk: number) => place !== null && !place.touched(chunk),
  };
  const saved = await savedWhole(store, draft);
  onSaved?.(saved, memoryPath);
  await snapshotter.end(vm);
  return { recipe: 'memory-file', saved, stoppedMs, endedMs: clock.monotonicMs() - beganMs };
}

/**
 * Read back: the guest's memory is still there, and this is the last moment at which a disk that lies can be found out. Records of
 * before that are found broken are forgotten, so that the second time they are written anew.
 */
async function savedWhole(store: SnapshotStore, draft: SnapshotDraft): Promise<SavedSnapshot> {
  for (let again = false; ; again = true) {
    const saved = await store.save(draft);
    const problems = await store.verify(saved.manifest.id);
    if (problems.length === 0) return saved;
    await store.remove(saved.manifest.id);
    if (again) throw new HeadroomError('STORE_CORRUPT', `the snapshot could not be read back: ${problems[0]}`);
  }
}

async function byManagedSave(
  { snapshotter, onFallBack }: SuspendDeps,
  vm: VmId,
  reason: string,
  residence: Residence | null,
): Promise<Suspended> {
  onFallBack?.(reason);
  await snapshotter.save(vm);
  await residence?.leave();
  return { recipe: 'managed-save', reason };
}
