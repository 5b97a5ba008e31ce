/**
 * VMs of this host, suspended and brought back: each step written down before it is taken, so that an agent that dies at any moment
 * finds its way from there. Input: the seam to the hypervisor, stores, a journal, the clock; output: what became of each, with
 * figures. Callers let one VM's calls follow one another; those of different VMs may run side by side.
 */
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { SuspendPhase } from '../../shared/protocol/suspend-frames.ts';
import { prepareResume } from '../actuators/resume-vm.ts';
import { suspendVm } from '../actuators/suspend-vm.ts';
import { NOBODYS, neededSnapshots, type SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import { clearPlace } from '../snapshot/memory-place.ts';
import { freeOwnMemory } from '../snapshot/own-memory.ts';
import type { SavedSnapshot, SnapshotStore } from '../snapshot/snapshot-store.ts';
import { clearUnused } from '../snapshot/unused-places.ts';
import type { SuspendJournal } from '../suspend-journal.ts';
import { Arrivals, type Origin } from './arrivals.ts';
import { setGuestClock } from './guest-clock.ts';
import { type DiskMeans, LocalDisks } from './local-disks.ts';
import { type Live, ResumeLearner } from './resume-learner.ts';
import type { DiskRest } from './served-disks.ts';
import { signOfLife } from './sign-of-life.ts';
import { SuspendBook } from './suspend-book.ts';
import { SuspendRecovery } from './suspend-recovery.ts';

type Measured = FrameOf<'suspend-result'>['measured'];

export interface SuspenderOptions {
  snapshotter: VmSnapshotter;
  /** One per tenant, opened when it is first needed. */
  store(tenant: string): Promise<SnapshotStore>;
  journal: SuspendJournal;
  clock: Clock;
  /** See `Arrivals`. */
  adoptKey(tenant: string, key: Buffer): Promise<string>;
  /** A VM that was lent is not any more: who asks for it is cut off. */
  onTakenBack(vm: VmId): void;
  /** In RAM: what resumed guests write goes there. */
  folder: string;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  /** A guest is looked at for what it touched this long after it was brought back. */
  learnMs: number;
  /** A guest that gives no sign of life within this time keeps its older snapshots. */
  aliveMs: number;
  /** A guest's own word that it lives; null = nobody in it speaks, and its CPU time has to do. */
  speaks(vm: VmId): boolean | null;
  /** Of what it is predicted to touch first, how much is made ready now; absent = all of it. */
  shareOf?(vm: VmId): number;
  /** Something that nobody asked for happened to a VM, in words. */
  tell(vm: VmId, words: string): void;
  changed(): void;
  /** Absent: every disk is taken for one that other hosts see, too. */
  disks?: DiskMeans;
}

export interface Done {
  /** What was done instead and why; empty = what was asked for. */
  reason: string;
  measured: Measured;
}

/** What it answers is waited for before the next bytes are fetched. */
export type OnProgress = (doneBytes: number, totalBytes: number) => unknown;

/** A guest that does nothing at all still takes this much to come back. */
const ALIVE_CPU_MS = 10;
/** Phases in which nothing shows a VM's memory. */
const NO_PLACE: ReadonlySet<SuspendPhase | null> = new Set<SuspendPhase | null>([null, 'suspended', 'away']);
const LEFT_BEHIND = 'what showed its memory was left by an agent before, and is gone: no guest lived on it';
/** A broken chunk stays broken another way, and a host that is away stays away. */
const ENDS_IT: ReadonlySet<string> = new Set(['STORE_CORRUPT', 'CONFLICT', 'UNAVAILABLE', 'CANCELLED']);
const WAITS = 'it waits for chunk';
const PROBLEMS_MAX = 16;
const PROBLEM_MAX = 512;

export class Suspender {
  readonly #options: SuspenderOptions;
  readonly #book: SuspendBook;
  readonly #live = new Map<VmId, Live>();
  readonly #learner: ResumeLearner;
  readonly #recovery: SuspendRecovery;
  readonly #arrivals: Arrivals;
  readonly #disks: LocalDisks;
  #suspending = 0;
  #handedOver = false;
  /** Not looked after yet; null = nobody began. */
  #left: Set<VmId> | null = null;

  constructor(options: SuspenderOptions) {
    const { clock, journal, learnMs, tell, changed } = options;
    this.#options = options;
    this.#book = new SuspendBook(journal, clock);
    this.#disks = new LocalDisks({ ...options, book: this.#book, means: options.disks ?? null });
    this.#learner = new ResumeLearner({
      ...{ book: this.#book, clock, learnMs, tell, changed, liveOf: (vm) => this.#live.get(vm) },
      learnDisks: (vm) => this.#disks.served.learn(vm),
    });
    this.#arrivals = new Arrivals({ ...options, book: this.#book, disks: this.#disks });
    this.#recovery = new SuspendRecovery({
      ...options,
      book: this.#book,
      open: (record) => this.#arrivals.open(record),
      onTakenOver: (vm, residence) => this.#live.set(vm, { prepared: null, residence, predicted: [], inPlace: new Set() }),
      onStuck: (vm, chunk, problem) => this.#stuck(vm, chunk, problem),
    });
  }

  records(): SuspendRecord[] {
    return this.#book.all();
  }

  phase(vm: VmId): SuspendPhase | null {
    return this.#book.phase(vm);
  }

  /**
   * Before anything else, and again while VMs remain that could not be looked after (the hypervisor was away): every VM that an agent
   * before us left somewhere on its way. Answers problems in words.
   */
  async recover(): Promise<string[]> {
    const problems: string[] = [];
    const first = this.#left === null;
    if (this.#left === null) {
      problems.push(...this.#book.load());
      this.#left = new Set(this.records().map(({ vm }) => vm));
    }
    for (const vm of this.#left) {
      try {
        await this.#arrivals.serveDisks(vm);
        if (!this.#live.has(vm)) await this.#recovery.recover(vm);
        this.#left.delete(vm);
        this.#settle(vm);
        this.#options.changed();
      } catch (error) {
        problems.push(`${this.#book.find(vm)?.name ?? vm}: ${errorText(error)}`);
      }
    }
    // Guests that wait for a chunk first: whoever looks at the words of a process that waits may have to wait with it.
    if (first) problems.push(...(await this.#clearUnused()));
    return problems;
  }

  /** What agents before us left of places that no guest lives on. */
  async #clearUnused(): Promise<string[]> {
    const known = (vm: string): boolean => !NO_PLACE.has(this.phase(vm as VmId));
    try {
      for (const vm of await clearUnused(this.#options.folder, known)) this.#options.tell(vm as VmId, LEFT_BEHIND);
      await this.#disks.clearLeft();
      return [];
    } catch (error) {
      return [`what earlier agents left could not be cleared away: ${errorText(error)}`];
    }
  }

  /** Throws when neither way worked; the VM then runs as before. */
  async suspend(vm: VmId, name: string, tenant: string, onProgress: OnProgress): Promise<Done> {
    const { snapshotter, clock } = this.#options;
    if (this.phase(vm) === 'suspended' || this.phase(vm) === 'prepared') return { reason: 'it is suspended', measured: {} };
    const before = this.#book.begin(vm, name, tenant);
    const store = await this.#options.store(before.tenant);
    // Of what it lives on all must be here: what it did not touch is taken from there.
    await this.#arrivals.complete(vm, onProgress);
    this.#learner.cancel(vm);
    const residence = this.#live.get(vm)?.residence ?? null;
    this.#note(vm, { name, phase: 'suspending', recipe: 'memory-file', reason: '' });
    this.#suspending++;
    try {
      const deps = {
        ...{ snapshotter, store, clock, onProgress },
        onSaved: ({ manifest, filledBytes }: SavedSnapshot, memoryPath: string): void => {
          const older = before.snapshot === null || before.snapshot === manifest.id ? before.older : [...before.older, before.snapshot];
          const { memoryBytes } = manifest.facts;
          const ownMemory = residence?.place.path === memoryPath ? before.ownMemory : memoryPath;
          this.#book.note(vm, { phase: 'ending', snapshot: manifest.id, older, memoryBytes, filledBytes, ownMemory, problems: [] });
        },
        // A memory that was read for nothing is of no use to the other way.
        onFallBack: (reason: string): void =>
          this.#note(vm, { phase: 'suspending', recipe: 'managed-save', reason, snapshot: before.snapshot }),
      };
      const done = await suspendVm(deps, vm, residence);
      this.#live.delete(vm);
      const { phase, ownMemory } = this.#book.find(vm) as SuspendRecord;
      if (phase === 'ending' && ownMemory !== null) await freeOwnMemory(ownMemory);
      this.#note(vm, { phase: 'suspended', file: null });
      void this.#warm(vm);
      this.#disks.start(vm);
      if (done.recipe === 'managed-save')
        return { reason: `by the hypervisor's own saving: ${done.reason}`, measured: { recipe: done.recipe } };
      const { stoppedMs, endedMs, saved } = done;
      const measured: Measured = { recipe: 'memory-file', stoppedMs, endedMs, bytesFilled: saved.filledBytes, bytesNew: saved.newBytes };
      return { reason: '', measured };
    } catch (error) {
      if (this.phase(vm) === 'ending' && (await snapshotter.power(vm)) === 'off') {
        await this.#recovery.recover(vm);
        this.#settle(vm);
        return { reason: `it was ended, though not as it should have been: ${errorText(error)}`, measured: { recipe: 'memory-file' } };
      }
      this.#book.revert(before);
      // What was written of it is in the way of the next.
      if (isHeadroomError(error, 'STORE_FULL')) await store.collect().catch(() => undefined);
      throw error;
    } finally {
      this.#suspending--;
      this.#options.changed();
    }
  }

  /** Fetches what it will touch first and has it wait paused. Throws, with the VM suspended as before. */
  async prepare(vm: VmId, onProgress: OnProgress, cancelled: () => boolean = () => false, whole = false): Promise<Done> {
    const record = this.#suspended(vm);
    if (record.lentTo !== null) throw new HeadroomError('CONFLICT', `${record.name}: it is lent to host ${record.lentTo.host}`);
    if (record.phase === 'prepared') return { reason: 'it is ready', measured: {} };
    if (await this.startedElsewhere(vm)) throw new HeadroomError('CONFLICT', `${record.name}: ${NOBODYS}`);
    if (record.recipe === 'managed-save' || record.snapshot === null) {
      return { reason: "the hypervisor's own saving holds it: nothing can be fetched ahead", measured: { recipe: record.recipe } };
    }
    await this.#disks.stop(vm);
    let diskBytes = 0;
    await this.#arrivals.disks(vm, cancelled, (done, total) => {
      diskBytes = total;
      return onProgress(done, total);
    });
    const { snapshotter, clock, folder, owner } = this.#options;
    const model = createTouchModel(record.touches);
    const predicted = whole ? [] : model.predict(PREDICTED_CHUNKS_MAX, this.#options.shareOf?.(vm)).map(({ chunk }) => chunk);
    const snapshot = await this.#arrivals.open(record);
    const total = whole ? record.memoryBytes : predicted.length * CHUNK_BYTES;
    try {
      this.#note(vm, { phase: 'preparing' });
      const prepared = await prepareResume(
        {
          ...{ snapshotter, clock, folder },
          ...(owner === undefined ? {} : { owner }),
          onStuck: (chunk, problem) => this.#stuck(vm, chunk, problem),
          onPlaced: ({ identity }) => this.#note(vm, { file: identity }),
          machine: (machine) => this.#disks.adapted(this.#book.find(vm) ?? record, machine),
        },
        snapshot,
        { predicted, cancelled, whole, onProgress: (done) => onProgress(diskBytes + done, diskBytes + total) },
      );
      this.#live.set(vm, { prepared, residence: null, predicted, inPlace: prepared.inPlace });
      this.#note(vm, { phase: 'prepared' });
      return { reason: '', measured: { bytesFirst: whole ? record.filledBytes : prepared.bytesFirst, bytesFilled: record.filledBytes } };
    } catch (error) {
      snapshot.close();
      await clearPlace(join(folder, vm));
      this.#note(vm, { phase: 'suspended', file: null });
      throw error;
    } finally {
      this.#options.changed();
    }
  }

  /** The same of one that was suspended on another host. Throws, with nothing left of it here. */
  async prepareFrom(vm: VmId, origin: Origin, onProgress: OnProgress, cancelled: () => boolean): Promise<Done> {
    await this.#arrivals.begin(vm, origin);
    try {
      const done = await this.#madeReady(vm, onProgress, cancelled);
      const bytesMoved = this.#arrivals.movedBytes(vm);
      return bytesMoved === null ? done : { ...done, measured: { ...done.measured, bytesMoved } };
    } catch (error) {
      await this.letGo(vm);
      throw error;
    }
  }

  /** Not ready any more, and its holder's again if it came from another host; what was lent is not lent any more. */
  async letGo(vm: VmId): Promise<Done> {
    const done = await this.release(vm);
    const record = this.#book.find(vm);
    if (record?.phase !== 'suspended') return done;
    if (record.lentTo !== null) this.#takeBack(vm);
    // Asked without an answer it may be set going here alone.
    if (record.from !== null && !record.from.asked && !record.from.settled) await this.#arrivals.giveUp(vm);
    this.#options.changed();
    return done;
  }

  /** It need not wait any more: suspended, as before it was made ready. */
  async release(vm: VmId): Promise<Done> {
    const live = this.#live.get(vm);
    if (this.phase(vm) !== 'prepared' || live?.prepared == null) return { reason: 'nothing is ready', measured: {} };
    await live.prepared.abandon();
    live.prepared.snapshot.close();
    this.#live.delete(vm);
    this.#note(vm, { phase: 'suspended', file: null });
    this.#options.changed();
    return { reason: '', measured: {} };
  }

  /**
   * What it was suspended into is not needed any more: it boots from its disk, or goes. What libvirt saved stays for libvirt. Throws
   * CONFLICT while another host may bring it back, or something is under way.
   */
  async giveUp(vm: VmId): Promise<void> {
    const phase = this.phase(vm);
    // One that runs lives on it until it ends.
    if (phase === null || phase === 'running') return;
    await this.#disks.stop(vm);
    await this.release(vm);
    if (this.#suspended(vm).lentTo !== null) this.#takeBack(vm);
    this.#book.forget(vm);
    this.#settle(vm);
    this.#options.changed();
  }

  /** Another host may bring it back. Throws CONFLICT when it is not suspended into this host's store. */
  async lend(vm: VmId, host: string, key: string): Promise<Done> {
    await this.release(vm);
    const record = this.#suspended(vm);
    if (await this.startedElsewhere(vm)) throw new HeadroomError('CONFLICT', `${record.name}: ${NOBODYS}`);
    if (record.recipe === 'managed-save' || record.snapshot === null)
      throw new HeadroomError('CONFLICT', `${record.name}: the hypervisor's own saving holds it, and stays on this host`);
    if (record.from !== null) throw new HeadroomError('CONFLICT', `${record.name}: its memory is not all here yet`);
    await this.#disks.whole(vm);
    this.#note(vm, { lentTo: { host, key } });
    return { reason: '', measured: { bytesFilled: record.filledBytes } };
  }

  /** The host it is lent to sets it going: from here on it is never brought back from this snapshot. */
  async goesElsewhere(vm: VmId): Promise<void> {
    // Once it has gone there nothing here keeps it from it.
    if (this.phase(vm) === 'suspended') await this.#disks.asTaken(vm);
    const record = this.#book.find(vm);
    if (record?.lentTo == null || (record.phase !== 'suspended' && record.phase !== 'away'))
      throw new HeadroomError('CONFLICT', `VM ${vm} is not lent any more`);
    this.#note(vm, { phase: 'away' });
    this.#options.changed();
  }

  /** The host it is lent to has all of it: it is no VM of this host any more. */
  async isElsewhere(vm: VmId): Promise<void> {
    const { snapshotter, tell, changed } = this.#options;
    const record = this.#book.find(vm);
    if (record?.lentTo == null) return;
    if ((await snapshotter.definition(vm)) !== null && (await snapshotter.power(vm)) === 'off') await snapshotter.undefine(vm);
    await this.#disks.retire(record, record.lentTo);
    tell(vm, `host ${record.lentTo.host} has all of it now: it is not defined here any more`);
    this.#book.erase(vm);
    changed();
  }

  /** Of a disk that has not all come yet; null = not known. */
  diskRest(vm: VmId, target: string): DiskRest | null {
    return this.#disks.served.rest(vm, target);
  }

  /** A chunk of what the store has of its disks could not be lent. */
  distrustDisk(vm: VmId, snapshot: string): void {
    this.#disks.distrust(vm, snapshot);
  }

  /** Throws, with the VM suspended as before, unless it was set going. `origin`: it was suspended there. */
  async resume(vm: VmId, onProgress: OnProgress, origin: Origin | null = null): Promise<Done> {
    const { snapshotter, clock } = this.#options;
    const beganMs = clock.monotonicMs();
    const phase = this.phase(vm);
    if (phase === 'running') return { reason: 'it runs', measured: {} };
    if (origin !== null) await this.#arrivals.begin(vm, origin);
    const { recipe, lentTo } = this.#suspended(vm);
    if (recipe === 'managed-save') return this.#restore(vm, beganMs);
    if (lentTo !== null) this.#takeBack(vm);
    const before = await this.#allowed(vm, onProgress);
    const live = this.#live.get(vm);
    if (live?.prepared == null) throw new HeadroomError('INVARIANT_BROKEN', `VM ${vm} was made ready, and is not`);
    const cpuMs = await snapshotter.cpuMs(vm);
    const { takenAtMs } = live.prepared.snapshot.manifest.facts;
    this.#note(vm, { phase: 'going' });
    live.residence = await live.prepared.go();
    live.prepared = null;
    this.#note(vm, { phase: 'running' });
    const ranMs = clock.monotonicMs() - beganMs;
    const aliveMs = await this.#alive(vm, cpuMs, beganMs);
    if (aliveMs === null)
      this.#options.tell(vm, `it runs, and gave no sign of life within ${this.#options.aliveMs} ms: its older snapshots are kept`);
    else await this.#retireOlder(vm);
    this.#learner.later(vm);
    this.#settle(vm);
    this.#setClock(vm, takenAtMs);
    await this.#tellDamage(vm);
    this.#options.changed();
    return {
      reason: before.reason,
      measured: { ...before.measured, recipe: 'memory-file', ranMs, ...(aliveMs === null ? {} : { aliveMs }) },
    };
  }

  /** What is wrong with its snapshot; none = every byte is as it was written. */
  async verify(vm: VmId): Promise<Done> {
    const record = this.#book.find(vm);
    if (record?.snapshot == null) throw new HeadroomError('NOT_FOUND', `there is no snapshot of VM ${vm} on this host`);
    if (record.from !== null && !record.from.settled)
      throw new HeadroomError('CONFLICT', `${record.name}: its chunks are on their way from host ${record.from.host}; verify it there`);
    const store = await this.#options.store(record.tenant);
    const problems = await store.verify(record.snapshot);
    problems.push(...(await this.#disks.verify(vm)));
    this.#note(vm, { problems: problems.slice(0, PROBLEMS_MAX).map((problem) => problem.slice(0, PROBLEM_MAX)) });
    this.#options.changed();
    if (problems.length > 0) throw new HeadroomError('STORE_CORRUPT', `${problems.length} things are wrong, the first: ${problems[0]}`);
    return { reason: '', measured: { bytesFilled: record.filledBytes } };
  }

  /** What no VM needs goes. Snapshots stay while one is being made: it is not known by name yet. */
  async collect(tenants: readonly string[]): Promise<Done> {
    let bytesFreed = 0;
    for (const tenant of tenants) {
      const store = await this.#options.store(tenant);
      const ids = await store.list();
      // What was there by then and is written down by now.
      const needed = neededSnapshots(this.records(), tenant);
      if (!this.#writing()) for (const id of ids) if (!needed.has(id)) await store.remove(id);
      bytesFreed += (await store.collect()).bytesFreed;
    }
    return { reason: this.#writing() ? 'a VM is being suspended: snapshots were kept' : '', measured: { bytesFreed } };
  }

  #writing(): boolean {
    return this.#suspending > 0 || this.#disks.busy;
  }

  /** The process ends; guests stay as they are and wait for the next one where they need it. */
  async handOver(): Promise<void> {
    this.#handedOver = true;
    this.#learner.cancelAll();
    await this.#disks.stopAll();
    this.#arrivals.stop();
    for (const { prepared, residence } of this.#live.values()) await (residence ?? prepared)?.place.handOver();
  }

  /** A guest that was brought back ended by itself or by others: nothing of it is needed any more. */
  async ended(vm: VmId): Promise<void> {
    if (this.phase(vm) !== 'running') return;
    this.#learner.cancel(vm);
    await this.#live.get(vm)?.residence?.leave();
    this.#live.delete(vm);
    this.#book.forget(vm);
    this.#settle(vm);
    this.#options.changed();
  }

  /** Whether others started a VM that is suspended or on a snapshot here, now or at any time since: its snapshot is given up then. */
  async startedElsewhere(vm: VmId): Promise<boolean> {
    if (!(await this.#recovery.letGoIfMoved(vm))) return false;
    this.#learner.cancel(vm);
    await this.#live.get(vm)?.residence?.leave();
    this.#live.delete(vm);
    this.#settle(vm);
    this.#options.changed();
    return true;
  }

  learn(vm: VmId): Promise<void> {
    return this.#learner.learn(vm);
  }

  /** Ready, and set going nowhere else. What never can be brought back here is not kept here. */
  async #allowed(vm: VmId, onProgress: OnProgress): Promise<Done> {
    try {
      const done = await this.#madeReady(vm, onProgress);
      const movedBytes = this.#arrivals.movedBytes(vm);
      await this.#arrivals.mayGo(vm);
      return movedBytes === null ? done : { ...done, measured: { ...done.measured, bytesMoved: movedBytes } };
    } catch (error) {
      const { from = null } = this.#book.find(vm) ?? {};
      if (from === null) throw error;
      await this.release(vm);
      // Refused, or not asked: it may be brought back by its holder. Asked without an answer, it may be set going here alone.
      if (!from.asked || isHeadroomError(error, 'CONFLICT')) await this.#arrivals.giveUp(vm);
      this.#options.changed();
      throw error;
    }
  }

  /** What it will touch first lies where it is read quickest. */
  async #warm(vm: VmId): Promise<void> {
    const record = this.#book.find(vm);
    if (record?.phase !== 'suspended' || record.snapshot === null || record.recipe !== 'memory-file') return;
    try {
      const chunks = createTouchModel(record.touches).predict(PREDICTED_CHUNKS_MAX);
      const store = await this.#options.store(record.tenant);
      await store.warm(
        record.snapshot,
        chunks.map(({ chunk }) => chunk),
      );
    } catch (error) {
      if (!this.#handedOver) this.#options.tell(vm, `what it will touch first stays where it is: ${errorText(error)}`);
    }
  }

  #takeBack(vm: VmId): void {
    this.#note(vm, { lentTo: null });
    this.#options.onTakenBack(vm);
  }

  /** The rest of what was brought here from another host, and a word to that host. */
  #settle(vm: VmId): void {
    const record = this.#book.find(vm);
    if (record?.from != null && (record.phase === null || record.phase === 'running')) this.#arrivals.settle(vm);
  }

  /** Ready, by the quickest way that works. */
  async #madeReady(vm: VmId, onProgress: OnProgress, cancelled?: () => boolean): Promise<Done> {
    try {
      return await this.prepare(vm, onProgress, cancelled);
    } catch (error) {
      // What this host lacks for showing memory lazily it need not have.
      if (isHeadroomError(error) && ENDS_IT.has(error.code)) throw error;
      const done = await this.prepare(vm, onProgress, cancelled, true);
      return { ...done, reason: `all of its memory was fetched first: ${errorText(error)}` };
    }
  }

  async #restore(vm: VmId, beganMs: number): Promise<Done> {
    const { snapshotter, clock } = this.#options;
    await snapshotter.restore(vm);
    const { reason, sinceMs } = this.#suspended(vm);
    this.#book.forget(vm);
    this.#setClock(vm, sinceMs);
    this.#options.changed();
    const ranMs = clock.monotonicMs() - beganMs;
    return { reason: `by the hypervisor's own saving: ${reason}`, measured: { recipe: 'managed-save', ranMs } };
  }

  #setClock(vm: VmId, stoodFromMs: number): void {
    const wanted = (): boolean => !this.#handedOver && [null, 'running'].includes(this.phase(vm));
    void setGuestClock({ ...this.#options, wanted }, vm, this.#options.clock.wallMs() - stoodFromMs);
  }

  async #alive(vm: VmId, cpuMsBefore: number, beganMs: number): Promise<number | null> {
    const { snapshotter, clock, aliveMs, speaks } = this.#options;
    const look = async (): Promise<boolean> => speaks(vm) ?? (await snapshotter.cpuMs(vm)) - cpuMsBefore >= ALIVE_CPU_MS;
    return (await signOfLife(look, clock, aliveMs)) ? clock.monotonicMs() - beganMs : null;
  }

  async #retireOlder(vm: VmId): Promise<void> {
    const { tenant, older } = this.#book.find(vm) as SuspendRecord;
    const store = await this.#options.store(tenant);
    for (const id of older) await store.remove(id);
    this.#note(vm, { older: [] });
  }

  async #tellDamage(vm: VmId): Promise<void> {
    const { tenant } = this.#book.find(vm) as SuspendRecord;
    const { damagedFiles } = await this.#options.store(tenant);
    if (damagedFiles === 0) return;
    const words = `${damagedFiles} damaged files of the snapshot store were mended as they were read: look after the disk`;
    this.#options.tell(vm, `${words}; a collection (headroom snapshot gc) writes them anew`);
  }

  /** Throws CONFLICT unless it is suspended. */
  #suspended(vm: VmId): SuspendRecord {
    const record = this.#book.find(vm);
    if (record?.phase === 'suspended' || record?.phase === 'prepared') return record;
    if (record?.phase === 'away')
      throw new HeadroomError('CONFLICT', `${record.name} was set going on host ${record.lentTo?.host ?? '?'}: it is brought back there`);
    throw new HeadroomError('CONFLICT', `VM ${vm} is not suspended on this host`);
  }

  #stuck(vm: VmId, chunk: number, problem: unknown): void {
    const words =
      problem === null
        ? `chunk ${chunk} of its memory came after all; it goes on`
        : `${WAITS} ${chunk} of its memory, which is tried again until it comes: ${errorText(problem)}`;
    this.#options.tell(vm, words);
    const record = this.#book.find(vm);
    if (record === undefined) return;
    const others = record.problems.filter((one) => !one.startsWith(WAITS));
    this.#note(vm, { problems: problem === null ? others : [words.slice(0, PROBLEM_MAX), ...others].slice(0, PROBLEMS_MAX) });
    this.#options.changed();
  }

  #note(vm: VmId, change: Partial<SuspendRecord>): void {
    this.#book.note(vm, change);
  }
}
