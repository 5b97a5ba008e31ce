/**
 * Verdicts on one VM's changes as they come, and what follows from them. Input: applied changes, finished steps, signs that the
 * VM is held down, commands that were refused; output: a verdict on each change once its window is over (or when the next
 * change ends it), what to give back after harm and how long to leave it alone, and targets that cannot be reached.
 */
import { RESOURCES, type Resource, type Setting } from '../../../shared/resources.ts';
import { headline } from '../plan/plan.ts';
import { type Change, demandExplains, type EvidenceStep, evidenceOf, judge, notReached, type Verdict } from '../verdict/judge.ts';
import { type GiveBack, type KeptRests, readRests, shortReason } from './kept-rests.ts';
import { without } from './per-resource.ts';

export interface VerdictOptions {
  stepMs: number;
  /** Signs within this time after a shrink are laid to its charge; as much before it is compared with. */
  windowMs: number;
  /** No other shrink for so long after a harmful one; no other try at a target that could not be reached. */
  cooldownMs: number;
}

/** A target that could not be reached: nothing as far or farther is tried until then. */
export interface Infeasible {
  direction: 'grow' | 'shrink';
  /** Headline unit. */
  target: number;
  reason: string;
  untilMs: number;
}

interface Failures {
  direction: 'grow' | 'shrink';
  inARow: number;
  /** Rests so far: each is twice as long as the one before. */
  rests: number;
}

/** A window after a change and one before it: steps older than this many windows are forgotten. */
const WINDOWS_KEPT = 3;
/** One refusal may be bad luck (a job, a lease just over); the second of its kind is not. */
const FAILURES_MIN = 2;
/** A change is early in its step when so much of it is still to come: plans follow the end of a step by moments. */
const EARLY_SHARE = 0.65;
/** Rests double up to this many times. */
export const RESTS_MAX = 4;

export class Verdicts {
  readonly #options: VerdictOptions;
  #watches: Partial<Record<Resource, Change>> = {};
  readonly #steps: Partial<Record<Resource, EvidenceStep[]>> = {};
  #lastShrinks: Partial<Record<Resource, Change>> = {};
  #failures: Partial<Record<Resource, Failures>> = {};
  coolUntilMs: Partial<Record<Resource, number>> = {};
  rollback: Partial<Record<Resource, GiveBack>> = {};
  infeasible: Partial<Record<Resource, Infeasible>> = {};

  constructor(options: VerdictOptions) {
    this.#options = options;
  }

  /** A change was applied. It ends the watch over the one before, whose verdict comes back; growth settles what was to be given back. */
  applied(change: Change, heldMiB: number | null): Verdict | null {
    const { resource } = change;
    const ended = this.#end(resource, change.atMs, heldMiB);
    this.rollback = without(this.rollback, resource);
    if (change.direction === this.#failures[resource]?.direction) this.#failures = without(this.#failures, resource);
    this.#watches[resource] = change;
    if (change.direction === 'shrink') this.#lastShrinks[resource] = change;
    else this.#lastShrinks = without(this.#lastShrinks, resource);
    return ended;
  }

  step(resource: Resource, step: EvidenceStep): void {
    const steps = this.#steps[resource] ?? [];
    steps.push(step);
    while (steps[0]!.startMs < step.startMs - WINDOWS_KEPT * this.#options.windowMs) steps.shift();
    this.#steps[resource] = steps;
  }

  /** A sign of harm seen now, of a time that began at `sinceMs`, while `demand` was wanted. Answers the verdict when it is harm. */
  harmed(resource: Resource, since: { ms: number; sign: string; demand: number | null }, nowMs: number): Verdict | null {
    const change = this.#watches[resource];
    if (change === undefined || change.direction !== 'shrink' || since.ms < change.atMs) return null;
    if (nowMs - change.atMs > this.#options.windowMs || demandExplains(change, since.demand)) return null;
    this.#watches = without(this.#watches, resource);
    this.rollback[resource] = { to: change.from, reason: since.sign };
    this.coolUntilMs[resource] = nowMs + this.#options.cooldownMs;
    return { ...change, verdict: 'harmed', judgedAtMs: nowMs, reason: since.sign, ...this.#evidence(change) };
  }

  /** The change that is not judged yet, null = none. */
  watched(resource: Resource): Change | null {
    return this.#watches[resource] ?? null;
  }

  /** Null: the last change was none. */
  lastShrink(resource: Resource): Change | null {
    return this.#lastShrinks[resource] ?? null;
  }

  /** Somebody wants back what the last shrink took: as after harm, it is given back and rests. */
  takeBack(resource: Resource, why: string, nowMs: number): void {
    const change = this.#lastShrinks[resource];
    if (change === undefined) return;
    this.rollback[resource] = { to: change.from, reason: why };
    this.coolUntilMs[resource] = nowMs + this.#options.cooldownMs;
  }

  /** A command that was refused or failed at its target. */
  failed({ resource, direction, to }: Pick<Change, 'resource' | 'direction' | 'to'>, reason: string, nowMs: number): Infeasible | null {
    const known = this.#failures[resource];
    const failures = known?.direction === direction ? known : { direction, inARow: 0, rests: 0 };
    this.#failures[resource] = failures;
    const target = headline(to, Number.POSITIVE_INFINITY);
    // A weight is no amount that could be out of reach.
    return ++failures.inARow < FAILURES_MIN || !Number.isFinite(target) ? null : this.#rest(resource, failures, target, reason, nowMs);
  }

  /** Verdicts whose window is over. What they found out of reach is remembered. */
  due(nowMs: number, heldMiB: number | null): Verdict[] {
    return (Object.values(this.#watches) as Change[]).flatMap((change) => {
      if (nowMs - change.atMs <= this.#options.windowMs) return [];
      const short = notReached(change, change.resource === 'memory' ? heldMiB : null);
      if (short !== null) {
        const failures = this.#failures[change.resource] ?? { direction: 'shrink', inARow: FAILURES_MIN, rests: 0 };
        this.#failures[change.resource] = failures;
        this.#rest(change.resource, failures, headline(change.to, Number.POSITIVE_INFINITY), short, nowMs);
      }
      return this.#end(change.resource, nowMs, heldMiB) ?? [];
    });
  }

  /** Forgets what is over: a roll-back that found no room in all the cool-down is left to the forecast. */
  expire(nowMs: number): void {
    for (const [resource, untilMs] of Object.entries(this.coolUntilMs) as [Resource, number][]) {
      if (untilMs > nowMs) continue;
      this.coolUntilMs = without(this.coolUntilMs, resource);
      this.rollback = without(this.rollback, resource);
    }
    for (const [resource, { untilMs }] of Object.entries(this.infeasible) as [Resource, Infeasible][]) {
      if (untilMs <= nowMs) this.infeasible = without(this.infeasible, resource);
    }
  }

  /** What must outlive a restart. */
  kept(): KeptRests {
    const kept: KeptRests = { coolUntilMs: {}, rollback: {}, infeasible: {} };
    // Always in the same order: what is the same is the same text.
    for (const resource of RESOURCES) {
      const [coolUntilMs, back, tried] = [this.coolUntilMs[resource], this.rollback[resource], this.infeasible[resource]];
      if (coolUntilMs !== undefined) kept.coolUntilMs[resource] = coolUntilMs;
      if (back !== undefined) kept.rollback[resource] = { to: back.to, reason: shortReason(back.reason) };
      const rests = this.#failures[resource]?.rests ?? 1;
      if (tried !== undefined) kept.infeasible[resource] = { ...tried, reason: shortReason(tried.reason), rests };
    }
    return kept;
  }

  /** Of an earlier run, as `kept` told it at `writtenMs`: the longer rest of two holds, and what was changed since then is not given back. */
  bring(kept: unknown, writtenMs: unknown, nowMs: number, mayHaveHeld: (setting: Setting) => boolean): void {
    const { cooldownMs: coolMsMax } = this.#options;
    const infeasibleMsMax = coolMsMax * 2 ** RESTS_MAX;
    const found = readRests(kept, writtenMs, { nowMs, coolMsMax, infeasibleMsMax, restsMax: RESTS_MAX, mayHaveHeld });
    for (const [resource, untilMs] of Object.entries(found.coolUntilMs) as [Resource, number][]) {
      this.coolUntilMs[resource] = Math.max(untilMs, this.coolUntilMs[resource] ?? untilMs);
      const back = found.rollback[resource];
      if (back !== undefined && this.#watches[resource] === undefined) this.rollback[resource] ??= back;
    }
    for (const [resource, { rests, ...tried }] of Object.entries(found.infeasible) as [Resource, Infeasible & { rests: number }][]) {
      this.infeasible[resource] ??= tried;
      this.#failures[resource] ??= { direction: tried.direction, inARow: FAILURES_MIN, rests };
    }
  }

  #rest(resource: Resource, failures: Failures, target: number, reason: string, nowMs: number): Infeasible {
    const untilMs = nowMs + this.#options.cooldownMs * 2 ** Math.min(failures.rests++, RESTS_MAX);
    const found = { direction: failures.direction, target, reason, untilMs };
    this.infeasible[resource] = found;
    return found;
  }

  #end(resource: Resource, nowMs: number, heldMiB: number | null): Verdict | null {
    const change = this.#watches[resource];
    if (change === undefined) return null;
    this.#watches = without(this.#watches, resource);
    const { before, after } = this.#evidence(change);
    const judged = judge(change, before, after, resource === 'memory' ? heldMiB : null);
    return { ...change, ...judged, judgedAtMs: nowMs, before, after };
  }

  /**
   * The step in which the change came tells neither of before nor of after; but of a shrink early in it, it tells of after: what
   * holds the VM down in it came with the shrink.
   */
  #evidence({ resource, atMs, direction }: Change): Pick<Verdict, 'before' | 'after'> {
    const steps = this.#steps[resource] ?? [];
    const { windowMs, stepMs } = this.#options;
    const last = steps.findLastIndex(({ startMs }) => startMs < atMs);
    const early = direction === 'shrink' && last >= 0 && steps[last]!.startMs + stepMs - atMs >= EARLY_SHARE * stepMs;
    return {
      before: evidenceOf(steps.slice(0, Math.max(0, last)).filter(({ startMs }) => startMs >= atMs - windowMs)),
      after: evidenceOf(steps.slice(early ? last : last + 1).filter(({ startMs }) => startMs <= atMs + windowMs)),
    };
  }
}
