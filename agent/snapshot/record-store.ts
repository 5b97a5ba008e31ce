/**
 * Sealed records of one tenant by digest, in packs. Input: `StoreFiles`, the tenant's folder and seal; output: records written
 * once however often they are added, read only as they were written. What was added is durable, and found, once `flush` has
 * resolved; a crash before that leaves nothing but an unfinished file, which the next opening removes. Callers take turns at
 * adding, flushing and sweeping; reading needs no turn.
 */
import { createPackDraft, indexBytes, type PackDraft, readIndex, TRAILER_BYTES } from './pack.ts';
import type { Seal } from './seal.ts';
import { isUnfinished, putDurably, type StoreFiles } from './store-files.ts';

/** Syncs are few and what is held in memory is little; a sweep that rewrites one is soon done. */
const PACK_BYTES = 32 * 1024 * 1024;
/** A pack of which less is needed is written anew without the rest. */
const LIVE_SHARE_MIN = 0.5;
const PACK_NAME = /^[0-9a-f]{64}\.pack$/;

interface Location {
  pack: string;
  offset: number;
  length: number;
}

export interface SweepReport {
  packsRemoved: number;
  packsRewritten: number;
  bytesFreed: number;
}

export interface RecordStore {
  /** Packs that could not be read when the store was opened, in words. */
  readonly problems: readonly string[];
  readonly storedBytes: number;
  has(digest: string): boolean;
  /** Null: not there, or not as it was written. */
  read(digest: string, bytesMax: number): Promise<Buffer | null>;
  /** Answers the bytes it takes, 0 when it is there already. Writes a pack when enough has been added. */
  add(digest: string, bytes: Buffer): Promise<number>;
  flush(): Promise<void>;
  /** Removes what is not live. A record that is live is readable at every moment, also after a crash at any step. */
  sweep(live: ReadonlySet<string>): Promise<SweepReport>;
}

export async function openRecordStore(files: StoreFiles, folder: string, seal: Seal): Promise<RecordStore> {
  const store = new PackedRecords(files, folder, seal);
  await store.load();
  return store;
}

class PackedRecords implements RecordStore {
  readonly problems: string[] = [];
  readonly #files: StoreFiles;
  readonly #folder: string;
  readonly #seal: Seal;
  readonly #locations = new Map<string, Location>();
  /** Bytes of records by pack. */
  readonly #packs = new Map<string, number>();
  #draft: PackDraft = createPackDraft();

  constructor(files: StoreFiles, folder: string, seal: Seal) {
    this.#files = files;
    this.#folder = folder;
    this.#seal = seal;
  }

  get storedBytes(): number {
    return [...this.#packs.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  async load(): Promise<void> {
    await this.#files.makeFolder(this.#folder);
    for (const name of await this.#files.list(this.#folder)) {
      if (isUnfinished(name)) await this.#files.remove(this.#path(name));
      else if (PACK_NAME.test(name)) await this.#loadPack(name);
    }
  }

  has(digest: string): boolean {
    return this.#locations.has(digest) || this.#draft.has(digest);
  }

  async read(digest: string, bytesMax: number): Promise<Buffer | null> {
    const location = this.#locations.get(digest);
    if (location === undefined) return null;
    const sealed = await this.#files.read(this.#path(location.pack), location.offset, location.length);
    // A sweep may have moved it meanwhile.
    if (sealed === null && this.#locations.get(digest) !== location) return this.read(digest, bytesMax);
    const bytes = sealed === null ? null : this.#seal.open(Buffer.from(digest, 'hex'), sealed, bytesMax);
    // Whoever adds it again must not be told that it is here.
    if (bytes === null) this.#locations.delete(digest);
    return bytes;
  }

  async add(digest: string, bytes: Buffer): Promise<number> {
    if (this.has(digest)) return 0;
    const sealed = this.#seal.seal(Buffer.from(digest, 'hex'), bytes);
    this.#draft.add(digest, sealed);
    if (this.#draft.bytes >= PACK_BYTES) await this.flush();
    return sealed.length;
  }

  async flush(): Promise<void> {
    const draft = this.#draft;
    this.#draft = createPackDraft();
    if (draft.records > 0) await this.#write(draft);
  }

  async sweep(live: ReadonlySet<string>): Promise<SweepReport> {
    const report: SweepReport = { packsRemoved: 0, packsRewritten: 0, bytesFreed: 0 };
    const before = this.storedBytes;
    for (const [pack, wanted] of this.#wantedByPack(live)) {
      const bytes = this.#packs.get(pack) ?? 0;
      const wantedBytes = wanted.reduce((sum, { length }) => sum + length, 0);
      if (wantedBytes >= bytes * LIVE_SHARE_MIN && wantedBytes > 0) continue;
      if (wanted.length > 0) {
        if (!(await this.#rewrite(pack, wanted))) continue;
        report.packsRewritten++;
      } else report.packsRemoved++;
      await this.#drop(pack);
    }
    await this.#files.syncFolder(this.#folder);
    report.bytesFreed = before - this.storedBytes;
    return report;
  }

  /** Every pack with the live records that are read from it. */
  #wantedByPack(live: ReadonlySet<string>): Map<string, (Location & { digest: string })[]> {
    const wanted = new Map([...this.#packs.keys()].map((pack) => [pack, [] as (Location & { digest: string })[]]));
    for (const [digest, location] of this.#locations) if (live.has(digest)) wanted.get(location.pack)?.push({ digest, ...location });
    return wanted;
  }

  /** Copies records as they are sealed. False: one could not be read, so the pack stays as evidence. */
  async #rewrite(pack: string, wanted: readonly (Location & { digest: string })[]): Promise<boolean> {
    const draft = createPackDraft();
    for (const { digest, offset, length } of wanted) {
      const sealed = await this.#files.read(this.#path(pack), offset, length);
      if (sealed?.length !== length) return false;
      draft.add(digest, sealed);
    }
    await this.#write(draft);
    return true;
  }

  async #write(draft: PackDraft): Promise<void> {
    const { parts, entries } = draft.finish();
    // The first record's nonce is random: no two packs are called the same, although they may hold the same.
    const [first = Buffer.alloc(0), ...others] = parts;
    const pack = `${this.#seal.digest(first, ...others.slice(-3)).toString('hex')}.pack`;
    await putDurably(this.#files, this.#folder, pack, parts);
    this.#packs.set(pack, draft.bytes);
    for (const { digest, offset, length } of entries) this.#locations.set(digest, { pack, offset, length });
  }

  async #drop(pack: string): Promise<void> {
    this.#packs.delete(pack);
    for (const [digest, location] of this.#locations) if (location.pack === pack) this.#locations.delete(digest);
    await this.#files.remove(this.#path(pack));
  }

  async #loadPack(name: string): Promise<void> {
    const entries = await this.#readPackIndex(name);
    if (entries === null) {
      this.problems.push(`pack ${name} has no readable index: what lies in it alone is lost`);
      return;
    }
    this.#packs.set(
      name,
      entries.reduce((sum, { length }) => sum + length, 0),
    );
    for (const { digest, offset, length } of entries) this.#locations.set(digest, { pack: name, offset, length });
  }

  async #readPackIndex(name: string): Promise<ReturnType<typeof readIndex>> {
    const path = this.#path(name);
    const bytes = (await this.#files.size(path)) ?? 0;
    if (bytes < TRAILER_BYTES) return null;
    const trailer = await this.#files.read(path, bytes - TRAILER_BYTES, TRAILER_BYTES);
    const length = trailer === null ? null : indexBytes(trailer);
    if (trailer === null || length === null || length > bytes - TRAILER_BYTES) return null;
    const index = await this.#files.read(path, bytes - TRAILER_BYTES - length, length);
    return index === null ? null : readIndex(index, trailer);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}
