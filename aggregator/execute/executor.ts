/**
 * Carries a plan out: steps → fenced commands → results. Input: plans the lint let through, and results; output: frames to
 * hosts, an outcome for every step. A command is sent again, the same to the byte, until its result or its deadline; what
 * was given up still counts as under way until nothing of it can arrive any more. Nothing is left to decide here.
 */
import { assert } from '../../shared/assert.ts';
import type { Clock, Timer } from '../../shared/clock.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome, Pair, Resource, Setting } from '../../shared/resources.ts';
import { lintCommand } from '../core/lint/command-rules.ts';
import type { Plan, PlanStep } from '../core/plan/plan.ts';

export interface ExecutorOptions {
  clock: Clock;
  /** False: not connected, or its queue is full; it is tried again. */
  send: (host: HostId, frame: FrameOf<'command'>) => boolean;
  /** Pause between repeats of a command without a result. */
  retryMs: number;
  /** After this long without a result a command has failed. */
  deadlineMs: number;
  /** Nothing sent this long ago can still arrive: silent connections are ended before. */
  settleMs: number;
  /** A target under way, null = no longer. */
  onPending: (vm: VmId, resource: Resource, target: Setting | null) => void;
  /** The first time a command leaves. */
  onSent: (step: PlanStep) => void;
  onOutcome: (outcome: StepOutcome) => void;
}

export interface StepOutcome {
  planId: string;
  commandId: string;
  /** Index into the plan's steps. */
  index: number;
  step: PlanStep;
  outcome: Outcome;
  reason: string;
  readBack: Setting | null;
  result: FrameOf<'result'> | null;
}

/** What the executor needs to know of the world when a plan begins. */
export interface Fencing {
  ownEpoch: number;
  /** Highest pair seen for a VM and resource. */
  highest: (vm: VmId, resource: Resource) => Pair | undefined;
  /** Highest epoch the host ever accepted. */
  hostEpoch: (host: HostId) => number;
  leaseMs: number;
  /** Is the host held as it was when the plan was made? */
  held: (host: HostId) => boolean;
}

interface UnderWay {
  planId: string;
  index: number;
  step: PlanStep;
  frame: FrameOf<'command'>;
  startedMs: number;
  lastSentMs: number;
  sent: number;
  /** Its outcome was told; it only still counts. */
  givenUp: boolean;
}

/** Commands under way at once: several plans of the largest fleet. */
const COMMANDS_MAX = 20_000;

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #underWay = new Map<string, UnderWay>();
  readonly #timer: Timer;
  readonly counters = { sent: 0, repeated: 0, applied: 0, skipped: 0, refused: 0, failed: 0, superseded: 0, lintRejections: 0, dropped: 0 };

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#timer = options.clock.setInterval(() => this.#sweep(), options.retryMs);
  }

  /** Commands whose result is still awaited. */
  get waiting(): number {
    let waiting = 0;
    for (const command of this.#underWay.values()) if (!command.givenUp) waiting++;
    return waiting;
  }

  execute(plan: Plan, fencing: Fencing): void {
    for (const [index, step] of plan.steps.entries()) this.#begin(plan.id, index, step, fencing);
  }

  #begin(planId: string, index: number, step: PlanStep, fencing: Fencing): void {
    const key = keyOf(step.vm, step.resource);
    const end = (outcome: Outcome, reason: string): void => {
      this.#end({ planId, commandId: `${planId}/${index}`, index, step, outcome, reason, readBack: null, result: null });
    };
    if (!fencing.held(step.host)) {
      end('superseded', 'its host is no longer ours to decide about');
      return;
    }
    if (this.#underWay.has(key)) {
      end('skipped', 'an earlier command for it is still under way');
      return;
    }
    if (this.#underWay.size >= COMMANDS_MAX) {
      this.counters.dropped++;
      end('skipped', `${COMMANDS_MAX} commands are under way, which is the limit`);
      return;
    }
    const highest = fencing.highest(step.vm, step.resource);
    const frame = commandFrame(`${planId}/${index}`, step, nextPair(highest, fencing, step.host), fencing.leaseMs);
    const problem = lintCommand(frame, step, highest, fencing.ownEpoch);
    if (problem !== null) {
      this.counters.lintRejections++;
      end('refused', `refused by the lint: ${problem}`);
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    const command: UnderWay = {
      planId,
      index,
      step,
      frame,
      startedMs: nowMs,
      lastSentMs: Number.NEGATIVE_INFINITY,
      sent: 0,
      givenUp: false,
    };
    this.#underWay.set(key, command);
    this.#options.onPending(step.vm, step.resource, step.to);
    this.#send(command, nowMs);
  }

  /** A result, maybe for the second time, maybe of a command long given up. */
  onResult(result: FrameOf<'result'>): { step: PlanStep; planId: string } | null {
    const key = keyOf(result.vm as VmId, result.resource);
    const command = this.#underWay.get(key);
    if (command === undefined || command.frame.commandId !== result.commandId) return null;
    this.#underWay.delete(key);
    this.#options.onPending(command.step.vm, command.step.resource, null);
    const { step, planId, index } = command;
    // Its failure was told already; what is in force is known all the same.
    if (command.givenUp) return { step, planId };
    const { outcome, reason, readBack } = result;
    this.#end({ planId, commandId: result.commandId, index, step, outcome, reason, readBack, result });
    return { step, planId };
  }

  /** The host is back: what it has not answered is sent again at once. */
  hostConnected(host: HostId): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const command of this.#underWay.values()) {
      if (command.step.host === host && !command.givenUp) this.#send(command, nowMs);
    }
  }

  /** Ends commands before their result: a kill switch, a VM that is gone. They still count until they cannot arrive any more. */
  abort(which: (step: PlanStep) => boolean, reason: string): void {
    for (const command of this.#underWay.values()) {
      if (!command.givenUp && which(command.step)) this.#giveUp(command, 'superseded', reason);
    }
  }

  stop(): void {
    this.#timer.cancel();
  }

  #sweep(): void {
    const { clock, deadlineMs, settleMs, retryMs } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const [key, command] of this.#underWay) {
      const late = nowMs - command.startedMs >= deadlineMs;
      if (late && !command.givenUp) {
        const why = command.sent === 0 ? 'the host could not be reached' : `no result within ${deadlineMs} ms, sent ${command.sent} times`;
        this.#giveUp(command, 'failed', why);
      }
      if (command.givenUp) {
        if (command.sent > 0 && nowMs - command.lastSentMs < settleMs) continue;
        this.#underWay.delete(key);
        this.#options.onPending(command.step.vm, command.step.resource, null);
      } else if (nowMs - command.lastSentMs >= retryMs) this.#send(command, nowMs);
    }
  }

  #giveUp(command: UnderWay, outcome: Outcome, reason: string): void {
    command.givenUp = true;
    const { planId, index, step, frame } = command;
    this.#end({ planId, commandId: frame.commandId, index, step, outcome, reason, readBack: null, result: null });
  }

  #send(command: UnderWay, nowMs: number): void {
    if (!this.#options.send(command.step.host, command.frame)) return;
    command.lastSentMs = nowMs;
    command.sent++;
    if (command.sent > 1) {
      this.counters.repeated++;
      return;
    }
    this.counters.sent++;
    this.#options.onSent(command.step);
  }

  #end(outcome: StepOutcome): void {
    this.counters[outcome.outcome]++;
    this.#options.onOutcome(outcome);
  }
}

function keyOf(vm: VmId, resource: Resource): string {
  return `${vm}/${resource}`;
}

/** Above everything the host has seen, and never of an epoch below our own. */
function nextPair(highest: Pair | undefined, fencing: Fencing, host: HostId): Pair {
  const epoch = Math.max(fencing.ownEpoch, fencing.hostEpoch(host), highest?.epoch ?? 0);
  const generation = highest?.epoch === epoch ? highest.generation + 1 : 1;
  assert(Number.isSafeInteger(generation), `generation ${generation} of VM and resource is not a safe integer`);
  return { epoch, generation };
}

/** Longest text a frame carries. */
const REASON_LENGTH_MAX = 1024;

function commandFrame(commandId: string, step: PlanStep, pair: Pair, leaseMs: number): FrameOf<'command'> {
  return {
    type: 'command',
    commandId,
    vm: step.vm,
    resource: step.resource,
    pair,
    leaseMs,
    previous: step.from,
    target: step.to,
    floor: step.floor,
    ceiling: step.ceiling,
    mode: step.mode,
    reason: step.reason.slice(0, REASON_LENGTH_MAX),
  };
}
