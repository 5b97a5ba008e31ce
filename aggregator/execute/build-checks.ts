/**
 * Questions to hosts whether they could make a VM: sent until the host answers or the deadline passes. Input: a build, a host;
 * output: what the host lacks, in words. Nothing is made by them.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { HostId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import type { VmBuild } from '../../shared/vm-build.ts';

export interface BuildCheckOptions {
  clock: Clock;
  /** Orders to this host carry it. */
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'build'>) => boolean;
  retryMs: number;
  deadlineMs: number;
}

export interface BuildAnswer {
  outcome: Outcome;
  code: string | null;
  reason: string;
}

/** No VM's: a check is about one that is not there yet. */
const NOBODY = '00000000-0000-4000-8000-000000000000';

interface Asked {
  host: HostId;
  frame: FrameOf<'build'>;
  startedMs: number;
  end: (answer: BuildAnswer) => void;
}

export class BuildChecks {
  readonly #options: BuildCheckOptions;
  readonly #asked = new Map<string, Asked>();
  #timer: Timer | null = null;
  #count = 0;

  constructor(options: BuildCheckOptions) {
    this.#options = options;
  }

  /** Somebody has not answered yet. */
  get waiting(): boolean {
    return this.#asked.size > 0;
  }

  check(host: HostId, build: VmBuild): Promise<BuildAnswer> {
    const { clock, epochOf, deadlineMs: leaseMs, retryMs, send } = this.#options;
    const pair = { epoch: epochOf(host), generation: ++this.#count };
    const orderId = `check/${pair.epoch}/${Math.round(clock.wallMs())}/${this.#count}`;
    const frame: FrameOf<'build'> = { type: 'build', orderId, pair, leaseMs, order: { action: 'check', vm: NOBODY, build } };
    return new Promise((end) => {
      this.#asked.set(orderId, { host, frame, startedMs: clock.monotonicMs(), end });
      send(host, frame);
      this.#timer ??= clock.setInterval(() => this.#sweep(), retryMs);
    });
  }

  onResult(host: HostId, { orderId, outcome, code, reason }: FrameOf<'build-result'>): void {
    if (this.#asked.get(orderId)?.host === host) this.#end(orderId, { outcome, code, reason });
  }

  stop(): void {
    for (const orderId of [...this.#asked.keys()]) this.#end(orderId, { outcome: 'failed', code: 'CANCELLED', reason: 'Headroom stops' });
  }

  #end(orderId: string, answer: BuildAnswer): void {
    this.#asked.get(orderId)?.end(answer);
    this.#asked.delete(orderId);
    if (this.#asked.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #sweep(): void {
    const { clock, deadlineMs, send } = this.#options;
    for (const [orderId, { host, frame, startedMs }] of this.#asked) {
      if (clock.monotonicMs() - startedMs < deadlineMs) send(host, frame);
      else this.#end(orderId, { outcome: 'failed', code: 'TIMEOUT', reason: `the host did not answer within ${deadlineMs} ms` });
    }
  }
}
