/**
 * A disk that keeps no more than it must: at a power cut, what was written and not synced is there, torn or gone, and names given
 * or taken away since their folder was synced hold or do not, each for itself. Input: a generator; output: `StoreFiles`, and the
 * disk as the next start finds it.
 */
import type { StoreFiles } from '../../agent/snapshot/store-files.ts';
import type { Prng } from '../../shared/prng.ts';

interface Inode {
  written: Buffer;
  synced: Buffer;
}

export interface Power {
  stepsLeft: number;
}

type Change = (names: Map<string, Inode>) => void;

const NOTHING = Buffer.alloc(0);
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export class TreacherousFiles implements StoreFiles {
  #names: Map<string, Inode>;
  #durable: Map<string, Inode>;
  #changes: { folder: string; change: Change }[] = [];
  readonly #prng: Prng;
  readonly #power: Power;

  /** Disks of one machine lose their `power` together. */
  constructor(prng: Prng, names = new Map<string, Inode>(), power: Power = { stepsLeft: Number.POSITIVE_INFINITY }) {
    this.#prng = prng;
    this.#power = power;
    this.#names = new Map(names);
    this.#durable = new Map(names);
  }

  /** Writing steps until the power goes; infinity = it stays. */
  get stepsLeft(): number {
    return this.#power.stepsLeft;
  }

  set stepsLeft(steps: number) {
    this.#power.stepsLeft = steps;
  }

  paths(): string[] {
    return [...this.#names.keys()];
  }

  flipBit(path: string, bit: number): void {
    const at = bit % (this.bytesOf(path) * 8);
    this.#spoil(path, at >> 3, 1, 1 << (at & 7));
  }

  /** Every bit of a range; done twice, nothing happened. */
  invert(path: string, from: number, length: number): void {
    this.#spoil(path, from, length, 0xff);
  }

  #spoil(path: string, from: number, length: number, mask: number): void {
    const inode = this.#names.get(path)!;
    const bytes = Buffer.from(inode.written);
    for (let at = from; at < from + length; at++) bytes[at]! ^= mask;
    inode.written = bytes;
  }

  bytesOf(path: string): number {
    return this.#names.get(path)!.written.length;
  }

  /** What a new start finds. */
  afterPowerCut(power?: Power): TreacherousFiles {
    const names = new Map(this.#durable);
    for (const { change } of this.#changes) if (this.#prng.next() < 0.5) change(names);
    for (const inode of new Set(names.values())) {
      const luck = this.#prng.next();
      if (inode.written.equals(inode.synced) || luck < 0.25) inode.written = inode.synced;
      else if (luck < 0.75) inode.written = inode.written.subarray(0, this.#prng.below(inode.written.length + 1));
      inode.synced = inode.written;
    }
    return new TreacherousFiles(this.#prng, names, power);
  }

  async list(folder: string): Promise<string[]> {
    const names = [...this.#names.keys()].filter((path) => folderOf(path) === folder);
    return names.map((path) => path.slice(folder.length + 1)).toSorted();
  }

  async size(path: string): Promise<number | null> {
    return this.#names.get(path)?.written.length ?? null;
  }

  async read(path: string, offset: number, length: number): Promise<Buffer | null> {
    const inode = this.#names.get(path);
    return inode === undefined ? null : Buffer.from(inode.written.subarray(offset, offset + length));
  }

  async makeFolder(): Promise<void> {
    this.#step();
  }

  async write(path: string, parts: readonly Uint8Array[]): Promise<void> {
    this.#step();
    const there = this.#names.get(path);
    const inode = there ?? { written: NOTHING, synced: NOTHING };
    inode.written = Buffer.concat(parts);
    if (there === undefined) this.#change(path, (names) => names.set(path, inode));
  }

  async sync(path: string): Promise<void> {
    this.#step();
    const inode = this.#names.get(path)!;
    inode.synced = inode.written;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step();
    const inode = this.#names.get(from)!;
    this.#change(to, (names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  async syncFolder(folder: string): Promise<void> {
    this.#step();
    for (const { change } of this.#changes.filter((one) => one.folder === folder)) change(this.#durable);
    this.#changes = this.#changes.filter((one) => one.folder !== folder);
  }

  async remove(path: string): Promise<void> {
    this.#step();
    this.#change(path, (names) => names.delete(path));
  }

  #change(path: string, change: Change): void {
    change(this.#names);
    this.#changes.push({ folder: folderOf(path), change });
  }

  #step(): void {
    if (this.stepsLeft <= 0) throw new Error('the power is gone');
    this.stepsLeft--;
  }
}
