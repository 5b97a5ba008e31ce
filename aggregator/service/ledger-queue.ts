/**
 * Writes to the ledger that nothing waits for: outcomes, events, the map. In order, one at a time; bounded, and what does not
 * fit or fails is counted and told. The map keeps only the newest row per VM and resource while it waits.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Setting } from '../../shared/resources.ts';
import type { LedgerBody, LedgerStore } from '../store/ledger-store.ts';

/** Entries waiting: minutes of a fleet in uproar. */
const ENTRIES_MAX = 20_000;

export class LedgerQueue {
  readonly #ledger: LedgerStore;
  readonly #onError: (error: unknown) => void;
  #entries: { timeMs: number; body: LedgerBody }[] = [];
  #rows = new Map<string, { vm: VmId; host: HostId; setting: Setting; sinceMs: number }>();
  readonly #written = new Map<string, string>();
  #gone = new Set<VmId>();
  #running: Promise<void> | null = null;
  dropped = 0;
  failed = 0;

  constructor(ledger: LedgerStore, onError: (error: unknown) => void) {
    this.#ledger = ledger;
    this.#onError = onError;
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
      if (entry) await this.#try(() => this.#ledger.append(entry.timeMs, entry.body));
      else if (row) {
        this.#rows.delete(row[0]);
        await this.#try(() => this.#ledger.putAllocation(row[1]));
      } else if (gone) {
        this.#gone.delete(gone);
        await this.#try(() => this.#ledger.removeVm(gone));
      } else return;
    }
  }

  async #try(write: () => Promise<unknown>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.failed++;
      this.#onError(error);
    }
  }
}
