/**
 * Isolations, releases and restarts on their way: sent until the host answers or the deadline passes. Input: actions the lint let
 * through, results; output: frames, one outcome each. Repeats carry the same id, which the host agent answers without doing it
 * again.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome } from '../../shared/resources.ts';

export interface VmActionOptions {
  clock: Clock;
  /** Of our hold on a host. */
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'vm-action'>) => boolean;
  retryMs: number;
  deadlineMs: number;
}

export interface ActionEnded {
  outcome: Outcome;
  reason: string;
}

interface UnderWay {
  host: HostId;
  frame: FrameOf<'vm-action'>;
  startedMs: number;
  end: (ended: ActionEnded) => void;
}

export class VmActions {
  readonly #options: VmActionOptions;
  readonly #underWay = new Map<string, UnderWay>();
  readonly #timer: Timer;
  readonly counters = { applied: 0, skipped: 0, refused: 0, failed: 0, superseded: 0 };
  #sent = 0;

  constructor(options: VmActionOptions) {
    this.#options = options;
    this.#timer = options.clock.setInterval(() => this.#sweep(), options.retryMs);
  }

  carryOut(
    host: HostId,
    { vm, action, forMs, means, reason }: Pick<FrameOf<'vm-action'>, 'action' | 'forMs' | 'means' | 'reason'> & { vm: VmId },
    end: UnderWay['end'],
  ): void {
    const { clock, epochOf, deadlineMs, send } = this.#options;
    const epoch = epochOf(host);
    const actionId = `${epoch}/${Math.round(clock.wallMs())}/${++this.#sent}`;
    const leaseMs = deadlineMs;
    // Agents of before know no other means than links, and no word for them.
    const by = means === 'quarantine' ? { means } : {};
    const frame = { type: 'vm-action' as const, actionId, vm, action, epoch, leaseMs, forMs, ...by, reason: reason.slice(0, 1024) };
    this.#underWay.set(actionId, { host, frame, startedMs: clock.monotonicMs(), end });
    send(host, frame);
  }

  onResult({ actionId, outcome, reason }: FrameOf<'vm-action-result'>): void {
    this.#end(actionId, { outcome, reason });
  }

  stop(): void {
    this.#timer.cancel();
  }

  #end(actionId: string, ended: ActionEnded): void {
    const known = this.#underWay.get(actionId);
    if (known === undefined) return;
    this.#underWay.delete(actionId);
    this.counters[ended.outcome]++;
    known.end(ended);
  }

  #sweep(): void {
    const { clock, deadlineMs, send } = this.#options;
    for (const [id, { host, frame, startedMs }] of this.#underWay) {
      if (clock.monotonicMs() - startedMs < deadlineMs) send(host, frame);
      else this.#end(id, { outcome: 'failed', reason: `the host did not answer within ${deadlineMs} ms` });
    }
  }
}
