/**
 * VMs that were suspended on another host and are brought back here: what is known of them is asked of the host that holds the snapshot,
 * their chunks come from there as they are needed, and the rest after that, until the holder is told that it is needed no more. Input:
 * where a holder is and its key; output: open snapshots, records in the book. A holder that is away is asked again until it is there.
 */
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { SnapshotOrigin, SuspendRecord } from '../core/suspend-record.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { parseAddress } from '../psk-tls.ts';
import type { OnBytes } from '../snapshot/disk-capture.ts';
import { type Holder, openHolder } from '../snapshot/holder.ts';
import { DISKS_TOO } from '../snapshot/lend-wire.ts';
import type { ArrivingSnapshot, OpenSnapshot, SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { LocalDisks } from './local-disks.ts';
import type { AboutLent } from './snapshot-lending.ts';
import type { SuspendBook } from './suspend-book.ts';

/** Where a snapshot is asked for, as an order says. */
export type Origin = Pick<SnapshotOrigin, 'host' | 'address' | 'key'>;

export interface ArrivalsOptions {
  book: SuspendBook;
  clock: Clock;
  snapshotter: VmSnapshotter;
  store(tenant: string): Promise<SnapshotStore>;
  disks: LocalDisks;
  /** Under this name the tenant's snapshots of the other host are kept here. */
  adoptKey(tenant: string, key: Buffer): Promise<string>;
  tell(vm: VmId, words: string): void;
  changed(): void;
}

const RETRY_MS = 2000;

export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #holders = new Map<VmId, Holder>();
  readonly #arriving = new Map<VmId, ArrivingSnapshot>();
  readonly #settling = new Set<VmId>();
  #stopped = false;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  /** It is as if it had been suspended here, but for its chunks. Throws, with nothing left of it. */
  async begin(vm: VmId, origin: Origin): Promise<void> {
    const { book, snapshotter, disks } = this.#options;
    if (await this.#begunBefore(vm, origin)) return;
    const known = book.find(vm);
    if (known !== undefined && (known.phase !== null || known.from !== null))
      throw new HeadroomError('CONFLICT', `${known.name}: this host has a snapshot of it, or did not let go of the last one yet`);
    try {
      const about = await this.#about(vm, origin);
      const defined = (await snapshotter.definition(vm)) === null;
      if (!defined && (await snapshotter.power(vm)) !== 'off') throw new HeadroomError('CONFLICT', `${about.name}: it runs on this host`);
      const tenant = await this.#options.adoptKey(about.tenant, Buffer.from(about.tenantKey, 'hex'));
      book.erase(vm);
      book.begin(vm, about.name, tenant);
      const { snapshot, memoryBytes, filledBytes, ownMemory, touches } = about;
      const from = { ...origin, defined, asked: false, settled: false };
      const held = disks.expected(vm, snapshot, about.disks ?? [], about.definition);
      if (held.length > 0 && !defined)
        throw new HeadroomError(
          'CONFLICT',
          `${about.name}: it is defined on this host already, with disks that only host ${origin.host} has as they are now`,
        );
      const diskTouches = about.diskTouches ?? {};
      book.note(vm, { phase: 'suspended', snapshot, memoryBytes, filledBytes, ownMemory, touches, from, disks: held, diskTouches });
      const placed = disks.placed(book.find(vm) as SuspendRecord, about.definition);
      if (defined) await snapshotter.define(vm, placed);
    } catch (error) {
      await this.giveUp(vm);
      throw error;
    }
  }

  /** It was to be brought back here before, and still may be: unless it ran elsewhere since, and another snapshot of it is lent now. */
  async #begunBefore(vm: VmId, origin: Origin): Promise<boolean> {
    const { book } = this.#options;
    const known = book.find(vm);
    if (known?.phase !== 'suspended' || known.from === null) return false;
    this.#letGo(vm);
    const { snapshot } = await this.#about(vm, origin);
    if (snapshot === known.snapshot) {
      book.note(vm, { from: { ...known.from, ...origin } });
      return true;
    }
    // Whoever lends another one was never told that this one may run here, or it would not have run there.
    await this.giveUp(vm);
    return false;
  }

  async #about(vm: VmId, origin: Origin): Promise<AboutLent> {
    return JSON.parse((await this.#holder(vm, origin).ask('about', DISKS_TOO)).toString('utf8')) as AboutLent;
  }

  /** Its disks are whole on this host, or can be read, once this resolves. */
  async disks(vm: VmId, cancelled: () => boolean, onBytes: OnBytes): Promise<void> {
    const from = this.#options.book.find(vm)?.from;
    if (from == null) return;
    await this.#options.disks.lay(vm, this.#holder(vm, from), cancelled, onBytes);
  }

  /** Before anything else is done with one whose disks have not all come: its guest may wait for them. */
  async serveDisks(vm: VmId): Promise<void> {
    const from = this.#options.book.find(vm)?.from;
    if (from != null) await this.#options.disks.serve(vm, this.#holder(vm, from));
  }

  async open({ vm, tenant, snapshot, from }: SuspendRecord): Promise<OpenSnapshot> {
    const store = await this.#options.store(tenant);
    if (snapshot === null) throw new HeadroomError('NOT_FOUND', `there is no snapshot of VM ${vm} on this host`);
    if (from === null || from.settled) return store.open(snapshot);
    const opened = await store.adopt(snapshot, this.#holder(vm, from));
    this.#arriving.set(vm, opened);
    return opened;
  }

  /** From then on it runs here and nowhere else. Throws CONFLICT when its holder has taken it back. */
  async mayGo(vm: VmId): Promise<void> {
    const { book } = this.#options;
    const from = book.find(vm)?.from;
    if (from === null || from === undefined) return;
    book.note(vm, { from: { ...from, asked: true } });
    await this.#holder(vm, from).ask('going');
  }

  /** Bytes that came from its holder so far. */
  movedBytes(vm: VmId): number | null {
    return this.#holders.get(vm)?.receivedBytes ?? null;
  }

  /** It never ran here: its holder may bring it back as if nothing had been. */
  async giveUp(vm: VmId): Promise<void> {
    const { book, snapshotter, store, disks } = this.#options;
    const record = book.find(vm);
    this.#letGo(vm);
    if (record === undefined || record.from === null) return;
    if (record.from.defined && (await snapshotter.definition(vm)) !== null) await snapshotter.undefine(vm);
    await disks.discard(record);
    if (record.snapshot !== null) await (await store(record.tenant)).remove(record.snapshot);
    book.erase(vm);
  }

  /** All of its snapshot is here once this resolves, and all of its disks. */
  async complete(vm: VmId, onProgress?: (doneBytes: number, totalBytes: number) => unknown): Promise<void> {
    const { book } = this.#options;
    const from = book.find(vm)?.from;
    if (from === null || from === undefined || from.settled) return;
    const arriving = this.#arriving.get(vm);
    if (arriving === undefined) throw new HeadroomError('INVARIANT_BROKEN', `VM ${vm} lives on a snapshot that is not open`);
    await arriving.complete(() => this.#stopped || book.find(vm)?.phase === null, onProgress);
    await this.#disksWhole(vm, onProgress);
    const now = book.find(vm);
    if (now?.from != null) book.note(vm, { from: { ...now.from, settled: true } });
  }

  async #disksWhole(vm: VmId, onProgress?: OnBytes): Promise<void> {
    await this.serveDisks(vm);
    await this.#options.disks.served.complete(vm, () => this.#stopped, onProgress);
  }

  /** In its own time: the rest is fetched, and the holder told that nothing more is needed. */
  settle(vm: VmId): void {
    if (this.#settling.has(vm)) return;
    this.#settling.add(vm);
    void this.#settled(vm).finally(() => this.#settling.delete(vm));
  }

  stop(): void {
    this.#stopped = true;
    for (const vm of [...this.#holders.keys()]) this.#letGo(vm);
  }

  async #settled(vm: VmId): Promise<void> {
    const { book, clock, tell, changed } = this.#options;
    let told = '';
    while (!this.#stopped) {
      const record = book.find(vm);
      if (record === undefined || record.from === null) return;
      try {
        if (record.phase !== null) await this.complete(vm);
        // Its images are its own whatever became of what it was suspended into.
        else await this.#disksWhole(vm);
        await this.#holder(vm, record.from).ask('done');
        this.#letGo(vm);
        if (book.find(vm)?.phase === null) book.erase(vm);
        else {
          book.note(vm, { from: null });
          tell(vm, `all of it has come from host ${record.from.host}, which it does not need any more`);
        }
        changed();
        return;
      } catch (error) {
        const words = errorText(error);
        if (words !== told && !this.#stopped) {
          tell(vm, `the rest of it does not come, and is asked for until it does: ${words}`);
          changed();
        }
        told = words;
        await sleep(clock, RETRY_MS);
      }
    }
  }

  #holder(vm: VmId, { host, address, key }: Origin): Holder {
    const { clock } = this.#options;
    const holder = this.#holders.get(vm) ?? openHolder({ host, address: parseAddress(address), key: Buffer.from(key, 'hex'), vm, clock });
    this.#holders.set(vm, holder);
    return holder;
  }

  #letGo(vm: VmId): void {
    this.#holders.get(vm)?.close();
    this.#holders.delete(vm);
    this.#arriving.delete(vm);
  }
}
