/**
 * Disks of VMs that came from another host and run before all of their disks has come: what their images lack is served from the store,
 * which fetches it by name; then all of it is fetched, and the images are made whole. Input: records in the book, snapshots; output: images
 * that stand alone, and definitions that say so. Until that is written down the holder keeps what it has. A guest that stands still for its
 * disk goes on when what it waited for has come.
 */
import { readFile } from 'node:fs/promises';
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { DiskPolicies, HeldDisk, ServedDisk } from '../core/held-disk.ts';
import { createTouchModel, scoreTouches } from '../core/touch-model.ts';
import type { DiskFiller } from '../hypervisor/disk-filler.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import type { OnBytes } from '../snapshot/disk-capture.ts';
import { backingOf, backOnto, standAlone } from '../snapshot/disk-image.ts';
import { ZERO } from '../snapshot/manifest.ts';
import type { NbdServer } from '../snapshot/nbd-server.ts';
import { layOverlay, serveDisk } from '../snapshot/served-disk.ts';
import type { ArrivingSnapshot } from '../snapshot/snapshot-store.ts';
import { synced } from '../snapshot/synced.ts';
import type { SuspendBook } from './suspend-book.ts';

export interface ServedMeans {
  /** Disks come so from now on; those that did before go on either way. */
  lazily: boolean;
  /** Folder for sockets, which QEMU's user must get through to. */
  sockets: string;
  filler: DiskFiller;
  policiesOf(domainXml: string, target: string): DiskPolicies;
  withServed(domainXml: string, target: string, socket: string): string;
  withWhole(domainXml: string, target: string, policies: DiskPolicies): string;
}

export interface ServedDisksOptions {
  means: ServedMeans | null;
  book: SuspendBook;
  snapshotter: Pick<VmSnapshotter, 'definition' | 'define' | 'goOn'>;
  clock: Clock;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  tell(vm: VmId, words: string): void;
  changed(): void;
  /** Stands for the boot of this host. */
  bootId?(): Promise<string>;
}

type Served = HeldDisk & { served: ServedDisk };

interface Shown {
  snapshot: ArrivingSnapshot;
  server: NbdServer;
  /** Chunks that were here before its guest ran, since it was to touch them first. */
  predicted: readonly number[];
  /** What its guest touched first has been learnt. */
  learnt: boolean;
}

/** How much of a disk is still to come, and how long that takes at the pace so far; null = not known yet. */
export interface DiskRest {
  leftBytes: number;
  restMs: number | null;
}

/** A few hundred mebibytes of a disk. */
const FIRST_CHUNKS_MAX = 4096;
const FETCHED_AT_ONCE = 8;
const TELL_MS = 1000;
const LOOK_MS = 1000;
/** One whose guest stands still again and again for another reason: a full file system is not emptied by asking. */
const LOOK_MS_MAX = 10_000;
const WAKES_IN_ROW = 5;
const WAITS = 'it waits for what disk';
const PROBLEMS_MAX = 16;
const PROBLEM_MAX = 512;
const bootIdHere = async (): Promise<string> => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

export class ServedDisks {
  readonly #options: ServedDisksOptions;
  readonly #shown = new Map<VmId, Map<string, Shown>>();
  readonly #filling = new Map<VmId, Promise<void>>();
  readonly #rest = new Map<string, DiskRest>();
  #closed = false;

  constructor(options: ServedDisksOptions) {
    this.#options = options;
  }

  /** Serves what lies below its image, which is made if it is not there yet. Throws with nothing of it left. */
  async serve(vm: VmId, disk: Served, snapshot: ArrivingSnapshot): Promise<HeldDisk> {
    const { clock, owner } = this.#options;
    const shown = this.#shown.get(vm) ?? new Map<string, Shown>();
    const known = shown.get(disk.target);
    if (known !== undefined) {
      snapshot.close();
      return disk;
    }
    const { socket } = disk.served;
    const user = owner === undefined ? {} : { owner };
    const onStuck = (chunk: number, problem: unknown): void => this.#stuck(vm, disk.target, chunk, problem);
    const server = await serveDisk({ snapshot, socket, clock, onStuck, ...user });
    try {
      const laid = disk.stamp === null ? { ...disk, ...(await layOverlay(snapshot, disk.path, socket, owner)) } : disk;
      shown.set(disk.target, { snapshot, server, predicted: [], learnt: false });
      if (!this.#shown.has(vm)) {
        this.#shown.set(vm, shown);
        void this.#watch(vm, shown);
      }
      return laid;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Fetches what its guest is predicted to touch first. */
  async first(vm: VmId, target: string, cancelled: () => boolean, onBytes: OnBytes): Promise<void> {
    const shown = this.#shownOf(vm, target);
    const { snapshot } = shown;
    const { memory } = snapshot.manifest;
    const touches = this.#options.book.find(vm)?.diskTouches?.[target] ?? null;
    const predicted = createTouchModel(touches).predict(FIRST_CHUNKS_MAX);
    // What is all zeros is fetched by nobody.
    shown.predicted = predicted.map(({ chunk }) => chunk).filter((chunk) => (memory[chunk] ?? ZERO).kind !== 'zero');
    const wanted = shown.predicted.filter((chunk) => !snapshot.here(chunk));
    const [rest, totalBytes] = [wanted.values(), wanted.length * CHUNK_BYTES];
    let done = 0;
    const some = async (): Promise<void> => {
      for (const chunk of rest) {
        if (cancelled()) throw new HeadroomError('CANCELLED', `disk ${target} is not needed any more`);
        await snapshot.chunk(chunk);
        done++;
        await onBytes(done * CHUNK_BYTES, totalBytes);
      }
    };
    await Promise.all(Array.from({ length: FETCHED_AT_ONCE }, some));
  }

  /** What its guest has touched of its disks since it came, in order; once. */
  learn(vm: VmId): void {
    const { book } = this.#options;
    for (const [target, shown] of this.#shown.get(vm) ?? []) {
      const record = book.find(vm);
      if (shown.learnt || record === undefined) continue;
      shown.learnt = true;
      const model = createTouchModel(record.diskTouches?.[target] ?? null);
      const { order } = shown.server;
      model.observe([...order]);
      book.note(vm, { diskTouches: { ...record.diskTouches, [target]: model.state() } });
      const { memory } = shown.snapshot.manifest;
      const filled = order.filter((chunk) => memory[chunk]?.kind !== 'zero');
      const disk = record.disks.find((one) => one.target === target);
      if (disk !== undefined && shown.predicted.length > 0) this.#note(vm, { ...disk, score: scoreTouches(shown.predicted, filled) });
    }
  }

  /** All of its disks are whole on this host, on its disk, once this resolves. Whoever comes meanwhile waits for the same. */
  complete(vm: VmId, cancelled: () => boolean, onProgress: OnBytes = () => undefined): Promise<void> {
    const filling = this.#filling.get(vm) ?? this.#complete(vm, cancelled, onProgress).finally(() => this.#filling.delete(vm));
    this.#filling.set(vm, filling);
    return filling;
  }

  /** Names of records that could not be had. */
  lacking(vm: VmId): string[] {
    return [...(this.#shown.get(vm)?.values() ?? [])].flatMap(({ snapshot }) => snapshot.lacking());
  }

  rest(vm: VmId, target: string): DiskRest | null {
    return this.#rest.get(`${vm} ${target}`) ?? null;
  }

  /** Serves no more. Its guest, if it runs, must not need it, or waits for who serves next. */
  async close(vm: VmId): Promise<void> {
    for (const target of [...(this.#shown.get(vm)?.keys() ?? [])]) await this.#end(vm, target);
  }

  async closeAll(): Promise<void> {
    this.#closed = true;
    for (const vm of [...this.#shown.keys()]) await this.close(vm);
    this.#options.means?.filler.close();
  }

  async #complete(vm: VmId, cancelled: () => boolean, onProgress: OnBytes): Promise<void> {
    for (const { target } of this.#served(vm)) {
      const { snapshot } = this.#shownOf(vm, target);
      await snapshot.complete(cancelled, this.#noting(vm, target, onProgress));
      this.#rest.set(`${vm} ${target}`, { leftBytes: 0, restMs: null });
      this.#options.changed();
    }
    // What is read from now on is not its guest's reading.
    this.learn(vm);
    for (const disk of this.#served(vm)) await this.#makeWhole(vm, disk, cancelled);
  }

  #noting(vm: VmId, target: string, onProgress: OnBytes): OnBytes {
    const { clock, changed } = this.#options;
    const beganMs = clock.monotonicMs();
    let toldMs = beganMs - TELL_MS;
    return (doneBytes, totalBytes) => {
      const nowMs = clock.monotonicMs();
      const leftBytes = totalBytes - doneBytes;
      this.#rest.set(`${vm} ${target}`, { leftBytes, restMs: doneBytes === 0 ? null : ((nowMs - beganMs) * leftBytes) / doneBytes });
      if (nowMs - toldMs >= TELL_MS) {
        toldMs = nowMs;
        changed();
      }
      return onProgress(doneBytes, totalBytes);
    };
  }

  /**
   * An image may say that it stands alone before what was copied up into it is on the disk, or out of QEMU's memory: the record says that it
   * does not until that is certain. One that says so, and of which it is not, reads from below again what it lacks.
   */
  async #makeWhole(vm: VmId, disk: Served, cancelled: () => boolean): Promise<void> {
    const { tell } = this.#options;
    const { target, path } = disk;
    const means = this.#meansFor(target);
    const run = await means.filler.runOf(vm);
    await this.#fill(vm, disk, means, run, cancelled);
    const below = await backingOf(path);
    if (below !== null) throw new HeadroomError('CONFLICT', `disk ${target} (${path}) still reads from ${below}`);
    await synced(path);
    if (run !== null) await means.filler.flush(vm, target, path);
    if ((await means.filler.runOf(vm)) !== run)
      throw new HeadroomError('CONFLICT', `disk ${target} (${path}): its VM was started or ended amid it`);
    await synced(path);
    await this.#defineWhole(vm, disk, means);
    const { served: _gone, ...whole } = disk;
    this.#note(vm, whole);
    this.#noteProblem(vm, target, null);
    await this.#end(vm, target);
    tell(vm, `all of disk ${target} has come: ${path} stands alone`);
  }

  async #fill(vm: VmId, disk: Served, means: ServedMeans, run: string | null, cancelled: () => boolean): Promise<void> {
    const { tell, bootId = bootIdHere } = this.#options;
    const { target, path, served } = disk;
    const boot = await bootId();
    const by = `${boot} ${run ?? 'off'}`;
    const alone = (await backingOf(path)) === null;
    if (run !== null && alone && served.filledBy !== by)
      throw new HeadroomError(
        'CONFLICT',
        `disk ${target} (${path}) may lack what QEMU had not written when it ended: stop the VM, and it is read anew`,
      );
    if (run === null && alone) await backOnto(path, served.socket);
    if (served.filledBy !== null && !served.filledBy.startsWith(`${boot} `))
      tell(vm, `the host went down while disk ${target} (${path}) was made whole: look after its file systems`);
    this.#note(vm, { ...disk, served: { ...served, filledBy: by } });
    if (run === null) await standAlone(path);
    else if (!alone) await means.filler.fill(vm, target, path, cancelled);
  }

  #meansFor(target: string): ServedMeans {
    const { means } = this.#options;
    if (means !== null) return means;
    const words = `disk ${target} cannot be made whole: this host has no place for disks any more (localDisks)`;
    throw new HeadroomError('CONFIG_INVALID', words);
  }

  async #defineWhole(vm: VmId, { target, served }: Served, means: ServedMeans): Promise<void> {
    const { snapshotter } = this.#options;
    const defined = await snapshotter.definition(vm);
    if (defined === null) return;
    const whole = means.withWhole(defined, target, served);
    if (whole !== defined) await snapshotter.define(vm, whole);
  }

  /**
   * A guest that was stopped for its disk, by us or while nobody served, goes on once nothing is lacking. Several times: of the requests it
   * makes anew, those that QEMU sends before it has found us again fail once more.
   */
  async #watch(vm: VmId, shown: Map<string, Shown>): Promise<void> {
    const { clock, tell } = this.#options;
    let inRow = 0;
    while (!this.#closed) {
      await sleep(clock, inRow > WAKES_IN_ROW ? LOOK_MS_MAX : LOOK_MS);
      const over = this.#shown.get(vm) !== shown;
      const wakes = await this.#wake(vm, shown).catch(() => false);
      if (wakes && inRow === 0) tell(vm, 'it stood still for its disk, which can be read again: it goes on');
      inRow = wakes ? inRow + 1 : 0;
      if (over && !wakes) return;
    }
  }

  async #wake(vm: VmId, shown: Map<string, Shown>): Promise<boolean> {
    const { means, snapshotter, book } = this.#options;
    const runs = book.find(vm) !== undefined && [null, 'going', 'running'].includes(book.phase(vm));
    if (this.#closed || !runs || means === null || [...shown.values()].some(({ server }) => server.stuck > 0)) return false;
    if (!(await means.filler.stoppedByDisk(vm))) return false;
    await snapshotter.goOn(vm);
    return true;
  }

  #served(vm: VmId): Served[] {
    return (this.#options.book.find(vm)?.disks ?? []).filter((disk): disk is Served => disk.served !== undefined);
  }

  #shownOf(vm: VmId, target: string): Shown {
    const shown = this.#shown.get(vm)?.get(target);
    if (shown === undefined) throw new HeadroomError('UNAVAILABLE', `disk ${target} is not served yet`);
    return shown;
  }

  async #end(vm: VmId, target: string): Promise<void> {
    const shown = this.#shown.get(vm);
    const one = shown?.get(target);
    shown?.delete(target);
    if (shown?.size === 0) this.#shown.delete(vm);
    this.#rest.delete(`${vm} ${target}`);
    await one?.server.close();
    one?.snapshot.close();
  }

  #stuck(vm: VmId, target: string, chunk: number, problem: unknown): void {
    const { tell, changed } = this.#options;
    const waiting = this.#shown.get(vm)?.get(target)?.server.stuck ?? 0;
    // Told once of all that is asked for meanwhile.
    if (problem === null ? waiting > 0 : waiting > 1) return;
    const words =
      problem === null
        ? `what disk ${target} holds came after all`
        : `${WAITS} ${target} holds (chunk ${chunk}), which is tried again until it comes: ${errorText(problem)}`;
    tell(vm, words);
    this.#noteProblem(vm, target, problem === null ? null : words);
    changed();
  }

  #noteProblem(vm: VmId, target: string, words: string | null): void {
    const { book } = this.#options;
    const { problems = [] } = book.find(vm) ?? {};
    const others = problems.filter((one) => !one.startsWith(`${WAITS} ${target} `));
    const now = words === null ? others : [words.slice(0, PROBLEM_MAX), ...others].slice(0, PROBLEMS_MAX);
    if (now.length !== problems.length || words !== null) book.note(vm, { problems: now });
  }

  #note(vm: VmId, disk: HeldDisk): void {
    const { book, changed } = this.#options;
    const others = book.find(vm)?.disks.filter(({ target }) => target !== disk.target) ?? [];
    book.note(vm, { disks: [...others, disk] });
    changed();
  }
}
