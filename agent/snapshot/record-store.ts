/**
 * Sealed records of one tenant by digest, in packs. Input: `StoreFiles`, the tenant's folder and seal; output: records written
 * once however often they are added, read only as they were written, if need be with the help of their pack's parity. What was added is durable, and found, once `flush` has
 * resolved; a crash before that leaves nothing but an unfinished file, which the next opening removes. Callers take turns at
 * adding, flushing and sweeping; reading needs no turn.
 */
import { isHeadroomError } from '../../shared/errors.ts';
import { CHUNK_BYTES } from './chunk.ts';
import { createPackDraft, type PackDraft, readIndex } from './pack.ts';
import { groupsOf, mended } from './parity.ts';
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
  /** Packs found damaged, and mended as they are read; the next sweep writes them anew. */
  readonly damaged: ReadonlySet<string>;
  has(digest: string): boolean;
  /** Null: not there, or neither as it was written nor to be mended. */
  read(digest: string, bytesMax: number): Promise<Buffer | null>;
  /** The same as it is sealed. */
  readSealed(digest: string, bytesMax: number): Promise<Buffer | null>;
  /** One that was sealed with the same key elsewhere: answers what it holds; null = it is not the one of that name. */
  addSealed(digest: string, sealed: Buffer, bytesMax: number): Promise<Buffer | null>;
  /** Answers the bytes it takes, 0 when it is there already. Writes a pack when enough has been added. */
  add(digest: string, bytes: Buffer): Promise<number>;
  flush(): Promise<void>;
  /** Copies of records that lie in a slow place go to the quickest. Answers how many; the others stay where they are, as these do. */
  gather(digests: readonly string[]): Promise<number>;
  /** Of records that lie in a slow place. */
  farBytes(digests: readonly string[]): number;
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
  readonly damaged = new Set<string>();
  readonly #files: StoreFiles;
  readonly #folder: string;
  readonly #seal: Seal;
  readonly #locations = new Map<string, Location>();
  /** Where else a record lies: one that broke was written anew, one that is far was gathered. */
  readonly #copies = new Map<string, Location[]>();
  /** Bytes of records by pack. */
  readonly #packs = new Map<string, number>();
  #draft: PackDraft = createPackDraft();
  /** Full, and on their way to the disk. */
  readonly #writing = new Map<PackDraft, Promise<unknown>>();

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
    return this.#locations.has(digest) || this.#drafted(digest) !== undefined;
  }

  async read(digest: string, bytesMax: number): Promise<Buffer | null> {
    return (await this.#found(digest, bytesMax))?.bytes ?? null;
  }

  async readSealed(digest: string, bytesMax: number): Promise<Buffer | null> {
    return (await this.#found(digest, bytesMax))?.sealed ?? null;
  }

  async #found(digest: string, bytesMax: number): Promise<{ sealed: Buffer; bytes: Buffer } | null> {
    const open = (sealed: Buffer): { sealed: Buffer; bytes: Buffer } | null => {
      const bytes = this.#seal.open(Buffer.from(digest, 'hex'), sealed, bytesMax);
      return bytes === null ? null : { sealed, bytes };
    };
    const location = this.#locations.get(digest);
    if (location === undefined) {
      const drafted = this.#drafted(digest);
      return drafted === undefined ? null : open(drafted);
    }
    const sealed = await this.#files.read(this.#path(location.pack), location.offset, location.length);
    // A sweep may have moved it meanwhile.
    if (sealed === null && this.#locations.get(digest) !== location) return this.#found(digest, bytesMax);
    const found = sealed === null ? null : open(sealed);
    if (found !== null) return found;
    const repaired = await this.#mended(location);
    const right = repaired === null ? null : open(repaired);
    if (right !== null) {
      this.damaged.add(location.pack);
      return right;
    }
    // Whoever adds it again must not be told that it is here, unless it is: in another pack.
    this.#forget(digest, location);
    return this.#found(digest, bytesMax);
  }

  #note(digest: string, location: Location): void {
    const known = this.#locations.get(digest);
    this.#locations.set(digest, location);
    if (known !== undefined && known.pack !== location.pack) this.#copies.set(digest, [known, ...(this.#copies.get(digest) ?? [])]);
  }

  #forget(digest: string, gone: Location): void {
    const [first, ...others] = [this.#locations.get(digest), ...(this.#copies.get(digest) ?? [])].filter(
      (one): one is Location => one !== undefined && one !== gone,
    );
    if (first === undefined) this.#locations.delete(digest);
    else this.#locations.set(digest, first);
    if (others.length === 0) this.#copies.delete(digest);
    else this.#copies.set(digest, others);
  }

  /** Added, and not on the disk yet. */
  #drafted(digest: string): Buffer | undefined {
    for (const draft of [this.#draft, ...this.#writing.keys()]) {
      const sealed = draft.get(digest);
      if (sealed !== undefined) return sealed;
    }
    return undefined;
  }

  /** A record as its neighbours and their parity say it was; null = they are not there. */
  async #mended({ pack, offset, length }: Location): Promise<Buffer | null> {
    const path = this.#path(pack);
    const total = this.#packs.get(pack) ?? 0;
    const parts: Buffer[] = [];
    for (const group of groupsOf(offset, length, total)) {
      const guarded = await this.#files.read(path, group.offset, group.length);
      const parity = await this.#files.read(path, total + group.parityOffset, group.parityLength);
      if (guarded?.length !== group.length || parity?.length !== group.parityLength) return null;
      const from = Math.max(0, offset - group.offset);
      const to = Math.min(group.length, offset + length - group.offset);
      parts.push(mended(guarded, parity, { from, to }).subarray(from, to));
    }
    return Buffer.concat(parts);
  }

  async add(digest: string, bytes: Buffer): Promise<number> {
    if (this.has(digest)) return 0;
    const sealed = this.#seal.seal(Buffer.from(digest, 'hex'), bytes);
    await this.#put(digest, sealed);
    return sealed.length;
  }

  async addSealed(digest: string, sealed: Buffer, bytesMax: number): Promise<Buffer | null> {
    const bytes = this.#seal.open(Buffer.from(digest, 'hex'), sealed, bytesMax);
    if (bytes !== null && !this.has(digest)) await this.#put(digest, sealed);
    return bytes;
  }

  async #put(digest: string, sealed: Buffer): Promise<void> {
    this.#draft.add(digest, sealed);
    if (this.#draft.bytes >= PACK_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    const draft = this.#draft;
    if (draft.records > 0) {
      this.#draft = createPackDraft();
      this.#writing.set(
        draft,
        this.#write(draft).finally(() => this.#writing.delete(draft)),
      );
    }
    // What others added may be on its way still.
    await Promise.all(this.#writing.values());
  }

  farBytes(digests: readonly string[]): number {
    return digests.reduce((sum, digest) => sum + (this.#isFar(digest) ? (this.#locations.get(digest)?.length ?? 0) : 0), 0);
  }

  async gather(digests: readonly string[]): Promise<number> {
    const draft = createPackDraft();
    for (const digest of digests) {
      const sealed = this.#isFar(digest) ? await this.readSealed(digest, CHUNK_BYTES) : null;
      if (sealed !== null) draft.add(digest, sealed);
    }
    if (draft.records > 0) await this.#write(draft);
    return draft.records;
  }

  #isFar(digest: string): boolean {
    const location = this.#locations.get(digest);
    return location !== undefined && this.#files.near?.has(this.#path(location.pack)) === false;
  }

  async sweep(live: ReadonlySet<string>): Promise<SweepReport> {
    const report: SweepReport = { packsRemoved: 0, packsRewritten: 0, bytesFreed: 0 };
    const before = this.storedBytes;
    // Of several copies one that can be read is kept: which of them is broken no index tells.
    for (const digest of [...this.#copies.keys()]) if (live.has(digest)) await this.#found(digest, CHUNK_BYTES);
    // Where there is little room it is made first.
    const packs = [...this.#wantedByPack(live)].toSorted(([, a], [, b]) => Math.min(1, a.length) - Math.min(1, b.length));
    for (const [pack, wanted] of packs) {
      const bytes = this.#packs.get(pack) ?? 0;
      const wantedBytes = wanted.reduce((sum, { length }) => sum + length, 0);
      const stays = wantedBytes >= bytes * LIVE_SHARE_MIN && !this.damaged.has(pack);
      if (stays && wantedBytes > 0) continue;
      if (wanted.length > 0) {
        const anew = await this.#rewrite(pack, wanted);
        if (anew === null) continue;
        report.packsRewritten++;
        this.damaged.delete(pack);
        // One that was damaged, of which all is needed, has been replaced by itself as it was.
        if (anew === pack) continue;
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

  /** Copies records as they are sealed, each as it was written. Null: one could not be had, or there is no room, so the pack stays. */
  async #rewrite(pack: string, wanted: readonly (Location & { digest: string })[]): Promise<string | null> {
    const draft = createPackDraft();
    for (const { digest, offset, length } of wanted) {
      const location = { pack, offset, length };
      const name = Buffer.from(digest, 'hex');
      const isRight = (sealed: Buffer | null): boolean => sealed !== null && this.#seal.open(name, sealed, CHUNK_BYTES) !== null;
      const asItIs = await this.#files.read(this.#path(pack), offset, length);
      const sealed = isRight(asItIs) ? asItIs : await this.#mended(location);
      if (sealed === null || !isRight(sealed)) return null;
      draft.add(digest, sealed);
    }
    return this.#write(draft).catch((error: unknown) => {
      if (isHeadroomError(error, 'STORE_FULL')) return null;
      throw error;
    });
  }

  /** Answers the pack's name. */
  async #write(draft: PackDraft): Promise<string> {
    const { parts, entries } = draft.finish();
    // The first record's nonce is random: no two packs are called the same, although they may hold the same.
    const [first = Buffer.alloc(0), ...others] = parts;
    const pack = `${this.#seal.digest(first, ...others.slice(-3)).toString('hex')}.pack`;
    await putDurably(this.#files, this.#folder, pack, parts);
    this.#packs.set(pack, draft.bytes);
    for (const { digest, offset, length } of entries) this.#note(digest, { pack, offset, length });
    return pack;
  }

  async #drop(pack: string): Promise<void> {
    this.#packs.delete(pack);
    this.damaged.delete(pack);
    for (const [digest, location] of this.#locations)
      for (const one of [location, ...(this.#copies.get(digest) ?? [])]) if (one.pack === pack) this.#forget(digest, one);
    await this.#files.remove(this.#path(pack));
  }

  async #loadPack(name: string): Promise<void> {
    const path = this.#path(name);
    const bytes = (await this.#files.size(path)) ?? 0;
    const index = await readIndex(async (length) => (length > bytes ? null : this.#files.read(path, bytes - length, length)));
    if (index === null) {
      this.problems.push(`pack ${name} has no readable index: what lies in it alone is lost`);
      return;
    }
    if (!index.whole) this.damaged.add(name);
    let sum = 0;
    for (const { digest, offset, length } of index.entries) {
      this.#note(digest, { pack: name, offset, length });
      sum += length;
    }
    this.#packs.set(name, sum);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}`;
  }
}
