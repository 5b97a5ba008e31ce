/**
 * A disk whose bytes lie on another host alone. Input: reads and writes, a lender that comes and goes; output: each is done when the
 * lender says so. Without a lender they wait for one, and are asked again where it was lost; after `waitMs` they fail, which pauses
 * the VM. Asking again is safe: a request names its bytes, the lender ends what an old connection asked for before it serves a
 * new one, and what it said was written is on its disk.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { RemoteCopy } from './mirror.ts';
import type { ServedDisk } from './served-disk.ts';

export interface RemoteDiskOptions {
  bytes: number;
  clock: Clock;
  /** A lender that has not answered by then is given up. */
  deadlineMs: number;
  /** A request that no lender has answered by then fails. */
  waitMs: number;
  onLost(reason: string): void;
}

export class RemoteDisk implements ServedDisk {
  readonly #options: RemoteDiskOptions;
  #remote: RemoteCopy | null = null;
  /** Called when there is a lender, or will be none in time. */
  readonly #waiting = new Set<() => void>();

  constructor(options: RemoteDiskOptions) {
    this.#options = options;
  }

  get view(): ServedDisk['view'] {
    const { bytes } = this.#options;
    return { lender: this.#remote !== null, writtenBytes: bytes, sameBytes: this.#remote === null ? 0 : bytes };
  }

  attach(remote: RemoteCopy): void {
    if (this.#remote !== null) this.#lose(this.#remote, 'another connection took its place');
    this.#remote = remote;
    for (const wake of [...this.#waiting]) wake();
  }

  lost(remote: RemoteCopy, reason: string): void {
    this.#lose(remote, reason);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#untilAnswered((remote) => remote.read(offset, length));
  }

  write(offset: number, data: Buffer): Promise<void> {
    return this.#untilAnswered((remote) => remote.write(offset, data));
  }

  flush(): Promise<void> {
    return this.#untilAnswered((remote) => remote.flush());
  }

  async ask(): Promise<boolean> {
    const remote = this.#remote;
    if (remote === null) return false;
    try {
      await this.#inTime(remote, () => remote.flush());
      return true;
    } catch {
      return false;
    }
  }

  /** There is nothing here that the lender lacks. */
  async refill(): Promise<void> {}

  async #untilAnswered<T>(request: (remote: RemoteCopy) => Promise<T>): Promise<T> {
    const { clock, waitMs } = this.#options;
    const endMs = clock.monotonicMs() + waitMs;
    for (let problem = 'it is away'; ; ) {
      const remote = this.#remote;
      if (remote !== null) {
        try {
          return await this.#inTime(remote, () => request(remote));
        } catch (error) {
          // A lender that answers with a failure is asked again only once it was lost: its disk will not mend in a moment.
          if (this.#remote === remote) throw error;
          problem = errorText(error);
        }
      }
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) throw new HeadroomError('UNAVAILABLE', `no lender answered within ${waitMs} ms: ${problem}`);
      await this.#aLender(leftMs);
    }
  }

  /** Resolves when there is one, or the time is over. */
  #aLender(leftMs: number): Promise<void> {
    if (this.#remote !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = this.#options.clock.setTimeout(wake, leftMs);
      this.#waiting.add(wake);
    });
  }

  /** Rejects when the lender is late, and gives it up. */
  #inTime<T>(remote: RemoteCopy, work: () => Promise<T>): Promise<T> {
    const { clock, deadlineMs } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(() => {
        const reason = `no answer within ${deadlineMs} ms`;
        this.#lose(remote, reason);
        reject(new HeadroomError('TIMEOUT', reason));
      }, deadlineMs);
      work()
        .finally(() => timer.cancel())
        .then(resolve, reject);
    });
  }

  #lose(remote: RemoteCopy, reason: string): void {
    if (this.#remote !== remote) return;
    this.#remote = null;
    remote.destroy();
    this.#options.onLost(reason);
  }
}
