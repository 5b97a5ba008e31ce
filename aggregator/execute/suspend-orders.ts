/**
 * Orders to suspend VMs, bring them back or make them ready, on their way: sent until the host has answered with an end, or has been
 * silent for too long. Input: orders, result frames; output: frames, how far each is, one end each. Repeats carry the same id, which
 * the host agent answers without doing it again.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { CHUNK_QUESTIONS } from '../../shared/protocol/suspend-frames.ts';
import type { Outcome } from '../../shared/resources.ts';

/** Questions about chunks are no orders: nothing is done for them. */
export type SuspendOrder = Exclude<FrameOf<'suspend'>['order'], { action: (typeof CHUNK_QUESTIONS)[number] }>;
type Result = FrameOf<'suspend-result'>;

export interface SuspendOrdersOptions {
  clock: Clock;
  /** Of our hold on a host. */
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'suspend'>) => boolean;
  retryMs: number;
  /** An order may take as long as the guest's memory does; a host that says nothing for this long is given up. */
  silenceMs: number;
}

export interface OrderEnded {
  outcome: Outcome;
  reason: string;
  measured: Result['measured'];
  /** Where what was lent is asked for. */
  address?: string;
}

export interface OrderUnderWay {
  id: string;
  host: HostId;
  vm: VmId | null;
  order: SuspendOrder;
  by: string;
  askedAtMs: number;
  progress: Result['progress'];
  /** More urgent prefetches of its host that it stands behind. */
  ahead: number;
}

interface Kept extends OrderUnderWay {
  frame: FrameOf<'suspend'>;
  heardMonoMs: number;
  end: (ended: OrderEnded) => void;
}

export class SuspendOrders {
  readonly #options: SuspendOrdersOptions;
  readonly #underWay = new Map<string, Kept>();
  #timer: Timer | null = null;
  #count = 0;

  constructor(options: SuspendOrdersOptions) {
    this.#options = options;
  }

  give(host: HostId, order: SuspendOrder, by: string, askedAtMs: number, end: Kept['end']): OrderUnderWay {
    const { clock, epochOf, silenceMs, send, retryMs } = this.#options;
    const epoch = epochOf(host);
    const id = `${order.action}/${epoch}/${Math.round(clock.wallMs())}/${++this.#count}`;
    const frame = { type: 'suspend' as const, orderId: id, epoch, leaseMs: silenceMs, order };
    const vm = 'vm' in order ? (order.vm as VmId) : null;
    const kept: Kept = { id, host, vm, order, by, askedAtMs, progress: null, ahead: 0, frame, heardMonoMs: clock.monotonicMs(), end };
    this.#underWay.set(id, kept);
    send(host, frame);
    this.#timer ??= clock.setInterval(() => this.#sweep(), retryMs);
    return kept;
  }

  underWay(): readonly OrderUnderWay[] {
    return [...this.#underWay.values()];
  }

  of(vm: VmId): OrderUnderWay | undefined {
    return this.underWay().find((order) => order.vm === vm);
  }

  onResult(host: HostId, { orderId, outcome, reason, measured, progress, address, ahead = 0 }: Result): void {
    const known = this.#underWay.get(orderId);
    if (known?.host !== host) return;
    known.heardMonoMs = this.#options.clock.monotonicMs();
    if (outcome === null) Object.assign(known, { progress, ahead });
    else this.#end(known, { outcome, reason, measured, ...(address === undefined ? {} : { address }) });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #end(known: Kept, ended: OrderEnded): void {
    this.#underWay.delete(known.id);
    if (this.#underWay.size === 0) this.stop();
    known.end(ended);
  }

  #sweep(): void {
    const { clock, silenceMs, send } = this.#options;
    for (const known of this.#underWay.values()) {
      if (clock.monotonicMs() - known.heardMonoMs < silenceMs) send(known.host, known.frame);
      else this.#end(known, { outcome: 'failed', reason: `the host said nothing for ${silenceMs} ms`, measured: {} });
    }
  }
}
