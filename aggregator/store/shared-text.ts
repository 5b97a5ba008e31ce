/**
 * A text kept under one name in a ledger's store that several aggregators may share. Input: a store, a name, new texts; output:
 * what another has made of it since. Whoever saves over a change that was not read yet hears VERSION_CHANGED.
 */
import type { LedgerStore } from './ledger-store.ts';

export class SharedText {
  readonly #ledger: Pick<LedgerStore, 'getBlob' | 'putBlob'>;
  readonly #name: string;
  #text: string | null = null;
  #saving = 0;

  constructor(ledger: Pick<LedgerStore, 'getBlob' | 'putBlob'>, name: string) {
    this.#ledger = ledger;
    this.#name = name;
  }

  async load(): Promise<string | null> {
    const bytes = await this.#ledger.getBlob(this.#name);
    this.#text = bytes === null ? null : new TextDecoder().decode(bytes);
    return this.#text;
  }

  /** The text as another has changed it since it was last read or saved; null = nobody has, or our own is on its way. */
  async changed(): Promise<string | null> {
    if (this.#saving > 0) return null;
    const before = this.#text;
    const bytes = await this.#ledger.getBlob(this.#name);
    const text = bytes === null ? null : new TextDecoder().decode(bytes);
    // Ours was saved while we read.
    if (this.#saving > 0 || this.#text !== before || text === before) return null;
    this.#text = text;
    return text;
  }

  async save(text: string): Promise<void> {
    this.#saving++;
    try {
      await this.#ledger.putBlob(this.#name, new TextEncoder().encode(text));
      this.#text = text;
    } finally {
      this.#saving--;
    }
  }
}
