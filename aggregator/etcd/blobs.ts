/**
 * Small named blobs of several aggregators. Input: names and bytes; output: those that all share (policies, switches,
 * templates, keys, VMs' rests) in etcd, all others in this aggregator's own store. A shared one that another has changed since it was
 * read here is not overwritten: VERSION_CHANGED says so.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import type { EtcdKeys } from './keys.ts';

/** Names that begin so are everybody's. */
export const SHARED_BLOBS = ['policy/', 'kill-switches', 'template', 'spawn/', 'agent-identities', 'api-tokens', 'rests/'] as const;
/** Beyond it a transaction would not fit, and etcd is no place for it. */
const SHARED_BYTES_MAX = 1024 * 1024;

export class EtcdBlobs {
  readonly #keys: EtcdKeys;
  readonly #own: LedgerStore;
  /** Of what was last read or written here. */
  readonly #revisions = new Map<string, number>();

  constructor(keys: EtcdKeys, own: LedgerStore) {
    this.#keys = keys;
    this.#own = own;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    if (!isShared(name)) return this.#own.putBlob(name, bytes);
    if (bytes.length > SHARED_BYTES_MAX)
      throw new HeadroomError('STORE_FULL', `${name} has ${bytes.length} bytes; what all aggregators share may have ${SHARED_BYTES_MAX}`);
    const key = `blob/${name}`;
    const before = this.#revisions.get(name) ?? 0;
    if (!(await this.#keys.putAllIf(key, before, [{ key, value: bytes }]))) await this.#settle(name, bytes);
    await this.get(name);
  }

  async get(name: string): Promise<Uint8Array | null> {
    if (!isShared(name)) return this.#own.getBlob(name);
    const found = await this.#keys.get(`blob/${name}`);
    if (found === null) this.#revisions.delete(name);
    else this.#revisions.set(name, found.revision);
    return found?.value ?? null;
  }

  async remove(name: string): Promise<void> {
    if (!isShared(name)) return this.#own.removeBlob(name);
    this.#revisions.delete(name);
    await this.#keys.remove(`blob/${name}`);
  }

  async names(prefix: string): Promise<string[]> {
    const shared = await this.#keys.names(`blob/${prefix}`);
    return [...shared.map((name) => name.slice('blob/'.length)), ...(await this.#own.blobNames(prefix))];
  }

  /** Our own earlier try may have arrived without an answer. */
  async #settle(name: string, bytes: Uint8Array): Promise<void> {
    const there = await this.get(name);
    if (there !== null && Buffer.from(there).equals(bytes)) return;
    throw new HeadroomError(
      'VERSION_CHANGED',
      `${name} was changed by another aggregator meanwhile; look at it again and repeat the change`,
    );
  }
}

function isShared(name: string): boolean {
  return SHARED_BLOBS.some((begin) => name.startsWith(begin));
}
