/**
 * A disk in two copies: one here, which always holds everything, and one in another host's memory, which is read where it is known to
 * hold the same. Input: reads and writes of bytes, a lender that comes and goes; output: never a stale byte, and never a wait longer
 * than the lender's deadline. A write is done when both copies have it; with the first answer that is late, wrong or missing
 * the lender is given up, and nothing is read there again before it was written there again.
 */
import { crc32 } from 'node:zlib';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { ServedDisk } from './served-disk.ts';

/** A guest's page: what it swaps by. */
export const BLOCK_BYTES = 4096;
/** Written back to a lender at once, so that the guest's own writes are not held up for long. */
const REFILL_BLOCKS = 16;

export interface Copy {
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, data: Buffer): Promise<void>;
  flush(): Promise<void>;
}

/** A lender's copy, as long as its connection holds. It begins with nothing that is ours. */
export interface RemoteCopy extends Copy {
  destroy(): void;
}

export interface MirrorOptions {
  bytes: number;
  local: Copy;
  /** The local copy may hold data everywhere: it outlived the process that wrote it. */
  filled: boolean;
  clock: Clock;
  /** A lender that has not answered by then is given up. */
  deadlineMs: number;
  onLost(reason: string): void;
}

interface Range {
  from: number;
  to: number;
  reads: boolean;
  done: Promise<void>;
}

export class Mirror implements ServedDisk {
  readonly #options: MirrorOptions;
  #remote: RemoteCopy | null = null;
  /** By block, 1 = ever written. */
  readonly #written: Uint8Array;
  /** By block, 1 = the lender holds what the local copy holds, with this checksum. */
  readonly #same: Uint8Array;
  readonly #checksums: Uint32Array;
  #writtenBlocks = 0;
  #sameBlocks = 0;
  readonly #underWay = new Set<Range>();

  constructor(options: MirrorOptions) {
    if (options.bytes <= 0 || options.bytes % BLOCK_BYTES !== 0) {
      throw new HeadroomError('USAGE', `a slice of ${options.bytes} bytes is not a whole number of pages of ${BLOCK_BYTES} bytes`);
    }
    const blocks = options.bytes / BLOCK_BYTES;
    this.#options = options;
    this.#written = new Uint8Array(blocks);
    this.#same = new Uint8Array(blocks);
    this.#checksums = new Uint32Array(blocks);
    if (options.filled) {
      this.#written.fill(1);
      this.#writtenBlocks = blocks;
    }
  }

  /** `same`: bytes that would be read from the lender. */
  get view(): { lender: boolean; writtenBytes: number; sameBytes: number } {
    return {
      lender: this.#remote !== null,
      writtenBytes: this.#writtenBlocks * BLOCK_BYTES,
      sameBytes: this.#sameBlocks * BLOCK_BYTES,
    };
  }

  /** What is written from now on goes there too. */
  attach(remote: RemoteCopy): void {
    if (this.#remote !== null) this.#lose(this.#remote, 'another connection took its place');
    this.#remote = remote;
  }

  /** The lender's connection is known to be over. */
  lost(remote: RemoteCopy, reason: string): void {
    this.#lose(remote, reason);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#inTurn(offset, length, true, async () => {
      const remote = this.#remote;
      if (remote !== null && this.#allSame(offset, length)) {
        const data = await this.#fromRemote(remote, () => this.#checked(remote, offset, length));
        if (data !== null) return data;
      }
      return this.#options.local.read(offset, length);
    });
  }

  write(offset: number, data: Buffer): Promise<void> {
    return this.#inTurn(offset, data.length, false, async () => {
      const [first, last] = blocksOf(offset, data.length);
      // Until both have it, neither is trusted to be like the other.
      for (let block = first; block <= last; block++) this.#mark(block, true, false);
      const remote = this.#remote;
      const there = remote === null ? false : this.#writeTo(remote, offset, data);
      const [here, done] = await Promise.allSettled([this.#options.local.write(offset, data), there]);
      if (here.status === 'rejected') throw here.reason;
      if (remote !== this.#remote || done.status === 'rejected' || !done.value) return;
      for (let block = Math.ceil(offset / BLOCK_BYTES); (block + 1) * BLOCK_BYTES <= offset + data.length; block++) {
        const from = block * BLOCK_BYTES - offset;
        this.#noteSame(block, data.subarray(from, from + BLOCK_BYTES));
      }
    });
  }

  /** The local copy alone: it is the one that everything can be read from. */
  flush(): Promise<void> {
    return this.#options.local.flush();
  }

  /** True: the lender answered in time. */
  async ask(): Promise<boolean> {
    const remote = this.#remote;
    if (remote === null) return false;
    const answered = await this.#fromRemote(remote, async () => {
      await remote.flush();
      return true;
    });
    return answered === true;
  }

  /** Writes to the lender what it lacks, in small parts, until it has all or is gone. */
  async refill(): Promise<void> {
    const remote = this.#remote;
    for (let block = 0; block < this.#written.length && remote !== null && remote === this.#remote; ) {
      if (!this.#lacks(block)) {
        block++;
        continue;
      }
      let to = block;
      while (to < this.#written.length && to - block < REFILL_BLOCKS && this.#lacks(to)) to++;
      await this.#refillRange(remote, block, to);
      block = to;
    }
  }

  #refillRange(remote: RemoteCopy, from: number, to: number): Promise<void> {
    const offset = from * BLOCK_BYTES;
    const length = (to - from) * BLOCK_BYTES;
    // Alone in its range, as a write is: what is read here is what is there when nobody writes between.
    return this.#inTurn(offset, length, false, async () => {
      if (remote !== this.#remote) return;
      const data = await this.#options.local.read(offset, length);
      if (!(await this.#writeTo(remote, offset, data)) || remote !== this.#remote) return;
      for (let block = from; block < to; block++) {
        this.#noteSame(block, data.subarray((block - from) * BLOCK_BYTES, (block - from + 1) * BLOCK_BYTES));
      }
    });
  }

  #lacks(block: number): boolean {
    return this.#written[block] === 1 && this.#same[block] === 0;
  }

  #noteSame(block: number, data: Buffer): void {
    this.#checksums[block] = crc32(data);
    this.#mark(block, true, true);
  }

  #mark(block: number, written: boolean, same: boolean): void {
    this.#writtenBlocks += Number(written) - this.#written[block]!;
    this.#sameBlocks += Number(same) - this.#same[block]!;
    this.#written[block] = Number(written);
    this.#same[block] = Number(same);
  }

  #allSame(offset: number, length: number): boolean {
    const [first, last] = blocksOf(offset, length);
    for (let block = first; block <= last; block++) if (this.#same[block] === 0) return false;
    return true;
  }

  /** Whole blocks, so that each can be held against its checksum: another host's memory may break as any does. */
  async #checked(remote: RemoteCopy, offset: number, length: number): Promise<Buffer> {
    const [first, last] = blocksOf(offset, length);
    const start = first * BLOCK_BYTES;
    const data = await remote.read(start, (last + 1) * BLOCK_BYTES - start);
    for (let block = first; block <= last; block++) {
      const at = block * BLOCK_BYTES - start;
      if (crc32(data.subarray(at, at + BLOCK_BYTES)) !== this.#checksums[block]) {
        throw new HeadroomError('STORE_CORRUPT', `block ${block} is not what was written there`);
      }
    }
    return data.subarray(offset - start, offset - start + length);
  }

  async #writeTo(remote: RemoteCopy, offset: number, data: Buffer): Promise<boolean> {
    const done = await this.#fromRemote(remote, async () => {
      await remote.write(offset, data);
      return true;
    });
    return done === true;
  }

  /** Null: it failed or was late, and the lender is given up. */
  async #fromRemote<T>(remote: RemoteCopy, work: () => Promise<T>): Promise<T | null> {
    const { clock, deadlineMs } = this.#options;
    return new Promise((resolve) => {
      const fail = (reason: string): void => {
        this.#lose(remote, reason);
        resolve(null);
      };
      const timer = clock.setTimeout(() => fail(`no answer within ${deadlineMs} ms`), deadlineMs);
      work().then(
        (value) => {
          timer.cancel();
          resolve(value);
        },
        (error: unknown) => {
          timer.cancel();
          fail(errorText(error));
        },
      );
    });
  }

  #lose(remote: RemoteCopy, reason: string): void {
    if (this.#remote !== remote) return;
    this.#remote = null;
    this.#same.fill(0);
    this.#sameBlocks = 0;
    remote.destroy();
    this.#options.onLost(reason);
  }

  /** Requests for the same bytes one after another, but reads among themselves. */
  async #inTurn<T>(offset: number, length: number, reads: boolean, work: () => Promise<T>): Promise<T> {
    const [from, last] = blocksOf(offset, length);
    const earlier = [...this.#underWay].filter((one) => one.from <= last && one.to >= from && !(reads && one.reads));
    let end = (): void => undefined;
    const done = new Promise<void>((resolve) => {
      end = resolve;
    });
    const range = { from, to: last, reads, done };
    this.#underWay.add(range);
    try {
      await Promise.all(earlier.map((one) => one.done));
      return await work();
    } finally {
      this.#underWay.delete(range);
      end();
    }
  }
}

/** First and last block that these bytes lie in. */
function blocksOf(offset: number, length: number): [first: number, last: number] {
  return [Math.floor(offset / BLOCK_BYTES), Math.floor((offset + Math.max(length, 1) - 1) / BLOCK_BYTES)];
}
