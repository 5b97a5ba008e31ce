/**
 * Brings a suspended VM back, in two steps so that the first may come before anyone asks: prepared (memory shown as a file, the
 * chunks it will touch first fetched and verified, QEMU started and given its devices' state, paused) and gone on. Input: an open
 * snapshot, the seam to the hypervisor, predicted chunks; output: the VM paused and ready, or nothing: whatever fails, what was
 * begun is taken away, and the snapshot is as it was.
 */
import { join } from 'node:path';
import { type Clock, sleep } from '../../shared/clock.ts';
import { type GuestMachine, hasEnded, type VmSnapshotter } from '../hypervisor/snapshotter.ts';
import type { OnFetched } from '../snapshot/chunks-ahead.ts';
import { mappedSince } from '../snapshot/mapped-by.ts';
import { type MemoryPlace, placeLazily } from '../snapshot/memory-place.ts';
import type { OpenSnapshot } from '../snapshot/snapshot-store.ts';
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
  /** As it is on this host; absent = as it was suspended. */
  machine?(machine: GuestMachine): GuestMachine;
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
  cancelled?(): boolean;
  /** All of it is fetched and verified before it runs, into a plain file. */
  whole?: boolean;
  onProgress?: OnFetched;
}

/** QEMU opens its memory some tenths of a second before libvirt says that it is there. */
const MAPPED_POLL_MS = 10;

export async function prepareResume(deps: ResumeDeps, snapshot: OpenSnapshot, ahead: Ahead): Promise<PreparedResume> {
  const { snapshotter, clock } = deps;
  const { vm, machine: suspended } = snapshot.manifest.facts;
  const machine = deps.machine?.(suspended) ?? suspended;
  const { state, place } = await placed(deps, snapshot, ahead);
  deps.onPlaced?.(place);
  const isMapped = await mappedSince(vm, place.identity);
  let failed = false;
  const stopped = (): boolean => failed || ahead.cancelled?.() === true;
  const orFailed = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      failed = true;
      throw error;
    });
  const warming = orFailed(place.warm(ahead.predicted, stopped, ahead.onProgress));
  const starting = orFailed(snapshotter.prepare(vm, machine, place.path));
  const loading = orFailed(starting.then(() => snapshotter.loadState(vm, state)));
  // After QEMU has opened the file: the kernel drops what it holds of one that is opened.
  const opened = untilMapped(isMapped, starting, clock);
  const bringing = Promise.all([warming, opened]).then(() => place.bring(ahead.predicted, stopped));
  const [warmed, started, loaded, brought] = await Promise.allSettled([warming, starting, loading, bringing]);
  const abandon = async (): Promise<void> => {
    if (started.status === 'fulfilled')
      await snapshotter.end(vm).catch(async (error: unknown) => {
        // It may have ended by itself meanwhile.
        if (!(await hasEnded(snapshotter, vm))) throw error;
      });
    await place.close();
  };
  const broken = [started, loaded, warmed].find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
  if (broken !== undefined) {
    // A QEMU that could not take its state may be gone already.
    if (broken === loaded) await snapshotter.end(vm).catch(() => undefined);
    if (broken === warmed) await abandon();
    else await place.close();
    throw broken.reason;
  }
  // What could not be brought in comes when it is touched.
  const inPlace = brought.status === 'fulfilled' ? brought.value : new Set<number>();
  return {
    bytesFirst: warmed.status === 'fulfilled' ? warmed.value : 0,
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

/** Its memory can be seen. The devices' state is read, and so verified, before anything is started that runs on it. */
async function placed(
  { clock, folder, onStuck, owner }: ResumeDeps,
  snapshot: OpenSnapshot,
  { whole, onProgress }: Ahead,
): Promise<{ state: Buffer; place: MemoryPlace }> {
  const user = owner === undefined ? {} : { owner };
  const own = join(folder, snapshot.manifest.facts.vm);
  const placing = whole
    ? placeWhole(snapshot, own, { ...user, ...(onProgress ? { onProgress } : {}) })
    : placeLazily({ snapshot, folder: own, clock, onStuck, ...user });
  const [state, place] = await Promise.allSettled([snapshot.state(), placing]);
  if (place.status === 'rejected') throw place.reason;
  if (state.status === 'fulfilled') return { state: state.value, place: place.value };
  await place.value.close();
  throw state.reason;
}

/** Or until the hypervisor has done, one way or the other. */
async function untilMapped(isMapped: () => Promise<boolean>, starting: Promise<void>, clock: Clock): Promise<void> {
  let started = false;
  const done = (): void => {
    started = true;
  };
  starting.then(done, done);
  while (!started && !(await isMapped())) await sleep(clock, MAPPED_POLL_MS);
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
