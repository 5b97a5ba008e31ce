/**
 * Disks of suspended VMs that this host alone sees: taken into the snapshot store once their VM is off, so that another host may bring it
 * back, and laid out here when one comes from there. Input: folders whose disks nobody else sees, records in the book; output: disks in
 * the book, images. Its own images lie in a folder of their own; no other image is ever removed, and none that a VM may have written to
 * but by the word of the host that has what it holds now.
 */
import { join, normalize } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { BROKEN, type DefinedDisk, type HeldDisk, sameStamp } from '../core/held-disk.ts';
import type { SnapshotOrigin, SuspendRecord } from '../core/suspend-record.ts';
import type { GuestMachine } from '../hypervisor/snapshotter.ts';
import { captureDisk, clearLeft, layDisk, type OnBytes, readingImage, removeLaid, stampOf } from '../snapshot/disk-capture.ts';
import type { OpenSnapshot, SnapshotSource, SnapshotStore } from '../snapshot/snapshot-store.ts';
import { ServedDisks, type ServedDisksOptions, type ServedMeans } from './served-disks.ts';
import type { SuspendBook } from './suspend-book.ts';

/** Where an administrator says that disks are this host's alone. */
export interface DiskMeans {
  /** Disks below these are; what comes from other hosts goes into the first. */
  folders: readonly string[];
  disksOf(domainXml: string): DefinedDisk[];
  /** The same definition with these images (by target) in the place of others. */
  withDisks(domainXml: string, places: ReadonlyMap<string, string>): string;
  /** Absent: they come whole before their VM runs. */
  served?: ServedMeans;
}

export interface LocalDisksOptions {
  means: DiskMeans | null;
  book: SuspendBook;
  snapshotter: ServedDisksOptions['snapshotter'];
  clock: Clock;
  store(tenant: string): Promise<SnapshotStore>;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  tell(vm: VmId, words: string): void;
  changed(): void;
}

/** What another host is told of a disk. */
export type LentDisk = Pick<HeldDisk, 'target' | 'bytes' | 'snapshot'>;

/** Below each of the folders: images made here. */
const OWN = 'headroom';
const PROBLEM = 'its disks are not in its snapshot';
const PROBLEMS_MAX = 16;
const PROBLEM_MAX = 512;

interface Capture {
  cancelled: boolean;
  done: Promise<void>;
}

export class LocalDisks {
  readonly #options: LocalDisksOptions;
  readonly #captures = new Map<VmId, Capture>();
  #rereading: Promise<unknown> = Promise.resolve();
  /** Of VMs that run before all of their disks is here. */
  readonly served: ServedDisks;

  constructor(options: LocalDisksOptions) {
    this.#options = options;
    this.served = new ServedDisks({ ...options, means: options.means?.served ?? null });
  }

  /** Before anything else: what an agent before us left of its work. */
  async clearLeft(): Promise<void> {
    for (const folder of this.#options.means?.folders ?? []) await clearLeft(join(folder, OWN));
  }

  /** In its own time: nobody waits for it until the VM is to go elsewhere. */
  start(vm: VmId): void {
    if (this.#options.means !== null && !this.#captures.has(vm)) void this.#begin(vm).catch((error: unknown) => this.#failed(vm, error));
  }

  /** Nothing reads its disks any more once this resolves. */
  async stop(vm: VmId): Promise<void> {
    const capture = this.#captures.get(vm);
    if (capture === undefined) return;
    capture.cancelled = true;
    await capture.done;
  }

  async stopAll(): Promise<void> {
    for (const vm of [...this.#captures.keys()]) await this.stop(vm);
    await this.served.closeAll();
  }

  get busy(): boolean {
    return this.#captures.size > 0;
  }

  /** All of them are in the store, as they are now, once this resolves. Throws saying which cannot be. */
  async whole(vm: VmId): Promise<void> {
    if (this.#options.means === null) this.#noteAll(vm, []);
    await this.#captures.get(vm)?.done;
    await this.#begin(vm);
  }

  /** Throws CONFLICT when one was written to since it was taken: what another host has of it is not what goes with the memory. */
  async asTaken(vm: VmId): Promise<void> {
    for (const disk of this.#options.book.find(vm)?.disks ?? []) {
      if (await isAsTaken(disk)) continue;
      throw new HeadroomError('CONFLICT', `disk ${disk.target} (${disk.path}) was written to since it was taken into the snapshot`);
    }
  }

  /** What is wrong with those that were taken with its memory, in words. One that is broken is taken anew before it is lent. */
  async verify(vm: VmId): Promise<string[]> {
    const record = this.#options.book.find(vm);
    const problems: string[] = [];
    for (const disk of record?.disks.filter(({ of }) => of === record.snapshot) ?? []) {
      const found = await (await this.#options.store((record as SuspendRecord).tenant)).verify(disk.snapshot);
      if (found.length > 0) this.distrust(vm, disk.snapshot);
      problems.push(...found.map((words) => `disk ${disk.target}: ${words}`));
    }
    return problems;
  }

  /**
   * A record of what was taken of a disk is lost: made anew from its image, where that is as it was taken. Answers whether it is here now. One after
   * another: each starts a program.
   */
  reread(vm: VmId, snapshot: string, digest: string): Promise<boolean> {
    const done = this.#rereading.then(() => this.#reread(vm, snapshot, digest));
    this.#rereading = done.catch(() => undefined);
    return done;
  }

  async #reread(vm: VmId, snapshot: string, digest: string): Promise<boolean> {
    const { book, means, tell } = this.#options;
    const record = book.find(vm);
    const disk = record?.disks.find((one) => one.snapshot === snapshot);
    const folder = means?.folders[0];
    if (record === undefined || disk === undefined || folder === undefined || !(await isAsTaken(disk))) return false;
    const store = await this.#options.store(record.tenant);
    const here = await readingImage(disk, join(folder, OWN), (read) => store.reread(snapshot, digest, read));
    if (!here || !(await isAsTaken(disk))) return false;
    tell(vm, `a chunk of disk ${disk.target} was broken in the snapshot store, and was read anew from ${disk.path}: look after the disk`);
    return true;
  }

  /** What it has of this disk is broken: it is taken anew from its image before it is lent next. */
  distrust(vm: VmId, snapshot: string): void {
    const record = this.#options.book.find(vm);
    // Of one that comes from another host there is no image yet to take it from.
    const disk = record?.from === null ? record.disks.find((one) => one.snapshot === snapshot) : undefined;
    if (disk !== undefined) this.#note(vm, { ...disk, of: BROKEN });
  }

  /** Of a VM that comes from another host: where its disks will lie. Throws CONFLICT where there is no place for them. */
  expected(vm: VmId, snapshot: string, lent: readonly LentDisk[], definition = ''): HeldDisk[] {
    if (lent.length === 0) return [];
    const { folders: [folder] = [], served: means } = this.#options.means ?? {};
    if (folder === undefined)
      throw new HeadroomError(
        'CONFLICT',
        'its disks lie on the host that holds it alone, and this host has no place for them (localDisks)',
      );
    return lent.map(({ target, bytes, snapshot: id }) => {
      if (!/^[A-Za-z0-9]{1,32}$/.test(target) || !/^[0-9a-f]{64}$/.test(id))
        throw new HeadroomError('STORE_CORRUPT', `VM ${vm} has no disk that could be called "${target}"`);
      const path = join(folder, OWN, vm, `${target}-${id.slice(0, 16)}.qcow2`);
      const held: HeldDisk = { target, path, format: 'qcow2', bytes, snapshot: id, of: snapshot, bitmap: null, stamp: null };
      if (means?.lazily !== true) return held;
      const served = { socket: join(means.sockets, `${vm}-${target}`), ...means.policiesOf(definition, target), filledBy: null };
      return { ...held, served };
    });
  }

  /**
   * Fetches and verifies what is not here yet, and lays it out. All of its disks are whole once this resolves, or can be read: then what its
   * guest will touch first is here.
   */
  async lay(vm: VmId, source: SnapshotSource, cancelled: () => boolean, onBytes: OnBytes): Promise<void> {
    const { book, owner } = this.#options;
    for (const disk of book.find(vm)?.disks.filter(({ stamp }) => stamp === null) ?? []) {
      const { tenant } = book.find(vm) as SuspendRecord;
      if (disk.served !== undefined) continue;
      const snapshot = await (await this.#options.store(tenant)).adopt(disk.snapshot, source);
      try {
        fits(vm, disk, snapshot);
        await snapshot.complete(cancelled, onBytes);
        const laid = await layDisk(snapshot, disk.path, { cancelled, ...(owner === undefined ? {} : { owner }) });
        this.#note(vm, { ...disk, ...laid });
      } finally {
        snapshot.close();
      }
    }
    await this.serve(vm, source);
    for (const { target, served } of book.find(vm)?.disks ?? [])
      if (served !== undefined) await this.served.first(vm, target, cancelled, onBytes);
  }

  /** Those of its disks that have not all come yet can be read; where they are already nothing happens. */
  async serve(vm: VmId, source: SnapshotSource): Promise<void> {
    const { tenant = '', disks = [] } = this.#options.book.find(vm) ?? {};
    for (const disk of disks) {
      const { served } = disk;
      if (served === undefined) continue;
      const snapshot = await (await this.#options.store(tenant)).adopt(disk.snapshot, source);
      try {
        fits(vm, disk, snapshot);
        const laid = await this.served.serve(vm, { ...disk, served }, snapshot);
        if (laid.stamp !== disk.stamp) this.#note(vm, laid);
      } catch (error) {
        snapshot.close();
        throw error;
      }
    }
  }

  /** A definition of it, or of the moment it was suspended, with its disks where they are on this host. */
  placed({ disks, snapshot, from }: SuspendRecord, domainXml: string): string {
    const { means } = this.#options;
    // Those of an earlier moment may have been replaced by others since.
    const now = disks.filter(({ of }) => of === snapshot);
    if (now.length === 0 || (means === null && from === null)) return domainXml;
    if (means === null)
      throw new HeadroomError('CONFIG_INVALID', 'its disks came to this host, which has no place for them any more (localDisks)');
    const placed = means.withDisks(domainXml, new Map(now.map((one) => [one.target, one.path])));
    return now.reduce((xml, { target, served }) => {
      if (served === undefined) return xml;
      if (means.served === undefined)
        throw new HeadroomError('CONFIG_INVALID', `disk ${target} has not all come, and cannot be served here`);
      return means.served.withServed(xml, target, served.socket);
    }, placed);
  }

  adapted(record: SuspendRecord, machine: GuestMachine): GuestMachine {
    return { ...machine, domainXml: this.placed(record, machine.domainXml) };
  }

  /** The VM never ran on what was laid out for it. */
  async discard({ vm, tenant, disks }: Pick<SuspendRecord, 'vm' | 'tenant' | 'disks'>): Promise<void> {
    await this.served.close(vm);
    for (const disk of disks) {
      if (this.#isOwn(vm, disk.path)) await removeLaid(disk.path);
      await (await this.#options.store(tenant)).remove(disk.snapshot);
    }
  }

  /** Another host has all of them, and the VM runs there: what lies here is of the past. */
  async retire({ vm, disks }: SuspendRecord, { host }: Pick<SnapshotOrigin, 'host'>): Promise<void> {
    for (const { path, target } of disks) {
      if (this.#isOwn(vm, path)) await removeLaid(path);
      else
        this.#options.tell(
          vm,
          `disk ${target} (${path}) of this host is of the past, host ${host} has what it holds now: it is yours to remove`,
        );
    }
  }

  #isOwn(vm: VmId, path: string): boolean {
    return this.#options.means?.folders.some((folder) => normalize(path).startsWith(`${join(folder, OWN, vm)}/`)) === true;
  }

  #begin(vm: VmId): Promise<void> {
    const capture: Capture = { cancelled: false, done: Promise.resolve() };
    const work = this.#capture(vm, () => capture.cancelled).finally(() => this.#captures.delete(vm));
    capture.done = work.catch(() => undefined);
    this.#captures.set(vm, capture);
    return work;
  }

  async #capture(vm: VmId, cancelled: () => boolean): Promise<void> {
    const { book, means } = this.#options;
    const record = book.find(vm);
    if (means === null || record?.phase !== 'suspended' || record.snapshot === null || record.recipe !== 'memory-file') return;
    if (record.from !== null) return;
    const store = await this.#options.store(record.tenant);
    const memory = await store.open(record.snapshot);
    memory.close();
    const { domainXml } = memory.manifest.facts.machine;
    const local = means.disksOf(domainXml).filter(({ path }) => this.#isLocal(path));
    for (const disk of local) {
      if (disk.problem !== null) throw new HeadroomError('CONFLICT', `disk ${disk.target} (${disk.path}): ${disk.problem}`);
      const held = book.find(vm)?.disks.find(({ target }) => target === disk.target);
      if (held?.of === record.snapshot && held.path === disk.path && (await isAsTaken(held))) continue;
      await this.#take(store, record, disk, held ?? null, memory.manifest.facts.takenAtMs, cancelled);
    }
    // One that it has no more.
    const targets = new Set(local.map(({ target }) => target));
    const now = book.find(vm) as SuspendRecord;
    if (now.disks.some(({ target }) => !targets.has(target)))
      book.note(vm, { disks: now.disks.filter(({ target }) => targets.has(target)) });
  }

  async #take(
    store: SnapshotStore,
    { vm, snapshot: of }: SuspendRecord,
    disk: DefinedDisk,
    held: HeldDisk | null,
    takenAtMs: number,
    cancelled: () => boolean,
  ): Promise<void> {
    // What is broken of it is forgotten as it is read, and read anew from the image.
    if (held?.of === BROKEN) await store.verify(held.snapshot);
    const before = held === null ? null : await store.open(held.snapshot).catch(() => null);
    try {
      const found = { vm, disk, of: of as string, takenAtMs, before: held === null || before === null ? null : { held, snapshot: before } };
      const folder = join(this.#options.means?.folders[0] as string, OWN);
      const { held: taken } = await captureDisk(store, found, { folder, cancelled });
      if (this.#options.book.find(vm)?.snapshot !== of) throw new HeadroomError('CANCELLED', 'its snapshot is another one by now');
      this.#note(vm, taken);
      if (held !== null && held.snapshot !== taken.snapshot) await store.remove(held.snapshot);
    } finally {
      before?.close();
    }
  }

  #isLocal(path: string): boolean {
    return this.#options.means?.folders.some((folder) => normalize(path).startsWith(`${normalize(folder).replace(/\/+$/, '')}/`)) === true;
  }

  #note(vm: VmId, disk: HeldDisk): void {
    const { book, changed } = this.#options;
    const others = book.find(vm)?.disks.filter(({ target }) => target !== disk.target) ?? [];
    book.note(vm, { disks: [...others, disk] });
    changed();
  }

  #noteAll(vm: VmId, disks: HeldDisk[]): void {
    if (this.#options.book.find(vm)?.disks.length !== disks.length) this.#options.book.note(vm, { disks });
  }

  #failed(vm: VmId, error: unknown): void {
    if (isHeadroomError(error, 'CANCELLED')) return;
    const { book, tell, changed } = this.#options;
    const words = `${PROBLEM}, without which another host cannot bring it back: ${errorText(error)}`;
    const record = book.find(vm);
    if (record !== undefined) {
      const others = record.problems.filter((one) => !one.startsWith(PROBLEM));
      book.note(vm, { problems: [words.slice(0, PROBLEM_MAX), ...others].slice(0, PROBLEMS_MAX) });
    }
    tell(vm, words);
    changed();
  }
}

async function isAsTaken({ path, stamp }: HeldDisk): Promise<boolean> {
  const now = await stampOf(path);
  return stamp !== null && now !== null && sameStamp(stamp, now);
}

/** It is the disk it is said to be, of the moment the memory is of. */
function fits(vm: VmId, { target, bytes, of, snapshot: id }: HeldDisk, { manifest: { facts } }: OpenSnapshot): void {
  const right = facts.vm === vm && facts.memoryBytes === bytes && facts.disk?.target === target && facts.disk.of === of;
  if (!right) throw new HeadroomError('STORE_CORRUPT', `snapshot ${id} is not of disk ${target} of VM ${vm} at that moment`);
}
