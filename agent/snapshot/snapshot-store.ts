/**
 * Snapshots of one tenant's VMs: written with everything they need before their manifest, read back verified chunk by chunk,
 * removed without touching what another names. Input: `StoreFiles`, the tenant's folder and key; output: as below. A crash at
 * any step leaves the snapshots that were complete, each whole. A manifest has a copy, and records have parity: damage is mended as it
 * is read, and gone after the next collection. Work on the store takes turns; reading does not wait.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { applyPatch, CHUNK_BYTES, chunkCount, chunkLength, isZero, patchOf } from './chunk.ts';
import {
  type ChunkEntry,
  createManifest,
  decodeManifest,
  encodeManifest,
  type Manifest,
  recordsOf,
  recordsOfEntry,
  type SnapshotFacts,
} from './manifest.ts';
import { openRecordStore, type RecordStore, type SweepReport } from './record-store.ts';
import { createSeal, type Seal } from './seal.ts';
import { isUnfinished, putDurably, readWhole, type StoreFiles } from './store-files.ts';

const MANIFEST_NAME = /^([0-9a-f]{64})\.manifest$/;
const COPY_NAME = /^([0-9a-f]{64})\.copy$/;
/** Table of a guest of 300 GiB. */
const MANIFEST_BYTES_MAX = 512 * 1024 * 1024;
/** Chunks between two turns for others: about two milliseconds of work. */
const CHUNKS_PER_TURN = 16;

export interface SnapshotDraft {
  facts: Omit<SnapshotFacts, 'parent' | 'stateBytes'>;
  state: Buffer;
  /** Exactly so many bytes of the stopped guest's memory. */
  readMemory(offset: number, length: number): Promise<Buffer>;
  /** Whose chunks this one's are compared with. */
  parent: OpenSnapshot | null;
  /** Chunks that are as in the parent for certain: they are not read. */
  unchanged?(chunk: number): boolean;
}

export interface SavedSnapshot {
  manifest: Manifest;
  /** Memory that is not zero, and what was new to the store: sealed bytes and chunks or patches. */
  filledBytes: number;
  newBytes: number;
  newRecords: number;
}

export interface OpenSnapshot {
  readonly manifest: Manifest;
  /** One chunk of memory, verified. Throws STORE_CORRUPT when it is not what the manifest says. */
  chunk(index: number): Promise<Buffer>;
  state(): Promise<Buffer>;
  /** Until then a collection leaves its records, also after the snapshot was removed. */
  close(): void;
}

export interface SnapshotStore {
  readonly problems: readonly string[];
  readonly storedBytes: number;
  /** Files found damaged and read nonetheless; a collection writes them anew. */
  readonly damagedFiles: number;
  save(draft: SnapshotDraft): Promise<SavedSnapshot>;
  /** Ids, sorted. */
  list(): Promise<string[]>;
  /** Throws NOT_FOUND, or STORE_CORRUPT when the manifest is not what its id says. */
  open(id: string): Promise<OpenSnapshot>;
  /** What is wrong with it, in words; none when every byte is as it was written. */
  verify(id: string): Promise<string[]>;
  /** Its records stay until the next collection. */
  remove(id: string): Promise<void>;
  /** Collects records that no manifest and no open snapshot names. Does nothing while a manifest cannot be read: it may name any. */
  collect(): Promise<SweepReport>;
}

export async function openSnapshotStore(files: StoreFiles, folder: string, tenantKey: Buffer): Promise<SnapshotStore> {
  const seal = createSeal(tenantKey);
  const manifests = `${folder}/manifests`;
  await files.makeFolder(manifests);
  const names = await files.list(manifests);
  // A copy is written before its manifest, and removed after it.
  const unfinished = (name: string): boolean => {
    const id = COPY_NAME.exec(name)?.[1];
    return isUnfinished(name) || (id !== undefined && !names.includes(`${id}.manifest`));
  };
  for (const name of names) if (unfinished(name)) await files.remove(`${manifests}/${name}`);
  return new Store(files, manifests, seal, await openRecordStore(files, `${folder}/packs`, seal));
}

class Store implements SnapshotStore {
  readonly #files: StoreFiles;
  readonly #folder: string;
  readonly #seal: Seal;
  readonly #records: RecordStore;
  readonly #open = new Set<Manifest>();
  /** Manifests of which one of the two is not as it was written. */
  readonly #damaged = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: StoreFiles, folder: string, seal: Seal, records: RecordStore) {
    this.#files = files;
    this.#folder = folder;
    this.#seal = seal;
    this.#records = records;
  }

  get problems(): readonly string[] {
    return this.#records.problems;
  }

  get storedBytes(): number {
    return this.#records.storedBytes;
  }

  get damagedFiles(): number {
    return this.#damaged.size + this.#records.damaged.size;
  }

  save(draft: SnapshotDraft): Promise<SavedSnapshot> {
    return this.#inTurn(async () => {
      const ingest = createIngest(this.#seal, this.#records);
      const memory: ChunkEntry[] = [];
      const { memoryBytes } = draft.facts;
      for (let index = 0; index < chunkCount(memoryBytes); index++) {
        const before = draft.parent?.manifest.memory[index] ?? null;
        if (before !== null && draft.unchanged?.(index) && ingest.holds(before)) memory.push(before);
        else {
          const bytes = await draft.readMemory(index * CHUNK_BYTES, chunkLength(index, memoryBytes));
          memory.push(await ingest.chunk(bytes, before));
        }
        if (index % CHUNKS_PER_TURN === 0) await turn();
      }
      const state: ChunkEntry[] = [];
      for (let from = 0; from < draft.state.length; from += CHUNK_BYTES) {
        state.push(await ingest.chunk(draft.state.subarray(from, from + CHUNK_BYTES), null));
      }
      await this.#records.flush();
      const facts = { ...draft.facts, stateBytes: draft.state.length, parent: draft.parent?.manifest.id ?? null };
      const manifest = createManifest(this.#seal, facts, memory, state);
      await this.#writeManifest(manifest.id, this.#sealed(manifest));
      const filledBytes = memory.filter(({ kind }) => kind !== 'zero').length * CHUNK_BYTES;
      return { manifest, filledBytes, newBytes: ingest.newBytes(), newRecords: ingest.newRecords() };
    });
  }

  async list(): Promise<string[]> {
    return (await this.#files.list(this.#folder)).flatMap((name) => MANIFEST_NAME.exec(name)?.[1] ?? []);
  }

  async open(id: string): Promise<OpenSnapshot> {
    const manifest = await this.#manifest(id);
    this.#open.add(manifest);
    const { memoryBytes, stateBytes } = manifest.facts;
    return {
      manifest,
      chunk: (index) => this.#chunk(manifest, manifest.memory, index, chunkLength(index, memoryBytes)),
      state: async () => {
        const parts: Buffer[] = [];
        for (const index of manifest.state.keys()) {
          parts.push(await this.#chunk(manifest, manifest.state, index, chunkLength(index, stateBytes)));
        }
        return Buffer.concat(parts);
      },
      close: () => void this.#open.delete(manifest),
    };
  }

  async verify(id: string): Promise<string[]> {
    const problems: string[] = [];
    let snapshot: OpenSnapshot;
    try {
      snapshot = await this.open(id);
    } catch (error) {
      return [errorText(error)];
    }
    const { memory } = snapshot.manifest;
    for (const [index, entry] of memory.entries()) {
      if (entry.kind !== 'zero') await snapshot.chunk(index).catch((error: unknown) => problems.push(errorText(error)));
      if (index % CHUNKS_PER_TURN === 0) await turn();
    }
    await snapshot.state().catch((error: unknown) => problems.push(errorText(error)));
    snapshot.close();
    return problems;
  }

  remove(id: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#files.remove(this.#path(id));
      await this.#files.remove(this.#copyPath(id));
      await this.#files.syncFolder(this.#folder);
      this.#damaged.delete(id);
    });
  }

  collect(): Promise<SweepReport> {
    return this.#inTurn(async () => {
      // A manifest that was removed and not synced could be back after a power cut, without its records.
      await this.#files.syncFolder(this.#folder);
      const live = new Set<string>();
      for (const id of await this.list()) for (const digest of recordsOf(await this.#manifest(id))) live.add(digest);
      for (const id of this.#damaged) await this.#writeManifest(id, this.#sealed(await this.#manifest(id)));
      this.#damaged.clear();
      for (const manifest of this.#open) for (const digest of recordsOf(manifest)) live.add(digest);
      return this.#records.sweep(live);
    });
  }

  async #manifest(id: string): Promise<Manifest> {
    const [sealed, copy] = [await readWhole(this.#files, this.#path(id)), await readWhole(this.#files, this.#copyPath(id))];
    if (sealed === null) throw new HeadroomError('NOT_FOUND', `there is no snapshot ${id}`);
    const open = (bytes: Buffer): Buffer | null => this.#seal.open(Buffer.from(id, 'hex'), bytes, MANIFEST_BYTES_MAX);
    const bytes = open(sealed) ?? (copy === null ? null : open(copy));
    if (bytes === null)
      throw new HeadroomError('STORE_CORRUPT', `the manifest of snapshot ${id} is not what was written, or not this key's`);
    if (copy?.equals(sealed) !== true) this.#damaged.add(id);
    return decodeManifest(this.#seal, id, bytes);
  }

  #sealed(manifest: Manifest): Buffer {
    return this.#seal.seal(Buffer.from(manifest.id, 'hex'), encodeManifest(manifest));
  }

  async #writeManifest(id: string, sealed: Buffer): Promise<void> {
    await putDurably(this.#files, this.#folder, `${id}.copy`, [sealed]);
    await putDurably(this.#files, this.#folder, `${id}.manifest`, [sealed]);
  }

  async #chunk({ id }: Manifest, entries: readonly ChunkEntry[], index: number, length: number): Promise<Buffer> {
    const entry = entries[index];
    if (entry === undefined) throw new HeadroomError('INVARIANT_BROKEN', `snapshot ${id} has no chunk ${index}`);
    if (entry.kind === 'zero') return Buffer.alloc(length);
    const bytes = await this.#contents(entry);
    // A whole record was opened under its digest's name: its seal has said already that it is the one.
    const isIt = entry.kind === 'whole' || (bytes !== null && this.#seal.digest(bytes).toString('hex') === entry.digest);
    if (bytes?.length !== length || !isIt) {
      throw new HeadroomError('STORE_CORRUPT', `chunk ${index} of snapshot ${id} is not what was written`);
    }
    return bytes;
  }

  async #contents(entry: Exclude<ChunkEntry, { kind: 'zero' }>): Promise<Buffer | null> {
    if (entry.kind === 'whole') return this.#records.read(entry.digest, CHUNK_BYTES);
    const [base, patch] = await Promise.all([entry.base, entry.patch].map((digest) => this.#records.read(digest, CHUNK_BYTES)));
    return base && patch ? applyPatch(base, patch) : null;
  }

  #path(id: string): string {
    return `${this.#folder}/${id}.manifest`;
  }

  #copyPath(id: string): string {
    return `${this.#folder}/${id}.copy`;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

/** Chunks into records, with a count of what was new. */
function createIngest(seal: Seal, records: RecordStore) {
  let newBytes = 0;
  let newRecords = 0;
  const keep = async (digest: string, bytes: Buffer): Promise<void> => {
    if (records.has(digest)) return;
    newRecords++;
    newBytes += await records.add(digest, bytes);
  };
  const holds = (entry: ChunkEntry): boolean => recordsOfEntry(entry).every((digest) => records.has(digest));
  return {
    newBytes: () => newBytes,
    newRecords: () => newRecords,
    holds,
    async chunk(bytes: Buffer, before: ChunkEntry | null): Promise<ChunkEntry> {
      if (isZero(bytes)) return { kind: 'zero' };
      const digest = seal.digest(bytes).toString('hex');
      if (records.has(digest)) return { kind: 'whole', digest };
      if (before !== null && before.kind !== 'zero') {
        if (before.digest === digest && holds(before)) return before;
        const base = before.kind === 'whole' ? before.digest : before.base;
        const baseBytes = await records.read(base, CHUNK_BYTES);
        const patch = baseBytes === null ? null : patchOf(baseBytes, bytes);
        if (patch !== null) {
          const patchDigest = seal.digest(patch).toString('hex');
          await keep(patchDigest, patch);
          return { kind: 'patched', digest, base, patch: patchDigest };
        }
      }
      await keep(digest, bytes);
      return { kind: 'whole', digest };
    },
  };
}

/** A turn for whatever else the process serves. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
