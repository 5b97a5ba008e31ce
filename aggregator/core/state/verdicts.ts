/**
 * Did a shrink do harm? Input: applied changes, and later signs that the VM is held down; output: what to give back and how
 * long to leave it alone. One watch per resource, from the change until its window is over.
 */
import type { Resource, Setting } from '../../../shared/resources.ts';

export interface VerdictOptions {
  /** Signs within this time after a shrink are laid to its charge. */
  windowMs: number;
  /** No other shrink for so long after a harmful one. */
  cooldownMs: number;
}

interface Watch {
  before: Setting;
  atMs: number;
}

export class Verdicts {
  readonly #options: VerdictOptions;
  readonly #watches: Partial<Record<Resource, Watch>> = {};
  readonly coolUntilMs: Partial<Record<Resource, number>> = {};
  readonly rollback: Partial<Record<Resource, { to: Setting; reason: string }>> = {};

  constructor(options: VerdictOptions) {
    this.#options = options;
  }

  /** A change was applied. Growth ends the watch, and what was to be given back is settled by it. */
  applied(resource: Resource, before: Setting, direction: 'grow' | 'shrink', nowMs: number): void {
    delete this.rollback[resource];
    if (direction === 'shrink') this.#watches[resource] = { before, atMs: nowMs };
    else delete this.#watches[resource];
  }

  /** A sign of harm seen now, of a time that began at `sinceMs`. Answers the verdict when there is a new one. */
  harmed(resource: Resource, sinceMs: number, sign: string, nowMs: number): { to: Setting; reason: string } | null {
    const watch = this.#watches[resource];
    if (watch === undefined || sinceMs < watch.atMs) return null;
    delete this.#watches[resource];
    if (nowMs - watch.atMs > this.#options.windowMs) return null;
    const verdict = { to: watch.before, reason: sign };
    this.rollback[resource] = verdict;
    this.coolUntilMs[resource] = nowMs + this.#options.cooldownMs;
    return verdict;
  }

  /** Forgets what is over: a roll-back that found no room in all the cool-down is left to the forecast. */
  expire(nowMs: number): void {
    for (const [resource, untilMs] of Object.entries(this.coolUntilMs) as [Resource, number][]) {
      if (untilMs > nowMs) continue;
      delete this.coolUntilMs[resource];
      delete this.rollback[resource];
    }
  }
}
