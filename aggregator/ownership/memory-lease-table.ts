/**
 * A table of leases in memory, on whatever clock it is given: for simulations and tests of several aggregators. Input: a
 * clock; output: tables that share their entries, each of which can be cut off.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { LeaseId, LeaseTable, TableEntry } from './lease-table.ts';

interface Held extends TableEntry {
  lease: LeaseId;
}

export class MemoryLeases {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Held>();
  readonly #leases = new Map<LeaseId, { ttlMs: number; endsMs: number }>();
  readonly #cut = new Set<string>();
  #revision = 0;
  /** Answers nobody while true. */
  away = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on `name` is not answered, or again. */
  cut(name: string, cut: boolean): void {
    if (cut) this.#cut.add(name);
    else this.#cut.delete(name);
  }

  /** As one aggregator sees it. */
  tableOf(name: string): LeaseTable {
    const answered = async <T>(answer: () => T): Promise<T> => {
      if (this.away || this.#cut.has(name)) throw new HeadroomError('UNAVAILABLE', 'the table of leases does not answer');
      this.#expire();
      return answer();
    };
    return {
      grant: (ttlMs) =>
        answered(() => {
          const lease = `lease-${++this.#revision}`;
          this.#leases.set(lease, { ttlMs, endsMs: this.#clock.monotonicMs() + ttlMs });
          return lease;
        }),
      renew: (lease) =>
        answered(() => {
          const held = this.#leases.get(lease);
          if (held !== undefined) held.endsMs = this.#clock.monotonicMs() + held.ttlMs;
          return held !== undefined;
        }),
      revoke: (lease) => answered(() => this.#end(lease)),
      take: (lease, key, value) =>
        answered(() => {
          if (!this.#leases.has(lease)) throw new HeadroomError('LEASE_EXPIRED', `lease ${lease} has ended`);
          const held = this.#entries.get(key) ?? { key, value, revision: ++this.#revision, lease };
          this.#entries.set(key, held);
          return { mine: held.lease === lease, entry: entryOf(held) };
        }),
      free: (key, revision) =>
        answered(() => {
          if (this.#entries.get(key)?.revision === revision) this.#entries.delete(key);
        }),
      put: (lease, key, value) =>
        answered(() => {
          if (!this.#leases.has(lease)) throw new HeadroomError('LEASE_EXPIRED', `lease ${lease} has ended`);
          const revision = this.#entries.get(key)?.revision ?? ++this.#revision;
          this.#entries.set(key, { key, value, revision, lease });
        }),
      get: (key) =>
        answered(() => {
          const held = this.#entries.get(key);
          return held === undefined ? null : entryOf(held);
        }),
      list: (prefix) =>
        answered(() =>
          [...this.#entries.values()]
            .filter(({ key }) => key.startsWith(prefix))
            .sort((a, b) => (a.key < b.key ? -1 : 1))
            .map(entryOf),
        ),
    };
  }

  #expire(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [lease, { endsMs }] of this.#leases) if (nowMs >= endsMs) this.#end(lease);
  }

  #end(lease: LeaseId): void {
    this.#leases.delete(lease);
    for (const [key, held] of this.#entries) if (held.lease === lease) this.#entries.delete(key);
  }
}

function entryOf({ key, value, revision }: Held): TableEntry {
  return { key, value, revision };
}
