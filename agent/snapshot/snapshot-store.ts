/**
 * Snapshots of one tenant's VMs: written with everything they need before their manifest, read back verified chunk by chunk,
 * removed without touching what another names. Input: `StoreFiles`, the tenant's folder and key; output: as below. A crash at
 * any step leaves the snapshots that were complete, each whole. A manifest has a copy, and records have parity: damage is mended as it
 * is read, and gone after the next collection. Work on the store takes turns; reading does not wait.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { applyPatch, CHUNK_BYTES, chunkCount, chunkLength, patchOf } from './chunk.ts';
import { createIngest, type Ingest } from './chunk-ingest.ts';
import { type ChunkEntry, createManifest, type Manifest, recordsOf, recordsOfEntry, type SnapshotFacts } from './manifest.ts';
import { type ManifestFiles, openManifestFiles } from './manifest-files.ts';
import { openRecordStore, type RecordStore, type SweepReport } from './record-store.ts';
import { createSeal, type Seal } from './seal.ts';
import type { StoreFiles } from './store-files.ts';

/** Records asked of another host at once, beside those that a guest waits for. */
const ARRIVING_AT_ONCE = 4;
/** Records that go to a quicker place in one turn: some MiB. */
const GATHERED_AT_ONCE = 128;
/** Parity and index beside the records, of which a pack with few has most. */
const PACK_OVERHEAD = 1.5;
/** Chunks between two turns for others: about two milliseconds of work. */
const CHUNKS_PER_TURN = 16;
/** Of a snapshot that nobody waits for, between two of the store's turns: some mebibytes. */
const CHUNKS_PER_SLICE = 64;

export interface SnapshotDraft {
  facts: Omit<SnapshotFacts, 'parent' | 'stateBytes'>;
  state: Buffer;
  /** Exactly so many bytes of the stopped guest's memory. */
  readMemory(offset: number, length: number): Promise<Buffer>;
  /** Whose chunks this one's are compared with. */
  parent: OpenSnapshot | null;
  /** Chunks that are as in the parent for certain: they are not read. */
  unchanged?(chunk: number): boolean;
  /** Nobody stands still for it: others have their turns between its parts. */
  inSlices?: boolean;
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
  /** What this chunk consists of lies in this store: nobody else is asked for it. */
  here(index: number): boolean;
  /** Names of records that it was asked for, and that could be had neither here nor where they come from. */
  lacking(): string[];
  /** Until then a collection leaves its records, also after the snapshot was removed. */
  close(): void;
}

/** A snapshot of another host, and its records as they are sealed there. */
export interface SnapshotSource {
  manifest(id: string): Promise<Buffer>;
  record(digest: string): Promise<Buffer>;
}

/** Records come from its source as they are needed, and stay here. */
export interface ArrivingSnapshot extends OpenSnapshot {
  /** Fetches what is not here yet; once this resolves the snapshot is one of this store, and its source is not needed any more. */
  complete(cancelled?: () => boolean, onProgress?: (doneBytes: number, totalBytes: number) => unknown): Promise<void>;
}

/** For one host to hand to another: what this snapshot names, and nothing else. */
export interface LentSnapshot {
  manifest(): Buffer;
  names(digest: string): boolean;
  /** Null: it does not name it, or it is not as it was written and cannot be mended. */
  record(digest: string): Promise<Buffer | null>;
  close(): void;
}

export interface SnapshotStore {
  readonly problems: readonly string[];
  readonly storedBytes: number;
  /** Files found damaged and read nonetheless; a collection writes them anew. */
  readonly damagedFiles: number;
  save(draft: SnapshotDraft): Promise<SavedSnapshot>;
  /** A record of this name lies here. */
  has(digest: string): boolean;
  /** A record of this name as it is sealed; null = it is not here, or not as it was written. */
  sealed(digest: string): Promise<Buffer | null>;
  /** One that lay here, or was to, and was had elsewhere. False: it is not the one of that name. */
  supply(digest: string, sealed: Buffer): Promise<boolean>;
  /**
   * A record of a snapshot that is lost, made anew from what it was made of, if that is as it was: a chunk, or a patch whose base is here.
   * Answers whether it is here now.
   */
  reread(id: string, digest: string, read: SnapshotDraft['readMemory']): Promise<boolean>;
  /** Ids, sorted. */
  list(): Promise<string[]>;
  /** Throws NOT_FOUND, or STORE_CORRUPT when the manifest is not what its id says. */
  open(id: string): Promise<OpenSnapshot>;
  /** One of another host's, sealed with the same key. What this store holds of it already is not fetched. Throws as `open` does. */
  adopt(id: string, source: SnapshotSource): Promise<ArrivingSnapshot>;
  lend(id: string): Promise<LentSnapshot>;
  /** What is wrong with it, in words; none when every byte is as it was written. */
  verify(id: string): Promise<string[]>;
  /** Its records stay until the next collection. */
  remove(id: string): Promise<void>;
  /** What it will need first goes where it is read quickest, if there is such a place. Answers how many records went. */
  warm(id: string, chunks: readonly number[]): Promise<number>;
  /** Collects records that no manifest and no open snapshot names. Does nothing while a manifest cannot be read: it may name any. */
  collect(): Promise<SweepReport>;
}

export async function openSnapshotStore(files: StoreFiles, folder: string, tenantKey: Buffer): Promise<SnapshotStore> {
  const seal = createSeal(tenantKey);
  const manifests = await openManifestFiles(files, `${folder}/manifests`, seal);
  return new Store(files, manifests, seal, await openRecordStore(files, `${folder}/packs`, seal));
}

/** What a chunk of zeros holds, for all of them: nobody writes to what a snapshot is read into. */
const NOTHING = Buffer.alloc(CHUNK_BYTES);

interface ChunkAsked {
  entries: readonly ChunkEntry[];
  index: number;
  length: number;
  from: Origins;
}

/** Where the records of an open snapshot come from that are not here, and those that could not be had. */
interface Origins {
  source: SnapshotSource | null;
  failed: Set<string>;
}

class Store implements SnapshotStore {
  readonly #files: StoreFiles;
  readonly #manifests: ManifestFiles;
  readonly #seal: Seal;
  readonly #records: RecordStore;
  readonly #open = new Set<Manifest>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: StoreFiles, manifests: ManifestFiles, seal: Seal, records: RecordStore) {
    this.#files = files;
    this.#manifests = manifests;
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
    return this.#manifests.damaged + this.#records.damaged.size;
  }

  async save(draft: SnapshotDraft): Promise<SavedSnapshot> {
    const ingest = createIngest(this.#seal, this.#records);
    const memory: ChunkEntry[] = [];
    const facts = { ...draft.facts, stateBytes: draft.state.length, parent: draft.parent?.manifest.id ?? null };
    const chunks = chunkCount(facts.memoryBytes);
    if (!draft.inSlices)
      return this.#inTurn(async () => this.#finished(draft, facts, ingest, await this.#ingested(draft, ingest, memory, chunks)));
    // A collection between two slices leaves what the earlier ones added.
    const soFar: Manifest = { id: '', facts, memory, state: [] };
    this.#open.add(soFar);
    try {
      while (memory.length < chunks) {
        const to = Math.min(chunks, memory.length + CHUNKS_PER_SLICE);
        await this.#inTurn(() => this.#ingested(draft, ingest, memory, to));
      }
      return await this.#inTurn(() => this.#finished(draft, facts, ingest, memory));
    } finally {
      this.#open.delete(soFar);
    }
  }

  /** The chunks up to this one, after those that are there. */
  async #ingested(draft: SnapshotDraft, ingest: Ingest, memory: ChunkEntry[], to: number): Promise<ChunkEntry[]> {
    for (let index = memory.length; index < to; index++) {
      const before = draft.parent?.manifest.memory[index] ?? null;
      if (before !== null && draft.unchanged?.(index) && ingest.holds(before)) memory.push(before);
      else {
        const bytes = await draft.readMemory(index * CHUNK_BYTES, chunkLength(index, draft.facts.memoryBytes));
        memory.push(await ingest.chunk(bytes, before));
      }
      if (index % CHUNKS_PER_TURN === 0) await turn();
    }
    return memory;
  }

  async #finished(draft: SnapshotDraft, facts: SnapshotFacts, ingest: Ingest, memory: ChunkEntry[]): Promise<SavedSnapshot> {
    const state: ChunkEntry[] = [];
    for (let from = 0; from < draft.state.length; from += CHUNK_BYTES) {
      state.push(await ingest.chunk(draft.state.subarray(from, from + CHUNK_BYTES), null));
    }
    await this.#records.flush();
    const manifest = createManifest(this.#seal, facts, memory, state);
    await this.#manifests.write(manifest);
    const filledBytes = memory.filter(({ kind }) => kind !== 'zero').length * CHUNK_BYTES;
    return { manifest, filledBytes, newBytes: ingest.newBytes(), newRecords: ingest.newRecords() };
  }

  has(digest: string): boolean {
    return this.#records.has(digest);
  }

  sealed(digest: string): Promise<Buffer | null> {
    return this.#records.readSealed(digest, CHUNK_BYTES);
  }

  supply(digest: string, sealed: Buffer): Promise<boolean> {
    return this.#inTurn(async () => {
      const isIt = (await this.#records.addSealed(digest, sealed, CHUNK_BYTES)) !== null;
      await this.#records.flush();
      return isIt;
    });
  }

  async reread(id: string, digest: string, read: SnapshotDraft['readMemory']): Promise<boolean> {
    const { memory, facts } = await this.#manifests.read(id);
    const index = memory.findIndex((entry) => entry.kind !== 'zero' && digest === (entry.kind === 'whole' ? entry.digest : entry.patch));
    const entry = memory[index];
    if (entry === undefined || entry.kind === 'zero') return false;
    const bytes = await read(index * CHUNK_BYTES, chunkLength(index, facts.memoryBytes));
    const base = entry.kind === 'patched' ? await this.#records.read(entry.base, CHUNK_BYTES) : null;
    const anew = entry.kind === 'whole' ? bytes : base === null ? null : patchOf(base, bytes);
    if (anew === null || this.#seal.digest(anew).toString('hex') !== digest) return false;
    await this.#inTurn(async () => {
      await this.#records.add(digest, anew);
      await this.#records.flush();
    });
    return true;
  }

  list(): Promise<string[]> {
    return this.#manifests.list();
  }

  async open(id: string): Promise<OpenSnapshot> {
    return this.#opened(await this.#manifests.read(id), { source: null, failed: new Set() });
  }

  async adopt(id: string, source: SnapshotSource): Promise<ArrivingSnapshot> {
    if ((await this.list()).includes(id)) return { ...(await this.open(id)), complete: async () => undefined };
    const manifest = await this.#inTurn(() => this.#manifests.adopt(id, (asked) => source.manifest(asked)));
    const from = { source, failed: new Set<string>() };
    const snapshot = this.#opened(manifest, from);
    return { ...snapshot, complete: (cancelled, onProgress) => this.#complete(manifest, from, cancelled, onProgress) };
  }

  async #complete(
    manifest: Manifest,
    from: Origins,
    cancelled = () => false,
    onProgress: (doneBytes: number, totalBytes: number) => unknown = () => undefined,
  ): Promise<void> {
    const missing = [...new Set(recordsOf(manifest))].filter((digest) => !this.#records.has(digest));
    const total = missing.length * CHUNK_BYTES;
    const rest = missing.values();
    let done = 0;
    const fetch = async (): Promise<void> => {
      for (const digest of rest) {
        if (cancelled()) throw new HeadroomError('CANCELLED', `snapshot ${manifest.id} is not needed whole any more`);
        if (!this.#records.has(digest) && (await this.#contents(digest, from)) === null) {
          throw new HeadroomError('STORE_CORRUPT', `record ${digest} of snapshot ${manifest.id} is not what was written`);
        }
        done += CHUNK_BYTES;
        await onProgress(done, total);
      }
    };
    await Promise.all(Array.from({ length: ARRIVING_AT_ONCE }, fetch));
    await this.#inTurn(async () => {
      await this.#records.flush();
      await this.#manifests.arrived(manifest);
    });
  }

  async lend(id: string): Promise<LentSnapshot> {
    const { manifest, close } = await this.open(id);
    const named = new Set(recordsOf(manifest));
    return {
      manifest: () => this.#manifests.sealed(manifest),
      names: (digest) => named.has(digest),
      record: async (digest) => (named.has(digest) ? this.#records.readSealed(digest, CHUNK_BYTES) : null),
      close,
    };
  }

  #opened(manifest: Manifest, from: Origins): OpenSnapshot {
    this.#open.add(manifest);
    const { memoryBytes, stateBytes } = manifest.facts;
    const chunk = (entries: Manifest['memory'], index: number, bytes: number): Promise<Buffer> =>
      this.#chunk(manifest.id, { entries, index, length: chunkLength(index, bytes), from });
    return {
      manifest,
      chunk: (index) => chunk(manifest.memory, index, memoryBytes),
      state: async () => {
        const parts: Buffer[] = [];
        for (const index of manifest.state.keys()) parts.push(await chunk(manifest.state, index, stateBytes));
        return Buffer.concat(parts);
      },
      here: (index) => recordsOfEntry(manifest.memory[index] ?? { kind: 'zero' }).every((digest) => this.#records.has(digest)),
      lacking: () => [...from.failed].filter((digest) => !this.#records.has(digest)),
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
    return this.#inTurn(() => this.#manifests.remove(id));
  }

  async warm(id: string, chunks: readonly number[]): Promise<number> {
    const { near } = this.#files;
    if (near === undefined) return 0;
    const { memory, state } = await this.#manifests.read(id);
    const entries = [...state, ...chunks.flatMap((chunk) => memory[chunk] ?? [])];
    const digests = [...new Set(entries.flatMap((entry) => recordsOfEntry(entry)))];
    if (!(await near.makeRoom(this.#records.farBytes(digests) * PACK_OVERHEAD))) return 0;
    let gathered = 0;
    // A suspension waits for its turn with its guest standing still.
    for (let from = 0; from < digests.length; from += GATHERED_AT_ONCE) {
      gathered += await this.#inTurn(() => this.#records.gather(digests.slice(from, from + GATHERED_AT_ONCE)));
    }
    return gathered;
  }

  collect(): Promise<SweepReport> {
    return this.#inTurn(async () => {
      // Without its records nothing that was removed may come back.
      await this.#manifests.synced();
      const live = new Set<string>();
      for (const id of await this.list()) for (const digest of recordsOf(await this.#manifests.read(id))) live.add(digest);
      await this.#manifests.mend();
      for (const id of await this.#manifests.arriving())
        for (const digest of recordsOf(await this.#manifests.readArriving(id))) live.add(digest);
      for (const manifest of this.#open) for (const digest of recordsOf(manifest)) live.add(digest);
      return this.#records.sweep(live);
    });
  }

  async #chunk(id: string, { entries, index, length, from }: ChunkAsked): Promise<Buffer> {
    const entry = entries[index];
    if (entry === undefined) throw new HeadroomError('INVARIANT_BROKEN', `snapshot ${id} has no chunk ${index}`);
    if (entry.kind === 'zero') return NOTHING.subarray(0, length);
    const bytes = entry.kind === 'whole' ? await this.#contents(entry.digest, from) : await this.#patched(entry, from);
    // A whole record was opened under its digest's name: its seal has said already that it is the one.
    const isIt = entry.kind === 'whole' || (bytes !== null && this.#seal.digest(bytes).toString('hex') === entry.digest);
    if (bytes?.length !== length || !isIt) {
      throw new HeadroomError('STORE_CORRUPT', `chunk ${index} of snapshot ${id} is not what was written`);
    }
    return bytes;
  }

  async #patched({ base, patch }: Extract<ChunkEntry, { kind: 'patched' }>, from: Origins): Promise<Buffer | null> {
    const [below, above] = await Promise.all([base, patch].map((digest) => this.#contents(digest, from)));
    return below && above ? applyPatch(below, above) : null;
  }

  /** Of one record, from here or else from where it comes from. */
  async #contents(digest: string, { source, failed }: Origins): Promise<Buffer | null> {
    const held = await this.#records.read(digest, CHUNK_BYTES);
    if (held !== null) return held;
    try {
      const come = source === null ? null : await this.#records.addSealed(digest, await source.record(digest), CHUNK_BYTES);
      if (come === null) failed.add(digest);
      return come;
    } catch (error) {
      failed.add(digest);
      throw error;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

/** A turn for whatever else the process serves. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
