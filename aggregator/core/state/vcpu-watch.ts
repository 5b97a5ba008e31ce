/**
 * How many vCPUs of one VM are online by its host's word, and what became of each change of that: judged as a change of so many
 * cores, by the same judge as any resource. Input: inventories, orders that ended, finished steps, signs that the VM is held
 * down; output: verdicts, what to put back after harm, how long to take no more, and numbers that cannot be reached.
 */
import type { SettingOf } from '../../../shared/resources.ts';
import type { VmSnapshot } from '../plan/plan.ts';
import type { Change, EvidenceStep, Verdict } from '../verdict/judge.ts';
import type { KeptRests } from './kept-rests.ts';
import { without } from './per-resource.ts';
import { type Infeasible, type VerdictOptions, Verdicts } from './verdicts.ts';

export interface VcpuChange {
  from: number;
  to: number;
  /** Null: not ours (the host brought them back). */
  planId: string | null;
}

/** Taking vCPUs offline rests so many times as long as taking of a cap, and so it does after harm: it stops the guest for a moment. */
export const VCPU_RESTS = 12;

export class VcpuWatch {
  readonly #verdicts: Verdicts;
  /** By its host's word, and since when, by our monotonic clock; null = their number is not to be changed. */
  #known: { online: number; sinceMonoMs: number } | null = null;
  /** What was taken is back before it was judged, or nobody knows: later steps tell nothing of it. */
  #undone = false;

  constructor(options: VerdictOptions) {
    this.#verdicts = new Verdicts({ ...options, cooldownMs: VCPU_RESTS * options.cooldownMs });
  }

  get online(): number | null {
    return this.#known?.online ?? null;
  }

  /** Of an inventory. First seen counts as changed: whoever decided before may just have done so. */
  note(online: number | null, nowMonoMs: number): void {
    const watched = this.#verdicts.watched('cpu');
    if (watched?.direction === 'shrink' && (online === null || online > vcpusOf(watched.to))) this.#undone = true;
    if (online === null) this.#known = null;
    else if (this.#known?.online !== online) this.#known = { online, sinceMonoMs: nowMonoMs };
  }

  /** An order about them failed: as long a rest as after one that did not. Answers what is out of reach by now; more is never out of reach. */
  failed({ from, to }: VcpuChange, reason: string, nowMs: number, nowMonoMs: number): Infeasible | null {
    if (this.#known !== null) this.#known.sinceMonoMs = nowMonoMs;
    if (to >= from) return null;
    return this.#verdicts.failed({ resource: 'cpu', direction: 'shrink', to: cores(to) }, reason, nowMs);
  }

  /** Their number was changed. It ends the watch over the change before, whose verdict comes back. */
  applied({ from, to, planId }: VcpuChange, nowMs: number): Verdict | null {
    if (from === to) return null;
    const direction = to > from ? ('grow' as const) : ('shrink' as const);
    const change = { resource: 'cpu', direction, from: cores(from), to: cores(to), atMs: nowMs, planId } as const;
    const ended = this.#verdicts.applied(change, null);
    this.#undone = false;
    return ended;
  }

  step(step: EvidenceStep): void {
    if (!this.#undone && this.#known !== null) this.#verdicts.step('cpu', step);
  }

  /** It was held down in a step that began at `since.ms`. Answers the verdict when it is harm; once they are back, it is not for want of them. */
  harmed(since: { ms: number; sign: string; demand: number | null }, nowMs: number): Verdict | null {
    return this.#undone ? null : this.#verdicts.harmed('cpu', since, nowMs);
  }

  /** The host saw that more are needed, and has brought all back. Answers the verdict when it is harm. */
  needed(sign: string, nowMs: number): Verdict | null {
    return this.#verdicts.harmed('cpu', { ms: nowMs, sign, demand: null }, nowMs);
  }

  /** The last taking; null = the last change was none. */
  get lastTaken(): { from: number; to: number; atMs: number } | null {
    const change = this.#verdicts.lastShrink('cpu');
    return change === null ? null : { from: vcpusOf(change.from), to: vcpusOf(change.to), atMs: change.atMs };
  }

  /** Somebody wants back what was taken last: as after harm, it is given back and rests. */
  takeBack(why: string, nowMs: number): void {
    this.#verdicts.takeBack('cpu', why, nowMs);
  }

  /** All are online again: nothing is left to be put back. */
  allBack(): void {
    this.#verdicts.rollback = without(this.#verdicts.rollback, 'cpu');
    this.#undone = this.#verdicts.watched('cpu')?.direction === 'shrink';
  }

  /** Verdicts whose window is over. */
  due(nowMs: number): Verdict[] {
    const verdicts = this.#verdicts.due(nowMs, null);
    if (verdicts.length > 0) this.#undone = false;
    return verdicts;
  }

  expire(nowMs: number): void {
    this.#verdicts.expire(nowMs);
  }

  /** What must outlive a restart. */
  kept(): KeptRests {
    return this.#verdicts.kept();
  }

  /** Of an earlier run. How many are online is known by the host's word alone. */
  bring(kept: unknown, writtenMs: unknown, nowMs: number, vcpus: number): void {
    this.#verdicts.bring(kept, writtenMs, nowMs, (to) => Number.isInteger(vcpusOf(to)) && vcpusOf(to) > 0 && vcpusOf(to) <= vcpus);
  }

  /** As plans look at it; null = their number is not to be changed. */
  view(nowMs: number, nowMonoMs: number): NonNullable<VmSnapshot['vcpusOnline']> | null {
    if (this.#known === null) return null;
    const { online, sinceMonoMs } = this.#known;
    const { coolUntilMs, rollback, infeasible } = this.#verdicts;
    const back = rollback.cpu === undefined ? 0 : vcpusOf(rollback.cpu.to);
    return {
      online,
      sinceMs: nowMs - (nowMonoMs - sinceMonoMs),
      ...((coolUntilMs.cpu ?? 0) > nowMs ? { coolUntilMs: coolUntilMs.cpu } : {}),
      ...(back > online ? { rollback: { to: back, reason: rollback.cpu!.reason } } : {}),
      ...((infeasible.cpu?.untilMs ?? 0) > nowMs ? { infeasible: infeasible.cpu } : {}),
    };
  }
}

/** So many vCPUs run so many cores: what the judge compares demand with. */
function cores(vcpus: number): SettingOf<'cpu'> {
  return { resource: 'cpu', weight: 100, capCores: vcpus };
}

/** How many vCPUs a judged change of them was from, or to. */
export function vcpusOf(setting: Change['to']): number {
  return setting.resource === 'cpu' ? (setting.capCores ?? 0) : 0;
}
