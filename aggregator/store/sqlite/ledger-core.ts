/**
 * The embedded ledger without its thread: synchronous. Input: bodies, allocations, blobs. Output: chained entries, the map
 * of who holds what, and what verification finds. The head (how many entries, the last hash) is kept beside the entries,
 * so that entries cut off at the end are missed too; whoever can rewrite both needs an outside witness to be found out.
 */
import { crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import { entryProblem, filedUnder, GENESIS_HASH, makeEntry } from '../ledger-chain.ts';
import type { Allocation, LedgerBody, LedgerEntry, LedgerStore, VerifyResult } from '../ledger-store.ts';
import { closeQuietly, type Database, openDatabase, pragmaText, type Statement, storeError, transaction } from './database.ts';

export type EntriesQuery = Parameters<LedgerStore['entries']>[0];

/** "HrLd". */
const APPLICATION_ID = 0x48724c64;
const SCHEMA = `
CREATE TABLE head(id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL, hash TEXT NOT NULL);
INSERT INTO head VALUES (1, 0, '${GENESIS_HASH}');
CREATE TABLE entry(number INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, body NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX entry_kind ON entry(kind, number);
CREATE TABLE entry_vm(vm TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (vm, number)) WITHOUT ROWID;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE allocation(vm TEXT NOT NULL, resource TEXT NOT NULL, host TEXT NOT NULL, setting TEXT NOT NULL, since_ms INTEGER NOT NULL, PRIMARY KEY (vm, resource));
CREATE TABLE blob(name TEXT PRIMARY KEY, bytes BLOB NOT NULL)`;

/** Bodies above this are compressed: plans name many VMs in much the same words. Smaller ones stay readable. */
const COMPRESS_CHARS_MIN = 2048;
/** Entries read at a time by verification. */
const PAGE_ENTRIES = 500;

type EntryRow = [number: number, timeMs: number, kind: string, body: string | Uint8Array, previousHash: string, hash: string];

export class LedgerCore {
  readonly #db: Database;
  readonly #statements = new Map<string, Statement>();
  #count: number;
  #head: string;

  /** `:memory:` for none on disk. Throws STORE_UNAVAILABLE, STORE_CORRUPT, or LEDGER_BROKEN when the last entry is not the head. */
  constructor(path: string, { readOnly = false } = {}) {
    this.#db = openDatabase(path, {
      what: 'ledger',
      applicationId: APPLICATION_ID,
      schemaVersion: 1,
      schema: SCHEMA,
      pageBytes: 4096,
      cacheKiB: 4096,
      checkpointPages: 1000,
      readOnly,
      bytesMax: null,
    });
    try {
      [this.#count, this.#head] = readOnly ? [0, GENESIS_HASH] : this.#readHead();
      if (!readOnly) this.#checkTail(path);
    } catch (error) {
      closeQuietly(this.#db);
      throw storeError(error, `ledger ${path}`);
    }
  }

  /** Several changes in one commit: all are durable when it returns, or none is kept. */
  group<T>(work: () => T): T {
    const [count, head] = [this.#count, this.#head];
    try {
      return transaction(this.#db, 'ledger', work);
    } catch (error) {
      this.#count = count;
      this.#head = head;
      throw error;
    }
  }

  /** Within a group. */
  append(timeMs: number, body: LedgerBody): LedgerEntry {
    const { canonicalBody, ...entry } = makeEntry(this.#head, this.#count, timeMs, body);
    const { index, previousHash, hash } = entry;
    this.#run(
      'INSERT INTO entry(number, time_ms, kind, body, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?)',
      index,
      timeMs,
      body.kind,
      pack(canonicalBody),
      previousHash,
      hash,
    );
    for (const vm of filedUnder(body)) this.#run('INSERT INTO entry_vm(vm, number) VALUES (?, ?)', vm, index);
    this.#run('UPDATE head SET entries=?, hash=?', index + 1, hash);
    this.#count = index + 1;
    this.#head = hash;
    return entry;
  }

  /** Within a group. */
  nextEpoch(): number {
    this.#run("INSERT INTO counter(name, value) VALUES ('epoch', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1");
    return Number(this.#all("SELECT value FROM counter WHERE name='epoch'")[0]![0]);
  }

  entries({ fromIndex, limit, vm, kind, newestFirst = false }: EntriesQuery): LedgerEntry[] {
    const conditions: string[] = [];
    const parameters: (string | number)[] = [];
    const condition = (text: string, parameter: string | number): void => {
      conditions.push(text);
      parameters.push(parameter);
    };
    if (vm !== undefined) condition('v.vm = ?', vm);
    if (kind !== undefined) condition('e.kind = ?', kind);
    if (fromIndex !== undefined) condition(`e.number ${newestFirst ? '<=' : '>='} ?`, fromIndex);
    const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
    const from = vm === undefined ? 'entry e' : 'entry_vm v CROSS JOIN entry e ON e.number = v.number';
    const order = `${vm === undefined ? 'e' : 'v'}.number ${newestFirst ? 'DESC' : 'ASC'}`;
    const rows = this.#all(
      `SELECT e.number, e.time_ms, e.kind, e.body, e.previous_hash, e.hash FROM ${from} ${where} ORDER BY ${order} LIMIT ?`,
      ...parameters,
      limit,
    ) as EntryRow[];
    return rows.map((row) => entryOf(row, unpack(row[3])));
  }

  /** Verification in pages: each `next()` looks at one, the last one's value is the result. Damage is a result, not an exception. */
  *verify(): Generator<void, VerifyResult, void> {
    let index = 0;
    let previousHash = GENESIS_HASH;
    let vms = 0;
    try {
      for (;;) {
        const rows = this.#page(index);
        for (const row of rows) {
          const problem = this.#rowProblem(row, previousHash, index);
          if (problem) return { ok: false, index, problem };
          vms += filedUnder(JSON.parse(unpack(row[3]))).length;
          previousHash = row[5];
          index++;
        }
        if (rows.length < PAGE_ENTRIES)
          return this.#headProblem(index, previousHash, vms) ?? { ok: true, entries: index, head: previousHash };
        yield;
      }
    } catch (error) {
      return { ok: false, index, problem: `the file cannot be read: ${errorText(error)}` };
    }
  }

  /** Within a group. */
  putAllocation({ vm, host, setting, sinceMs }: Allocation): void {
    this.#run(
      `INSERT INTO allocation(vm, resource, host, setting, since_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT(vm, resource) DO UPDATE SET host=excluded.host, setting=excluded.setting, since_ms=excluded.since_ms`,
      vm,
      setting.resource,
      host,
      JSON.stringify(setting),
      sinceMs,
    );
  }

  /** Within a group. */
  removeVm(vm: string): void {
    this.#run('DELETE FROM allocation WHERE vm=?', vm);
  }

  allocations(): Allocation[] {
    return this.#all('SELECT vm, host, setting, since_ms FROM allocation ORDER BY vm, resource').map(([vm, host, setting, sinceMs]) => ({
      vm: vm as Allocation['vm'],
      host: host as Allocation['host'],
      setting: JSON.parse(setting as string),
      sinceMs: sinceMs as number,
    }));
  }

  /** Within a group. */
  putBlob(name: string, bytes: Uint8Array): void {
    this.#run('INSERT INTO blob(name, bytes) VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET bytes=excluded.bytes', name, bytes);
  }

  getBlob(name: string): Uint8Array | null {
    return (this.#all('SELECT bytes FROM blob WHERE name=?', name)[0]?.[0] as Uint8Array | undefined) ?? null;
  }

  /** Within a group. */
  removeBlob(name: string): void {
    this.#run('DELETE FROM blob WHERE name=?', name);
  }

  blobNames(prefix: string): string[] {
    return this.#all('SELECT name FROM blob WHERE substr(name, 1, length(?1))=?1', prefix).map(([name]) => name as string);
  }

  close(): void {
    this.#statements.clear();
    closeQuietly(this.#db);
  }

  #page(fromIndex: number): EntryRow[] {
    const sql = 'SELECT number, time_ms, kind, body, previous_hash, hash FROM entry WHERE number >= ? ORDER BY number LIMIT ?';
    // An entry before the first must show as well.
    return this.#all(sql, fromIndex === 0 ? Number.MIN_SAFE_INTEGER : fromIndex, PAGE_ENTRIES) as EntryRow[];
  }

  #rowProblem(row: EntryRow, previousHash: string, index: number): string | null {
    const canonicalBody = unpack(row[3]);
    const entry = entryOf(row, canonicalBody);
    const problem = entryProblem(entry, canonicalBody, previousHash, index);
    if (problem) return problem;
    if (row[2] !== entry.body.kind) return `it is filed as "${row[2]}", but is of kind "${entry.body.kind}"`;
    for (const vm of filedUnder(entry.body)) {
      if (this.#all('SELECT 1 FROM entry_vm WHERE vm=? AND number=?', vm, index).length === 0) return `it is not filed under VM ${vm}`;
    }
    return null;
  }

  /** What only shows over the whole: entries missing at the end, or filed where they do not belong. */
  #headProblem(entries: number, hash: string, vms: number): VerifyResult | null {
    const [count, head] = this.#readHead();
    if (entries < count) return { ok: false, index: entries, problem: `${count - entries} entries are missing at the end` };
    if (entries > count) return { ok: false, index: count, problem: `${entries - count} entries stand behind the recorded end` };
    if (hash !== head)
      return { ok: false, index: Math.max(0, entries - 1), problem: 'the recorded head is not the hash of the last entry' };
    const filed = Number(this.#all('SELECT count(*) FROM entry_vm')[0]![0]);
    if (filed !== vms) return { ok: false, index: entries, problem: `${filed} entries are filed under VMs, ${vms} belong there` };
    const integrity = pragmaText(this.#db, 'integrity_check(1)');
    return integrity === 'ok' ? null : { ok: false, index: entries, problem: `the file is damaged: ${integrity}` };
  }

  #readHead(): [number, string] {
    const [row] = this.#all('SELECT entries, hash FROM head WHERE id=1');
    if (typeof row?.[0] !== 'number' || typeof row[1] !== 'string') {
      throw new HeadroomError('LEDGER_BROKEN', 'the ledger has lost its head');
    }
    return [row[0], row[1]];
  }

  /** Appending to a chain with a broken end would hide the break behind good entries. */
  #checkTail(path: string): void {
    const [last] = this.#all('SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1');
    const [count, hash] = last ? [Number(last[0]) + 1, String(last[1])] : [0, GENESIS_HASH];
    if (count === this.#count && hash === this.#head) return;
    throw new HeadroomError(
      'LEDGER_BROKEN',
      `ledger ${path} ends with entry ${count - 1}, its head says ${this.#count - 1}: entries were removed or changed. Keep the file as evidence, restore a copy, or move it away to begin a new chain`,
    );
  }

  #run(sql: string, ...parameters: (string | number | Uint8Array)[]): void {
    this.#statement(sql).run(...parameters);
  }

  #all(sql: string, ...parameters: (string | number)[]): unknown[][] {
    try {
      return this.#statement(sql).all(...parameters) as unknown as unknown[][];
    } catch (error) {
      throw storeError(error, 'ledger');
    }
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function entryOf([index, timeMs, , , previousHash, hash]: EntryRow, canonicalBody: string): LedgerEntry {
  return { index, timeMs, body: JSON.parse(canonicalBody), previousHash, hash };
}

/** Long bodies: CRC-32 (little-endian), then zstd. */
function pack(canonicalBody: string): string | Uint8Array {
  if (canonicalBody.length < COMPRESS_CHARS_MIN) return canonicalBody;
  const packed = zstdCompressSync(Buffer.from(canonicalBody));
  const out = new Uint8Array(4 + packed.length);
  new DataView(out.buffer).setUint32(0, crc32(packed), true);
  out.set(packed, 4);
  return out;
}

function unpack(body: string | Uint8Array): string {
  if (typeof body === 'string') return body;
  if (!(body instanceof Uint8Array) || body.length < 4) throw new HeadroomError('LEDGER_BROKEN', 'an entry has no body');
  const packed = body.subarray(4);
  if (crc32(packed) !== new DataView(body.buffer, body.byteOffset).getUint32(0, true)) {
    throw new HeadroomError('LEDGER_BROKEN', 'the body of an entry was changed: its checksum differs');
  }
  return zstdDecompressSync(packed).toString();
}
