/**
 * The book of spawning in the ledger's store: a copy for each hold of the fleet, so that what an overtaken holder still writes comes
 * to a copy that nobody reads any more. Input: books, and the epoch of the hold they were decided under; output: the newest copy.
 */
import { HeadroomError } from '../../shared/errors.ts';
import { EMPTY_BOOK, type SpawnBook } from '../core/spawn/spawn-book.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

const COPIES = 'spawn/book/';
/** Every safe integer in decimal: names sort as epochs do. */
const EPOCH_DIGITS = 16;
const nameOf = (epoch: number): string => `${COPIES}${String(epoch).padStart(EPOCH_DIGITS, '0')}`;

export class SpawnShelf {
  readonly #ledger: LedgerStore;
  #written = '';
  #epoch = 0;

  constructor(ledger: LedgerStore) {
    this.#ledger = ledger;
  }

  /** Throws STORE_CORRUPT where it cannot be read: nothing may be made beside what is not known. */
  async newest(): Promise<SpawnBook> {
    const name = (await this.#ledger.blobNames(COPIES)).toSorted().at(-1);
    const bytes = name === undefined ? null : await this.#ledger.getBlob(name);
    if (bytes === null) return EMPTY_BOOK;
    try {
      return JSON.parse(new TextDecoder().decode(bytes)) as SpawnBook;
    } catch (error) {
      throw new HeadroomError('STORE_CORRUPT', `what was kept of VMs made for groups (${name}) cannot be read`, { cause: error });
    }
  }

  /** The newest book becomes this hold's. From then on nothing that an earlier holder writes is read. */
  async takeOver(epoch: number): Promise<SpawnBook> {
    const book = await this.newest();
    await this.keep(book, epoch);
    for (const name of await this.#ledger.blobNames(COPIES)) if (name < nameOf(epoch)) await this.#ledger.removeBlob(name);
    return book;
  }

  /** Resolves once it is kept. */
  async keep(book: SpawnBook, epoch: number): Promise<void> {
    const text = JSON.stringify(book);
    if (text === this.#written && epoch === this.#epoch) return;
    await this.#ledger.putBlob(nameOf(epoch), new TextEncoder().encode(text));
    this.#written = text;
    this.#epoch = epoch;
  }
}
