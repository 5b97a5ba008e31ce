/**
 * What is learnt of each VM beside its models, as plain data kept over restarts: one blob a VM. Input: values as they change; output: all of
 * them after a restart. A VM's writes are made one after the other, and what changed again meanwhile is written once, as it was last. What
 * cannot be kept, or cannot be read again, is logged and learnt anew: it costs no other VM anything.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export type ShelfBlobs = Pick<LedgerStore, 'blobNames' | 'getBlob' | 'putBlob' | 'removeBlob'>;

export interface VmShelfOptions {
  ledger: ShelfBlobs;
  log: Pick<Logger, 'warn'>;
  /** Of the blobs' names; the VM's id follows it. */
  prefix: string;
  /** As a warning begins. */
  what: string;
}

export class VmShelf<Kept> {
  readonly #options: VmShelfOptions;
  /** What is to be written next; null = removed. */
  readonly #waiting = new Map<VmId, string | null>();
  readonly #writing = new Set<VmId>();

  constructor(options: VmShelfOptions) {
    this.#options = options;
  }

  /** Rejects when the ledger fails. */
  async load(): Promise<Map<VmId, Kept>> {
    const { ledger, log, prefix, what } = this.#options;
    const all = new Map<VmId, Kept>();
    for (const name of await ledger.blobNames(prefix)) {
      const bytes = await ledger.getBlob(name);
      if (bytes === null) continue;
      const vm = name.slice(prefix.length) as VmId;
      try {
        all.set(vm, JSON.parse(Buffer.from(bytes).toString('utf8')));
      } catch (error) {
        log.warn(`${what} cannot be read, and is learnt anew`, { vm, problem: errorText(error) });
      }
    }
    return all;
  }

  /** As it is now: changes made to it later are not kept. */
  keep(vm: VmId, value: Kept): void {
    this.#next(vm, JSON.stringify(value));
  }

  /** One of which nothing was kept is forgotten already. */
  forget(vm: VmId): void {
    this.#next(vm, null);
  }

  #next(vm: VmId, text: string | null): void {
    this.#waiting.set(vm, text);
    if (!this.#writing.has(vm)) void this.#write(vm);
  }

  async #write(vm: VmId): Promise<void> {
    const { ledger, log, prefix, what } = this.#options;
    this.#writing.add(vm);
    for (let text = this.#waiting.get(vm); text !== undefined; text = this.#waiting.get(vm)) {
      this.#waiting.delete(vm);
      try {
        await (text === null ? ledger.removeBlob(prefix + vm) : ledger.putBlob(prefix + vm, Buffer.from(text)));
      } catch (error) {
        log.warn(`${what} could not be kept`, { vm, problem: errorText(error) });
      }
    }
    this.#writing.delete(vm);
  }
}
