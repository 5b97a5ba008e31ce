/**
 * Orders to guests about how many vCPUs they are to have online: sent once by way of the host, which guards them, and ended by
 * the guest's answer or by time. What gets lost is decided anew by a later plan. Input: plans the lint let through, results;
 * output: frames, an outcome for each.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import type { Plan, VcpuStep } from '../core/plan/plan.ts';

export interface VcpuOutcome {
  planId: string;
  commandId: string;
  step: VcpuStep;
  outcome: Outcome;
  reason: string;
  /** By the guest's word, null = it did not say. */
  online: number | null;
}

export interface VcpuOrdersOptions {
  clock: Clock;
  send: (host: HostId, frame: FrameOf<'guest-command'>) => boolean;
  /** After this long without an answer an order has failed. */
  deadlineMs: number;
  onSent: (step: VcpuStep) => void;
  onOutcome: (outcome: VcpuOutcome) => void;
}

interface UnderWay {
  planId: string;
  commandId: string;
  step: VcpuStep;
  timer: Timer;
}

export class VcpuOrders {
  readonly #options: VcpuOrdersOptions;
  readonly #underWay = new Map<VmId, UnderWay>();
  #generation = 0;

  constructor(options: VcpuOrdersOptions) {
    this.#options = options;
  }

  /** `epochOf` null: the host is no longer ours to decide about. */
  execute({ id: planId, vcpuSteps = [] }: Plan, epochOf: (host: HostId) => number | null): void {
    for (const [index, step] of vcpuSteps.entries()) {
      const epoch = epochOf(step.host);
      // Its answer, or the end of waiting for it, comes first.
      if (epoch !== null && !this.#underWay.has(step.vm)) this.#begin(planId, `${planId}/vcpus/${index}`, step, epoch);
    }
  }

  #begin(planId: string, commandId: string, step: VcpuStep, epoch: number): void {
    const { clock, send, deadlineMs, onSent } = this.#options;
    const { vm, to, of } = step;
    const sent = send(step.host, {
      ...{ type: 'guest-command', commandId, vm, pair: { epoch, generation: ++this.#generation } },
      action: { kind: 'cpus-online', vcpus: to, ...(to === of ? { original: true } : {}) },
    });
    if (!sent) {
      this.#end({ planId, commandId, step, outcome: 'skipped', reason: 'the host could not be reached', online: null });
      return;
    }
    const late = (): void => {
      this.#underWay.delete(vm);
      this.#end({ planId, commandId, step, outcome: 'failed', reason: `the guest did not answer within ${deadlineMs} ms`, online: null });
    };
    this.#underWay.set(vm, { planId, commandId, step, timer: clock.setTimeout(late, deadlineMs) });
    onSent(step);
  }

  /** True: it answers an order about vCPUs, of now or of before. */
  onResult({ vm, commandId, outcome, reason, vcpusOnline }: FrameOf<'result'>): boolean {
    const order = this.#underWay.get(vm as VmId);
    if (order?.commandId === commandId) {
      order.timer.cancel();
      this.#underWay.delete(vm as VmId);
      this.#end({ planId: order.planId, commandId, step: order.step, outcome, reason, online: vcpusOnline ?? null });
      return true;
    }
    return commandId.includes('/vcpus/');
  }

  stop(): void {
    for (const { timer } of this.#underWay.values()) timer.cancel();
    this.#underWay.clear();
  }

  #end(outcome: VcpuOutcome): void {
    this.#options.onOutcome(outcome);
  }
}
