/** Our keys in etcd, below one prefix: read, written, counted and removed. Keys and bytes in, bytes and revisions out. */
import type { EtcdConnection } from './connection.ts';

export interface Put {
  key: string;
  value: string | Uint8Array;
}

export interface Found {
  key: string;
  value: Buffer;
  /** Of its last change. */
  revision: number;
}

interface KeyValue {
  key: Buffer;
  value: Buffer;
  mod_revision: string;
}

export const textOf = (bytes: Buffer): string => bytes.toString();

export class EtcdKeys {
  readonly #call: EtcdConnection['call'];
  readonly #prefix: string;

  constructor({ call }: EtcdConnection, prefix: string) {
    this.#call = call;
    this.#prefix = prefix;
  }

  async get(key: string): Promise<Found | null> {
    const { kvs } = await this.#call(`${key} is read`, (etcd) => etcd.kv.range({ key: this.#bytes(key) }));
    return kvs[0] === undefined ? null : this.#found(kvs[0] as KeyValue);
  }

  /** Keys that begin so, in their order. */
  all(begin: string): Promise<Found[]> {
    return this.#range(this.#bytes(begin), after(this.#bytes(begin)));
  }

  /** From the first to before the last. */
  range(from: string, to: string): Promise<Found[]> {
    return this.#range(this.#bytes(from), this.#bytes(to));
  }

  /** All our keys as they were at one revision, page by page. */
  async *pages(limit: number): AsyncGenerator<{ revision: number; found: (Found & { leased: boolean })[] }> {
    const end = after(this.#bytes(''));
    let from = this.#bytes('');
    let revision: string | undefined;
    for (;;) {
      const at = revision === undefined ? {} : { revision };
      const page = await this.#call('keys are read', (etcd) => etcd.kv.range({ key: from, range_end: end, limit, ...at }));
      revision ??= page.header.revision;
      const kvs = page.kvs as (KeyValue & { lease: string })[];
      yield { revision: Number(revision), found: kvs.map((kv) => ({ ...this.#found(kv), leased: kv.lease !== '0' })) };
      if (!page.more || kvs.length === 0) return;
      from = Buffer.concat([kvs.at(-1)!.key, Buffer.from([0])]);
    }
  }

  /** Names without bytes. */
  async names(begin: string): Promise<string[]> {
    const bytes = this.#bytes(begin);
    const { kvs } = await this.#call(`${begin} is listed`, (etcd) =>
      etcd.kv.range({ key: bytes, range_end: after(bytes), keys_only: true }),
    );
    return kvs.map(({ key }) => key.toString().slice(this.#prefix.length));
  }

  async put(key: string, value: string | Uint8Array): Promise<void> {
    await this.#call(`${key} is written`, (etcd) => etcd.kv.put({ key: this.#bytes(key), value: Buffer.from(value as Uint8Array) }));
  }

  /** All or none; at most a hundred, no two of one key. */
  async putAll(puts: readonly Put[]): Promise<void> {
    await this.#call(`${puts.length} keys are written`, (etcd) =>
      etcd.kv.txn({ compare: [], success: puts.map((put) => this.#putOf(put)), failure: [] }),
    );
  }

  /** All or none, and only if `key` was last changed at `revision`, 0 = it is not there. False: it has changed. */
  async putAllIf(key: string, revision: number, puts: readonly Put[]): Promise<boolean> {
    const { succeeded } = await this.#call(`${key} is changed`, (etcd) =>
      etcd.kv.txn({
        compare: [{ key: this.#bytes(key), target: 'Mod', result: 'Equal', mod_revision: revision }],
        success: puts.map((put) => this.#putOf(put)),
        failure: [],
      }),
    );
    return succeeded;
  }

  /** Raises a counter by one and answers it; the first is 1. */
  async count(key: string): Promise<number> {
    for (;;) {
      const found = await this.get(key);
      const next = found === null ? 1 : Number(textOf(found.value)) + 1;
      if (await this.putAllIf(key, found?.revision ?? 0, [{ key, value: String(next) }])) return next;
    }
  }

  async remove(key: string): Promise<void> {
    await this.#call(`${key} is removed`, (etcd) => etcd.kv.deleteRange({ key: this.#bytes(key) }));
  }

  removeAll(begin: string): Promise<void> {
    return this.#removeRange(this.#bytes(begin), after(this.#bytes(begin)));
  }

  removeRange(from: string, to: string): Promise<void> {
    return this.#removeRange(this.#bytes(from), this.#bytes(to));
  }

  async #removeRange(from: Buffer, to: Buffer): Promise<void> {
    await this.#call('keys are removed', (etcd) => etcd.kv.deleteRange({ key: from, range_end: to }));
  }

  async #range(from: Buffer, to: Buffer): Promise<Found[]> {
    const { kvs } = await this.#call('keys are read', (etcd) => etcd.kv.range({ key: from, range_end: to }));
    return kvs.map((kv) => this.#found(kv as KeyValue));
  }

  #putOf({ key, value }: Put): { request_put: { key: Buffer; value: Buffer } } {
    return { request_put: { key: this.#bytes(key), value: Buffer.from(value as Uint8Array) } };
  }

  #bytes(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #found({ key, value, mod_revision }: KeyValue): Found {
    return { key: key.toString().slice(this.#prefix.length), value, revision: Number(mod_revision) };
  }
}

/** The first key behind all that begin with these bytes, which are text. */
export function after(bytes: Buffer): Buffer {
  const next = Buffer.from(bytes);
  next[next.length - 1]! += 1;
  return next;
}
