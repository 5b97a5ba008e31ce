/**
 * VMs of this host, suspended and brought back: each step written down before it is taken, so that an agent that dies at any moment
 * finds its way from there. Input: the seam to the hypervisor, stores, a journal, the clock; output: what became of each, with
 * figures. Callers let one VM's calls follow one another; those of different VMs may run side by side.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { SuspendPhase } from '../../shared/protocol/suspend-frames.ts';
import { neededSnapshots, type SuspendRecord } from '../core/suspend-record.ts';
import { clearUnused } from '../snapshot/unused-places.ts';
import type { Origin } from './arrivals.ts';
import type { DiskRest } from './served-disks.ts';
import { type Done, type OnProgress, type SuspenderOptions, SuspendState } from './suspend-state.ts';
import { VmLending } from './vm-lending.ts';
import { VmReturning } from './vm-returning.ts';
import { VmSuspending } from './vm-suspending.ts';

/** Phases in which nothing shows a VM's memory. */
const NO_PLACE: ReadonlySet<SuspendPhase | null> = new Set<SuspendPhase | null>([null, 'suspended', 'away']);
const LEFT_BEHIND = 'what showed its memory was left by an agent before, and is gone: no guest lived on it';
const PROBLEMS_MAX = 16;
const PROBLEM_MAX = 512;

export class Suspender {
  readonly #options: SuspenderOptions;
  readonly #state: SuspendState;
  readonly #suspending: VmSuspending;
  readonly #returning: VmReturning;
  readonly #lending: VmLending;
  /** Not looked after yet; null = nobody began. */
  #left: Set<VmId> | null = null;

  constructor(options: SuspenderOptions) {
    this.#options = options;
    this.#state = new SuspendState(options);
    this.#suspending = new VmSuspending(this.#state);
    this.#returning = new VmReturning(this.#state);
    this.#lending = new VmLending(this.#state);
  }

  records(): SuspendRecord[] {
    return this.#state.book.all();
  }

  phase(vm: VmId): SuspendPhase | null {
    return this.#state.book.phase(vm);
  }

  /**
   * Before anything else, and again while VMs remain that could not be looked after (the hypervisor was away): every VM that an agent
   * before us left somewhere on its way. Answers problems in words.
   */
  async recover(): Promise<string[]> {
    const problems: string[] = [];
    const first = this.#left === null;
    if (this.#left === null) {
      problems.push(...this.#state.book.load());
      this.#left = new Set(this.records().map(({ vm }) => vm));
    }
    for (const vm of await this.#inOrder(this.#left)) {
      try {
        await this.#state.arrivals.serveDisks(vm);
        if (!this.#state.live.has(vm)) await this.#state.recovery.recover(vm);
        this.#left.delete(vm);
        this.#state.settle(vm);
        this.#options.changed();
      } catch (error) {
        problems.push(`${this.#state.book.find(vm)?.name ?? vm}: ${errorText(error)}`);
      }
    }
    // Guests that wait for a chunk first: whoever looks at the words of a process that waits may have to wait with it.
    if (first) problems.push(...(await this.#clearUnused()));
    return problems;
  }

  /** Whom the hypervisor forgot comes last: guests that wait for a chunk are served before the words of processes are looked at. */
  async #inOrder(left: ReadonlySet<VmId>): Promise<VmId[]> {
    const [known, forgotten]: [VmId[], VmId[]] = [[], []];
    for (const vm of left) ((await this.#state.recovery.isKnown(vm).catch(() => true)) ? known : forgotten).push(vm);
    return [...known, ...forgotten];
  }

  /** What agents before us left of places that no guest lives on. */
  async #clearUnused(): Promise<string[]> {
    const known = (vm: string): boolean => !NO_PLACE.has(this.phase(vm as VmId));
    try {
      for (const vm of await clearUnused(this.#options.folder, known)) this.#options.tell(vm as VmId, LEFT_BEHIND);
      await this.#state.disks.clearLeft();
      return [];
    } catch (error) {
      return [`what earlier agents left could not be cleared away: ${errorText(error)}`];
    }
  }

  /** Throws when neither way worked; the VM then runs as before. */
  suspend(vm: VmId, name: string, tenant: string, onProgress: OnProgress): Promise<Done> {
    return this.#suspending.suspend(vm, name, tenant, onProgress);
  }

  /** Fetches what it will touch first and has it wait paused. Throws, with the VM suspended as before. */
  prepare(vm: VmId, onProgress: OnProgress, cancelled: () => boolean = () => false, whole = false): Promise<Done> {
    return this.#returning.prepare(vm, onProgress, cancelled, whole);
  }

  /** The same of one that was suspended on another host. Throws, with nothing left of it here. */
  prepareFrom(vm: VmId, origin: Origin, onProgress: OnProgress, cancelled: () => boolean): Promise<Done> {
    return this.#returning.prepareFrom(vm, origin, onProgress, cancelled);
  }

  /** Throws, with the VM suspended as before, unless it was set going. `origin`: it was suspended there. */
  resume(vm: VmId, onProgress: OnProgress, origin: Origin | null = null): Promise<Done> {
    return this.#returning.resume(vm, onProgress, origin);
  }

  /** Not ready any more, and its holder's again if it came from another host; what was lent is not lent any more. */
  letGo(vm: VmId): Promise<Done> {
    return this.#returning.letGo(vm);
  }

  /** It need not wait any more: suspended, as before it was made ready. */
  release(vm: VmId): Promise<Done> {
    return this.#returning.release(vm);
  }

  /**
   * What it was suspended into is not needed any more: it boots from its disk, or goes. What libvirt saved stays for libvirt. Throws
   * CONFLICT while another host may bring it back, or something is under way.
   */
  async giveUp(vm: VmId): Promise<void> {
    const phase = this.phase(vm);
    // One that runs lives on it until it ends.
    if (phase === null || phase === 'running') return;
    await this.#state.disks.stop(vm);
    await this.release(vm);
    if (this.#state.suspended(vm).lentTo !== null) this.#state.takeBack(vm);
    this.#state.book.forget(vm);
    this.#state.settle(vm);
    this.#options.changed();
  }

  /** Another host may bring it back. Throws CONFLICT when it is not suspended into this host's store. */
  async lend(vm: VmId, host: string, key: string): Promise<Done> {
    await this.release(vm);
    return this.#lending.lend(vm, host, key);
  }

  /** The host it is lent to sets it going: from here on it is never brought back from this snapshot. */
  goesElsewhere(vm: VmId): Promise<void> {
    return this.#lending.goesElsewhere(vm);
  }

  /** The host it is lent to has all of it: it is no VM of this host any more. */
  isElsewhere(vm: VmId): Promise<void> {
    return this.#lending.isElsewhere(vm);
  }

  /** Of a disk that has not all come yet; null = not known. */
  diskRest(vm: VmId, target: string): DiskRest | null {
    return this.#state.disks.served.rest(vm, target);
  }

  /** See `SuspendState`. */
  lacking(vm: VmId): string[] {
    return this.#state.lacking(vm);
  }

  /** A chunk of what the store has of its disks could not be lent. Answers whether it can be now. */
  async rereadDisk(vm: VmId, snapshot: string, digest: string): Promise<boolean> {
    const { disks } = this.#state;
    const here = await disks.reread(vm, snapshot, digest).catch(() => false);
    if (!here) disks.distrust(vm, snapshot);
    return here;
  }

  /** What is wrong with its snapshot; none = every byte is as it was written. */
  async verify(vm: VmId): Promise<Done> {
    const record = this.#state.book.find(vm);
    if (record?.snapshot == null) throw new HeadroomError('NOT_FOUND', `there is no snapshot of VM ${vm} on this host`);
    if (record.from !== null && !record.from.settled)
      throw new HeadroomError('CONFLICT', `${record.name}: its chunks are on their way from host ${record.from.host}; verify it there`);
    const store = await this.#options.store(record.tenant);
    const problems = await store.verify(record.snapshot);
    problems.push(...(await this.#state.disks.verify(vm)));
    this.#state.note(vm, { problems: problems.slice(0, PROBLEMS_MAX).map((problem) => problem.slice(0, PROBLEM_MAX)) });
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
      if (!this.#suspending.writing) for (const id of ids) if (!needed.has(id)) await store.remove(id);
      bytesFreed += (await store.collect()).bytesFreed;
    }
    return { reason: this.#suspending.writing ? 'a VM is being suspended: snapshots were kept' : '', measured: { bytesFreed } };
  }

  /** The process ends; guests stay as they are and wait for the next one where they need it. */
  async handOver(): Promise<void> {
    this.#state.handedOver = true;
    this.#state.learner.cancelAll();
    await this.#state.disks.stopAll();
    this.#state.arrivals.stop();
    for (const { prepared, residence } of this.#state.live.values()) await (residence ?? prepared)?.place.handOver();
  }

  /** It ended by itself or by others: of one that was brought back nothing is needed any more, one that was ready is suspended as before. */
  async ended(vm: VmId): Promise<void> {
    if (!(await this.#returning.endedReady(vm))) await this.#state.ended(vm);
  }

  /** Whether others started a VM that is suspended or on a snapshot here, now or at any time since: its snapshot is given up then. */
  startedElsewhere(vm: VmId): Promise<boolean> {
    return this.#state.startedElsewhere(vm);
  }

  learn(vm: VmId): Promise<void> {
    return this.#state.learner.learn(vm);
  }
}
