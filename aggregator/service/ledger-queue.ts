/**
 * Writes to the ledger that nothing waits for: outcomes, events, the map. In order, as many at once as the ledger takes together (a
 * shared one needs as long for one as for all of them); bounded, and what does not fit or fails is counted and told. The map keeps
 * only the newest row per VM and resource while it waits.
 */
import { isHeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { sameValue } from '../../shared/same-value.ts';
import type { Allocation, LedgerBody, LedgerStore } from '../store/ledger-store.ts';

/** Entries waiting: minutes of a fleet in uproar. */
const ENTRIES_MAX = 20_000;
/** Handed over together: one transaction of a ledger on other machines takes a hundred operations. */
const AT_ONCE = 64;

export class LedgerQueue {
  readonly #ledger: LedgerStore;
  readonly #onError: (error: unknown) => void;
  readonly #pause: () => Promise<void>;
  #entries: { timeMs: number; body: LedgerBody }[] = [];
  #rows = new Map<string, Allocation>();
  /** By VM and resource, what the map has. */
  readonly #written = new Map<VmId, Partial<Record<Resource, Pick<Allocation, 'host' | 'setting'>>>>();
  #gone = new Set<VmId>();
  #draining = false;
  #drained: Promise<void> = Promise.resolve();
  #ending = false;
  dropped = 0;
  failed = 0;

  /** `pause`: before a ledger that is away is tried again. */
  constructor(ledger: LedgerStore, onError: (error: unknown) => void, pause: () => Promise<void>) {
    this.#ledger = ledger;
    this.#onError = onError;
    this.#pause = pause;
  }

  get waiting(): number {
    return this.#entries.length + this.#rows.size + this.#gone.size;
  }

  append(timeMs: number, body: LedgerBody): void {
    if (this.#entries.length >= ENTRIES_MAX) {
      this.dropped++;
      return;
    }
    this.#entries.push({ timeMs, body });
    void this.flush();
  }

  /** Who holds what: written when it differs from what is in the map. */
  allocate(vm: VmId, host: HostId, setting: Setting, sinceMs: number): void {
    const written = this.#written.get(vm) ?? {};
    const before = written[setting.resource];
    if (before?.host === host && sameValue(before.setting, setting)) return;
    written[setting.resource] = { host, setting: { ...setting } };
    this.#written.set(vm, written);
    this.#rows.set(`${vm}/${setting.resource}`, { vm, host, setting, sinceMs });
    void this.flush();
  }

  remove(vm: VmId): void {
    this.#written.delete(vm);
    for (const resource of RESOURCES) this.#rows.delete(`${vm}/${resource}`);
    this.#gone.add(vm);
    void this.flush();
  }

  /** What a ledger that is away has not taken by now is given up. */
  end(): Promise<void> {
    this.#ending = true;
    return this.flush();
  }

  /** Resolves when nothing waits any more. */
  flush(): Promise<void> {
    if (!this.#draining) this.#drained = this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    while (this.waiting > 0) {
      if (this.#entries.length > 0) await this.#writeEntries(this.#entries.splice(0, AT_ONCE));
      else if (this.#rows.size > 0) await this.#writeRows(firstOf(this.#rows));
      else await this.#removeGone(firstOf(this.#gone));
    }
    // In one turn with the look at what waits: whoever comes next begins anew.
    this.#draining = false;
  }

  /** In this order, also those that are tried again. */
  async #writeEntries(entries: readonly { timeMs: number; body: LedgerBody }[]): Promise<void> {
    const written = await this.#tryAll(entries, ({ timeMs, body }) => this.#ledger.append(timeMs, body));
    this.#entries.unshift(...entries.filter((_, i) => !written[i]));
  }

  async #writeRows(rows: readonly [string, Allocation][]): Promise<void> {
    for (const [key] of rows) this.#rows.delete(key);
    const written = await this.#tryAll(rows, ([, row]) => this.#ledger.putAllocation(row));
    for (const [i, [key, row]] of rows.entries()) if (!written[i] && !this.#rows.has(key)) this.#rows.set(key, row);
  }

  async #removeGone(vms: readonly VmId[]): Promise<void> {
    for (const vm of vms) this.#gone.delete(vm);
    const removed = await this.#tryAll(vms, (vm) => this.#ledger.removeVm(vm));
    for (const [i, vm] of vms.entries()) if (!removed[i]) this.#gone.add(vm);
  }

  /** By item, false: the ledger on other machines is away, it is tried again after a pause. */
  async #tryAll<T>(items: readonly T[], write: (item: T) => Promise<unknown>): Promise<boolean[]> {
    const written = await Promise.all(items.map((item) => this.#try(() => write(item))));
    if (written.includes(false)) await this.#pause();
    return written;
  }

  /** False: a ledger on other machines is away. */
  async #try(write: () => Promise<unknown>): Promise<boolean> {
    try {
      await write();
    } catch (error) {
      if (isHeadroomError(error, 'UNAVAILABLE') && !this.#ending) return false;
      this.failed++;
      this.#onError(error);
    }
    return true;
  }
}

function firstOf<T>(items: Iterable<T>): T[] {
  const first: T[] = [];
  for (const item of items) {
    first.push(item);
    if (first.length === AT_ONCE) break;
  }
  return first;
}
