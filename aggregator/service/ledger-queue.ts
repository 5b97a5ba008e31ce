/**
 * Writes to the ledger that nothing waits for: outcomes, events, the map. In order, one at a time; bounded, and what does not
 * fit or fails is counted and told. The map keeps only the newest row per VM and resource while it waits.
 */
import { isHeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Setting } from '../../shared/resources.ts';
import type { LedgerBody, LedgerStore } from '../store/ledger-store.ts';

/** Entries waiting: minutes of a fleet in uproar. */
const ENTRIES_MAX = 20_000;

export class LedgerQueue {
  readonly #ledger: LedgerStore;
  readonly #onError: (error: unknown) => void;
  readonly #pause: () => Promise<void>;
  #entries: { timeMs: number; body: LedgerBody }[] = [];
  #rows = new Map<string, { vm: VmId; host: HostId; setting: Setting; sinceMs: number }>();
  readonly #written = new Map<string, string>();
  #gone = new Set<VmId>();
  #running: Promise<void> | null = null;
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
    const key = `${vm}/${setting.resource}`;
    const value = JSON.stringify([host, setting]);
    if (this.#written.get(key) === value) return;
    this.#written.set(key, value);
    this.#rows.set(key, { vm, host, setting, sinceMs });
    void this.flush();
  }

  remove(vm: VmId): void {
    for (const key of [...this.#written.keys()].filter((each) => each.startsWith(`${vm}/`))) {
      this.#written.delete(key);
      this.#rows.delete(key);
    }
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
    this.#running ??= this.#drain().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #drain(): Promise<void> {
    for (;;) {
      const entry = this.#entries.shift();
      const row = entry ? undefined : this.#rows.entries().next().value;
      const gone = entry || row ? undefined : this.#gone.values().next().value;
      if (entry) {
        if (!(await this.#try(() => this.#ledger.append(entry.timeMs, entry.body)))) this.#entries.unshift(entry);
      } else if (row) {
        this.#rows.delete(row[0]);
        const written = await this.#try(() => this.#ledger.putAllocation(row[1]));
        if (!written && !this.#rows.has(row[0])) this.#rows.set(row[0], row[1]);
      } else if (gone) {
        this.#gone.delete(gone);
        if (!(await this.#try(() => this.#ledger.removeVm(gone)))) this.#gone.add(gone);
      } else return;
    }
  }

  /** False: a ledger on other machines is away; it is tried again. */
  async #try(write: () => Promise<unknown>): Promise<boolean> {
    try {
      await write();
    } catch (error) {
      if (isHeadroomError(error, 'UNAVAILABLE') && !this.#ending) {
        await this.#pause();
        return false;
      }
      this.failed++;
      this.#onError(error);
    }
    return true;
  }
}
