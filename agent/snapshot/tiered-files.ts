/**
 * The snapshot store's files over several places: packs lie in tiers, fastest first, each within its capacity; everything else (manifests,
 * few and small) lies in the home folder. Input: the home, tiers, a clock; output: `StoreFiles`, what each tier holds, and a balance to be
 * struck from time to time. A pack is moved by writing it to its new place, synced, before the old one is forgotten; where both are found
 * after a power cut, one is given up. A tier that is full or broken passes what comes on to the next; when all are, STORE_FULL is thrown
 * and nothing is lost.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { RamCache } from './ram-cache.ts';
import { isUnfinished, putDurably, readWhole, type StoreFiles } from './store-files.ts';
import type { Tier } from './tier.ts';
import { movesFor } from './tier-balance.ts';

export interface TieredFilesOptions {
  home: StoreFiles;
  /** Fastest first. */
  tiers: readonly Tier[];
  /** Null: none. */
  ram: RamCache | null;
  clock: Pick<Clock, 'monotonicMs'>;
  /** Folders of the store in which there may be packs. */
  tenants: readonly string[];
}

interface Pack {
  tier: Tier;
  bytes: number;
  usedAtMs: number;
  heat: number;
  heatAtMs: number;
  /** Of what was read of it into memory: another one of the same name is another. */
  version: number;
}

interface Writing {
  tier: Tier;
  bytes: number;
  beganMs: number;
}

const PACK = /^([^/]+\/packs)\/((?:\.new-)?[0-9a-f]{64}\.pack)$/;
const PACK_FOLDER = /^[^/]+\/packs$/;
/** A record at the most; more is an index, which is read once. */
const CACHED_BYTES_MAX = 80 * 1024;
const HEAT_HALF_MS = 24 * 3_600_000;
const MIB = 1024 * 1024;

export class TieredFiles implements StoreFiles {
  readonly #home: StoreFiles;
  readonly tiers: readonly Tier[];
  readonly ram: RamCache | null;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #packs = new Map<string, Pack>();
  readonly #writing = new Map<string, Writing>();
  /** Moves and removals of a pack follow one another. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Copies whose successors have their names, and are not synced yet. */
  #outdated: { tier: Tier; path: string; bytes: number }[] = [];
  #versions = 0;

  private constructor({ home, tiers, ram, clock }: TieredFilesOptions) {
    this.#home = home;
    this.tiers = tiers;
    this.ram = ram;
    this.#clock = clock;
  }

  static async open(options: TieredFilesOptions): Promise<TieredFiles> {
    const made = new TieredFiles(options);
    for (const tenant of options.tenants) await made.#find(`${tenant}/packs`);
    return made;
  }

  /** Packs that lie there. */
  packsIn(tier: Tier): number {
    return [...this.#packs.values()].filter((pack) => pack.tier === tier).length;
  }

  readonly near = {
    has: (path: string): boolean => this.#packs.get(path)?.tier === this.tiers.find(({ leaving }) => !leaving),
    makeRoom: (bytes: number): Promise<boolean> => this.#makeRoom(bytes),
  };

  /** So much fits into the fastest tier, after what was not used for long has gone down. */
  async #makeRoom(bytes: number): Promise<boolean> {
    const nearest = this.tiers.find(({ leaving }) => !leaving);
    if (nearest === undefined || bytes > nearest.capacityBytes) return false;
    if (nearest.freeBytes < bytes) await this.balance(bytes);
    return nearest.freeBytes >= bytes;
  }

  /** Moves what lies in the wrong place. `aheadBytes` are about to come to the fastest. Answers how many were moved. */
  async balance(aheadBytes = 0): Promise<number> {
    const nearest = this.tiers.findIndex(({ leaving }) => !leaving);
    const rooms = this.tiers.map(({ capacityBytes, takenBytes, leaving }, index) => ({
      ...{ capacityBytes, usedBytes: takenBytes + (index === nearest ? aheadBytes : 0), leaving },
    }));
    const packs = [...this.#packs].map(([path, pack]) => ({
      ...{ path, tier: this.tiers.indexOf(pack.tier), bytes: pack.bytes, usedAtMs: pack.usedAtMs, heat: this.#heatOf(pack) },
    }));
    let moved = 0;
    for (const { path, to } of movesFor(rooms, packs)) if (await this.#inTurn(path, () => this.#move(path, this.tiers[to]!))) moved++;
    return moved;
  }

  async list(folder: string): Promise<string[]> {
    if (!PACK_FOLDER.test(folder)) return this.#home.list(folder);
    const names = new Set<string>();
    // The slowest first: of a record that lies in two packs the one that is read last counts.
    for (const tier of this.tiers.toReversed()) for (const name of await tier.files.list(folder)) names.add(name);
    return [...names];
  }

  async size(path: string): Promise<number | null> {
    return PACK.test(path) ? (this.#packs.get(path)?.bytes ?? null) : this.#home.size(path);
  }

  async read(path: string, offset: number, length: number): Promise<Buffer | null> {
    if (!PACK.test(path)) return this.#home.read(path, offset, length);
    const pack = this.#packs.get(path);
    if (pack === undefined) return null;
    const cached = this.ram !== null && length <= CACHED_BYTES_MAX;
    const key = `${pack.version} ${offset} ${length}`;
    const known = cached ? this.ram?.get(key) : undefined;
    this.#noteUse(pack, length);
    if (known !== undefined) return known;
    const beganMs = this.#clock.monotonicMs();
    const { tier } = pack;
    const bytes = await tier.files.read(path, offset, length).catch((error: unknown) => {
      // It was moved meanwhile, and its old place closed.
      if (this.#packs.get(path)?.tier !== tier) return null;
      tier.problem = `read: ${errorText(error)}`;
      throw error;
    });
    if (bytes === null) {
      if (this.#packs.get(path) !== pack || pack.tier !== tier) return this.read(path, offset, length);
      // Whoever reads takes what is not there for lost; it may be back with its disk.
      tier.problem = `${path} is not there`;
      throw new HeadroomError('STORE_UNAVAILABLE', `${path} is not in ${tier.name} any more: is its disk mounted?`);
    }
    tier.noteRead(bytes.length, this.#clock.monotonicMs() - beganMs);
    if (cached && bytes.length === length) this.ram?.put(key, bytes);
    return bytes;
  }

  async makeFolder(folder: string): Promise<void> {
    if (!PACK_FOLDER.test(folder)) return this.#home.makeFolder(folder);
    const places = this.tiers.filter(({ leaving }) => !leaving);
    const made = await Promise.allSettled(places.map(({ files }) => files.makeFolder(folder)));
    for (const [index, one] of made.entries()) if (one.status === 'rejected') places[index]!.problem = `folder: ${errorText(one.reason)}`;
    const [first] = made;
    // One that is broken passes on what is written to it.
    if (first?.status === 'rejected' && made.every(({ status }) => status === 'rejected')) throw first.reason;
  }

  async write(path: string, parts: readonly Uint8Array[]): Promise<void> {
    if (!PACK.test(path)) return this.#home.write(path, parts);
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    for (const tier of this.tiers) {
      if (!tier.reserve(bytes)) continue;
      const beganMs = this.#clock.monotonicMs();
      try {
        await tier.files.write(path, parts);
        tier.problem = null;
        this.#writing.set(path, { tier, bytes, beganMs });
        return;
      } catch (error) {
        tier.settle(bytes, false);
        tier.problem = `write: ${errorText(error)}`;
        await tier.files.remove(path).catch(() => undefined);
      }
    }
    throw new HeadroomError('STORE_FULL', `no place for ${mib(bytes)} of a snapshot: ${this.tiers.map(roomOf).join(', ')}`);
  }

  async sync(path: string): Promise<void> {
    const writing = this.#writing.get(path);
    if (writing === undefined) return this.#home.sync(path);
    const { tier, bytes, beganMs } = writing;
    try {
      await tier.files.sync(path);
      tier.noteWrite(bytes, this.#clock.monotonicMs() - beganMs);
    } catch (error) {
      this.#writing.delete(path);
      tier.settle(bytes, false);
      tier.problem = `sync: ${errorText(error)}`;
      await tier.files.remove(path).catch(() => undefined);
      throw error;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const writing = this.#writing.get(from);
    if (writing === undefined) return this.#home.rename(from, to);
    await this.#inTurn(to, async () => {
      const { tier, bytes } = writing;
      await tier.files.rename(from, to);
      tier.unsynced.add(to.slice(0, to.lastIndexOf('/')));
      this.#writing.delete(from);
      tier.settle(bytes, true);
      const before = this.#packs.get(to);
      if (before?.tier === tier) tier.usedBytes -= before.bytes;
      else if (before !== undefined) this.#outdated.push({ tier: before.tier, path: to, bytes: before.bytes });
      this.#packs.set(to, this.#newPack(tier, bytes));
    });
  }

  async syncFolder(folder: string): Promise<void> {
    if (!PACK_FOLDER.test(folder)) return this.#home.syncFolder(folder);
    for (const { files, unsynced } of this.tiers) {
      if (!unsynced.has(folder)) continue;
      await files.syncFolder(folder);
      unsynced.delete(folder);
    }
    const outdated = this.#outdated.filter(({ path }) => path.startsWith(`${folder}/`));
    this.#outdated = this.#outdated.filter((one) => !outdated.includes(one));
    for (const { tier, path, bytes } of outdated) {
      await this.#drop(tier, path, bytes);
    }
  }

  async #drop(tier: Tier, path: string, bytes: number): Promise<void> {
    await tier.files.remove(path);
    tier.unsynced.add(path.slice(0, path.lastIndexOf('/')));
    tier.usedBytes -= bytes;
  }

  async remove(path: string): Promise<void> {
    if (!PACK.test(path)) return this.#home.remove(path);
    await this.#inTurn(path, async () => {
      const pack = this.#packs.get(path);
      this.#packs.delete(path);
      if (pack === undefined) {
        // Unfinished ones of an agent before us, wherever they are.
        for (const { files } of this.tiers) await files.remove(path);
        return;
      }
      await this.#drop(pack.tier, path, pack.bytes);
    });
  }

  /** What lies in a folder of packs in each tier. */
  async #find(folder: string): Promise<void> {
    for (const tier of this.tiers) {
      for (const name of await tier.files.list(folder)) {
        const path = `${folder}/${name}`;
        if (!PACK.test(path)) continue;
        // A move of before ended between its two ends: both are whole, and the nearer stays.
        if (isUnfinished(name) || this.#packs.has(path)) await tier.files.remove(path);
        else {
          const bytes = (await tier.files.size(path)) ?? 0;
          tier.usedBytes += bytes;
          this.#packs.set(path, this.#newPack(tier, bytes));
        }
      }
    }
  }

  async #move(path: string, to: Tier): Promise<boolean> {
    const pack = this.#packs.get(path);
    const [, folder = '', name = ''] = PACK.exec(path) ?? [];
    if (pack === undefined || pack.tier === to || !to.reserve(pack.bytes)) return false;
    const { tier: from, bytes } = pack;
    let kept = false;
    try {
      const contents = await readWhole(from.files, path);
      if (contents?.length !== bytes) throw new HeadroomError('STORE_CORRUPT', `${path} has ${contents?.length} bytes, not ${bytes}`);
      await to.files.makeFolder(folder);
      const beganMs = this.#clock.monotonicMs();
      await putDurably(to.files, folder, name, [contents]);
      to.noteWrite(bytes, this.#clock.monotonicMs() - beganMs);
      kept = true;
    } catch (error) {
      to.problem = `${path} could not be moved here: ${errorText(error)}`;
      await to.files.remove(`${folder}/.new-${name}`).catch(() => undefined);
      return false;
    } finally {
      to.settle(bytes, kept);
    }
    pack.tier = to;
    await this.#drop(from, path, bytes);
    await from.files.syncFolder(folder);
    from.unsynced.delete(folder);
    return true;
  }

  #newPack(tier: Tier, bytes: number): Pack {
    const nowMs = this.#clock.monotonicMs();
    return { tier, bytes, usedAtMs: nowMs, heat: 0, heatAtMs: nowMs, version: ++this.#versions };
  }

  #noteUse(pack: Pack, bytes: number): void {
    pack.heat = this.#heatOf(pack) + bytes / Math.max(1, pack.bytes);
    pack.usedAtMs = this.#clock.monotonicMs();
    pack.heatAtMs = pack.usedAtMs;
  }

  #heatOf({ heat, heatAtMs }: Pack): number {
    return heat * 0.5 ** ((this.#clock.monotonicMs() - heatAtMs) / HEAT_HALF_MS);
  }

  #inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
    const done = (this.#turns.get(path) ?? Promise.resolve()).then(work);
    const ended = done
      .catch(() => undefined)
      .then(() => {
        if (this.#turns.get(path) === ended) this.#turns.delete(path);
      });
    this.#turns.set(path, ended);
    return done;
  }
}

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
const roomOf = ({ name, capacityBytes, freeBytes, leaving, problem }: Tier): string =>
  `${name} ${leaving ? 'is being left' : `has ${mib(freeBytes)} of ${mib(capacityBytes)} free`}${problem === null ? '' : ` (${problem})`}`;
