/**
 * Who is short on its host now, and when somebody is called. Input: each plan's shortages; output: what stands, and changes
 * to tell: a shortage that lasts longer than one plan, and its end. One plan's shortage is often over with the next.
 */
import type { Shortage } from '../core/plan/shortage.ts';
import type { ShortageView } from '../http/service.ts';

export interface ShortageChange {
  change: 'alert' | 'over';
  shortage: ShortageView;
}

/** Plans in a row before the administrator is called: loans and shrinks of the first may settle it. */
const PLANS_BEFORE_ALERT = 2;

export class ShortageWatch {
  #now = new Map<string, { view: ShortageView; plans: number }>();

  current(): ShortageView[] {
    return [...this.#now.values()].map(({ view }) => view);
  }

  plan(shortages: readonly Shortage[], nowMs: number): ShortageChange[] {
    const changes: ShortageChange[] = [];
    const next = new Map<string, { view: ShortageView; plans: number }>();
    for (const shortage of shortages) {
      const key = `${shortage.vm} ${shortage.resource}`;
      const known = this.#now.get(key);
      const alarming = shortage.measures.some(({ kind, done }) => kind === 'alert' && done);
      const plans = alarming ? (known?.plans ?? 0) + 1 : 0;
      const view: ShortageView = { ...shortage, sinceMs: known?.view.sinceMs ?? nowMs, alerted: known?.view.alerted ?? false };
      if (!view.alerted && plans >= PLANS_BEFORE_ALERT) {
        view.alerted = true;
        changes.push({ change: 'alert', shortage: view });
      }
      next.set(key, { view, plans });
    }
    for (const [key, { view }] of this.#now) if (!next.has(key) && view.alerted) changes.push({ change: 'over', shortage: view });
    this.#now = next;
    return changes;
  }
}
