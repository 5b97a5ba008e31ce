/**
 * The ledger of several aggregators: one chain, whose newest entries, head, map and small blobs are in etcd, and whose every
 * entry is in each aggregator's own file. Input: a connection, a file's store for the copy, a name; output: a LedgerStore. An
 * entry is durable when etcd has it; it leaves etcd only once all copies (and always two at least) hold it on their disks.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { canonicalJson } from '../../shared/canonical-json.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { GENESIS_HASH, makeEntry } from '../store/ledger-chain.ts';
import type { Allocation, LedgerBody, LedgerEntry, LedgerStore, VerifyResult } from '../store/ledger-store.ts';
import { Batches } from './batches.ts';
import { EtcdBlobs } from './blobs.ts';
import type { EtcdConnection } from './connection.ts';
import { EtcdKeys, type Put, textOf } from './keys.ts';

export interface EtcdLedgerOptions {
  connection: EtcdConnection;
  prefix: string;
  clock: Clock;
  /** This aggregator's: it must not change. */
  name: string;
  /** Entries on this aggregator's disk, and blobs that are its own. */
  copy: LedgerStore;
  /** How long an append is tried; absent: ten seconds. */
  appendMsMax?: number;
  /** Entries kept in etcd at least, for those that were away; absent: 5,000. */
  tailEntries?: number;
}

/** etcd takes transactions of 128 operations and 1.5 MiB. */
const BATCH_ENTRIES_MAX = 100;
const BATCH_BYTES_MAX = 1024 * 1024;
const PAGE_ENTRIES = 500;
const APPEND_MS_MAX = 10_000;
const RETRY_MS = 200;
/** A few hours of a large fleet: about 5 MB. */
const TAIL_ENTRIES = 5000;
/** Trimmed in steps, so that few appends pay for it. */
const TRIM_STEP = 500;
const COPIES_MIN = 2;

interface Waiting {
  timeMs: number;
  body: LedgerBody;
  untilMs: number;
  resolve: (entry: LedgerEntry) => void;
  reject: (error: unknown) => void;
}

interface Head {
  entries: number;
  hash: string;
  /** The first entry that etcd still has. */
  from: number;
}

const NO_HEAD: Head = { entries: 0, hash: GENESIS_HASH, from: 0 };

class EtcdLedgerStore implements LedgerStore {
  readonly #options: EtcdLedgerOptions;
  readonly #keys: EtcdKeys;
  readonly #blobs: EtcdBlobs;
  /** A successor writes the map's rows of all hosts it takes. */
  readonly #rows: Batches<Put, null>;
  #waiting: Waiting[] = [];
  #flushing = false;
  #flushed: Promise<void> = Promise.resolve();
  /** Calls that touch the copy, one after another. */
  #last: Promise<unknown> = Promise.resolve();
  /** Entries of a transaction whose answer did not come: found again by their hashes. */
  #uncertain = new Map<string, (entry: LedgerEntry) => void>();
  #copied = 0;
  #head: string = GENESIS_HASH;
  #told = -1;

  constructor(options: EtcdLedgerOptions) {
    this.#options = options;
    this.#keys = new EtcdKeys(options.connection, options.prefix);
    this.#blobs = new EtcdBlobs(this.#keys, options.copy);
    this.#rows = new Batches({
      ...{ itemsMax: BATCH_ENTRIES_MAX, atOnce: 1 },
      run: async (puts) => {
        // Of one key the newest; etcd takes no key twice in a transaction.
        await this.#keys.putAll([...new Map(puts.map((put) => [put.key, put])).values()]);
        return puts.map(() => null);
      },
    });
  }

  /** Brings the copy up to date. Rejects with UNAVAILABLE, or LEDGER_BROKEN when the copy is not of this chain. */
  async open(): Promise<void> {
    const [last] = await this.#options.copy.entries({ limit: 1, newestFirst: true });
    this.#copied = last === undefined ? 0 : last.index + 1;
    this.#head = last?.hash ?? GENESIS_HASH;
    await this.#alone(() => this.#catchUp());
    await this.#tellCopied();
  }

  nextEpoch(): Promise<number> {
    return this.#keys.count('counter/epoch');
  }

  async append(timeMs: number, body: LedgerBody): Promise<LedgerEntry> {
    // Refused here, alone, and not with others of its batch.
    canonicalJson(body);
    canonicalJson(timeMs);
    const { clock, appendMsMax = APPEND_MS_MAX } = this.#options;
    const untilMs = clock.monotonicMs() + appendMsMax;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ timeMs, body, untilMs, resolve, reject });
      if (!this.#flushing) this.#flushed = this.#flush();
    });
  }

  async entries(query: Parameters<LedgerStore['entries']>[0]): Promise<LedgerEntry[]> {
    await this.#refresh();
    return this.#options.copy.entries(query);
  }

  async verify(): Promise<VerifyResult> {
    await this.#refresh();
    const result = await this.#options.copy.verify();
    if (!result.ok) return result;
    const { head } = await this.#readHead();
    if (head.entries > result.entries)
      return { ok: false, index: result.entries, problem: `${head.entries - result.entries} entries are missing at the end` };
    if (head.entries === result.entries && head.hash !== result.head)
      return {
        ok: false,
        index: Math.max(0, result.entries - 1),
        problem: "the last entry's hash is not the head that all aggregators share",
      };
    return result;
  }

  async putAllocation(allocation: Allocation): Promise<void> {
    const { vm, setting } = allocation;
    await this.#rows.ask({ key: `map/${vm}/${setting.resource}`, value: JSON.stringify(allocation) });
  }

  async removeVm(vm: VmId): Promise<void> {
    await this.#keys.removeAll(`map/${vm}/`);
  }

  async allocations(): Promise<Allocation[]> {
    return (await this.#keys.all('map/')).map(({ value }) => JSON.parse(textOf(value)) as Allocation);
  }

  putBlob(name: string, bytes: Uint8Array): Promise<void> {
    return this.#blobs.put(name, bytes);
  }

  getBlob(name: string): Promise<Uint8Array | null> {
    return this.#blobs.get(name);
  }

  removeBlob(name: string): Promise<void> {
    return this.#blobs.remove(name);
  }

  blobNames(prefix: string): Promise<string[]> {
    return this.#blobs.names(prefix);
  }

  async close(): Promise<void> {
    await this.#flushed;
    await this.#last.catch(() => undefined);
    await this.#tellCopied().catch(() => undefined);
    await this.#options.copy.close();
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** What is known is answered while etcd is away. */
  #refresh(): Promise<void> {
    return this.#alone(async () => void (await this.#catchUp())).catch((error: unknown) => {
      if (!isHeadroomError(error, 'UNAVAILABLE')) throw error;
    });
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    try {
      while (this.#waiting.length > 0) {
        await this.#alone(() => this.#appendBatch()).catch((error: unknown) => this.#failed(error));
        if (this.#waiting.length === 0) await this.#tellCopied().catch(() => undefined);
      }
    } finally {
      // In one turn with the look at what waits: whoever comes next begins anew.
      this.#flushing = false;
    }
  }

  /** Those that have waited long enough hear of it; etcd may be back for the others. */
  async #failed(error: unknown): Promise<void> {
    const { clock } = this.#options;
    const away = isHeadroomError(error, 'UNAVAILABLE');
    const nowMs = clock.monotonicMs();
    const late = this.#waiting.filter(({ untilMs }) => !away || nowMs >= untilMs);
    this.#waiting = this.#waiting.filter((each) => !late.includes(each));
    for (const each of late) each.reject(error);
    if (away) await sleep(clock, RETRY_MS);
  }

  async #appendBatch(): Promise<void> {
    const { revision, head } = await this.#catchUp();
    const batch: Waiting[] = [];
    const made: (LedgerEntry & { canonicalBody: string })[] = [];
    const puts: Put[] = [];
    let [hash, bytes] = [head.hash, 0];
    for (const each of this.#waiting.slice(0, BATCH_ENTRIES_MAX)) {
      const entry = makeEntry(hash, head.entries + made.length, each.timeMs, each.body);
      const value = zstdCompressSync(JSON.stringify([entry.timeMs, entry.canonicalBody]));
      if (made.length > 0 && bytes + value.length > BATCH_BYTES_MAX) break;
      bytes += value.length;
      hash = entry.hash;
      batch.push(each);
      made.push(entry);
      puts.push({ key: entryKey(entry.index), value });
    }
    if (batch.length === 0) return;
    puts.push({ key: 'ledger/head', value: JSON.stringify({ ...head, entries: head.entries + made.length, hash }) });
    for (const [i, entry] of made.entries()) this.#uncertain.set(entry.hash, batch[i]!.resolve);
    // Refused: another was first, or an earlier try of this very batch arrived after all. Catching up tells.
    if (!(await this.#keys.putAllIf('ledger/head', revision, puts))) return;
    await this.#copy(made.map(({ timeMs, body, hash: known }) => ({ timeMs, body, hash: known })));
  }

  async #readHead(): Promise<{ revision: number; head: Head }> {
    const found = await this.#keys.get('ledger/head');
    return found === null ? { revision: 0, head: NO_HEAD } : { revision: found.revision, head: JSON.parse(textOf(found.value)) as Head };
  }

  /** Everything that etcd has and the copy has not. */
  async #catchUp(): Promise<{ revision: number; head: Head }> {
    for (;;) {
      const found = await this.#readHead();
      const { head } = found;
      if (head.entries < this.#copied)
        throw new HeadroomError(
          'LEDGER_BROKEN',
          `etcd's ledger has ${head.entries} entries, our copy ${this.#copied}: they are not of one fleet, or etcd was set back`,
        );
      if (head.entries === this.#copied) {
        if (head.hash !== this.#head)
          throw new HeadroomError(
            'LEDGER_BROKEN',
            'our copy of the ledger does not end in the head that etcd has: it is of another fleet, or was changed',
          );
        // What was not found is made anew, to the same hashes as long as nobody else comes first.
        this.#uncertain.clear();
        return found;
      }
      if (this.#copied < head.from)
        throw new HeadroomError(
          'LEDGER_BROKEN',
          `our copy of the ledger ends before entry ${head.from}, where etcd's begins; copy the ledger folder of another aggregator here first`,
        );
      const to = Math.min(head.entries, this.#copied + PAGE_ENTRIES);
      const values = await this.#keys.range(entryKey(this.#copied), entryKey(to));
      // Trimmed in between: the next look at the head tells.
      if (values.length < to - this.#copied) continue;
      await this.#copy(values.map(({ value }) => readEntry(value)));
    }
  }

  /** Into the copy, whose chain must come out the same; whoever waited for one of them has it now. */
  async #copy(entries: readonly { timeMs: number; body: LedgerBody; hash?: string }[]): Promise<void> {
    const copied = await Promise.all(entries.map(({ timeMs, body }) => this.#options.copy.append(timeMs, body)));
    for (const [i, entry] of copied.entries()) {
      const known = entries[i]!.hash;
      if (entry.index !== this.#copied || (known !== undefined && known !== entry.hash))
        throw new HeadroomError('LEDGER_BROKEN', `entry ${this.#copied} came out as ${entry.index} with another hash in our copy`);
      this.#copied++;
      this.#head = entry.hash;
      const waits = this.#uncertain.get(entry.hash);
      if (waits === undefined) continue;
      this.#uncertain.delete(entry.hash);
      this.#waiting = this.#waiting.filter(({ resolve }) => resolve !== waits);
      waits(entry);
    }
  }

  /** What our disk holds, for whoever trims; and trims itself what all hold. */
  async #tellCopied(): Promise<void> {
    const { name, tailEntries = TAIL_ENTRIES } = this.#options;
    const step = Math.min(TRIM_STEP, tailEntries);
    if (this.#told >= 0 && this.#copied - this.#told < step) return;
    await this.#keys.put(`copied/${name}`, String(this.#copied));
    this.#told = this.#copied;
    const copies = (await this.#keys.all('copied/')).map(({ value }) => Number(textOf(value)));
    if (copies.length < COPIES_MIN) return;
    const { head, revision } = await this.#readHead();
    const to = Math.min(...copies, head.entries - tailEntries);
    if (to - head.from < step) return;
    // The head first: whoever is behind hears of it in words.
    if (await this.#keys.putAllIf('ledger/head', revision, [{ key: 'ledger/head', value: JSON.stringify({ ...head, from: to }) }])) {
      await this.#keys.removeRange(entryKey(0), entryKey(to));
    }
  }
}

const entryKey = (index: number): string => `ledger/entry/${String(index).padStart(12, '0')}`;

function readEntry(value: Buffer): { timeMs: number; body: LedgerBody } {
  const [timeMs, body] = JSON.parse(zstdDecompressSync(value).toString()) as [number, string];
  return { timeMs, body: JSON.parse(body) as LedgerBody };
}

/** Rejects with UNAVAILABLE when etcd does not answer, LEDGER_BROKEN when the copy is not of etcd's chain or too old. */
export async function openEtcdLedgerStore(options: EtcdLedgerOptions): Promise<LedgerStore> {
  const store = new EtcdLedgerStore(options);
  await store.open();
  return store;
}
