/**
 * What somebody in a guest expects to need. Hints in, those that still count out. One per resource and time: bounded, and
 * forgotten when its time is over. Times are ours: the guest says only how long from now.
 */
import type { Resource } from '../../../shared/resources.ts';

export interface HintView {
  resource: Resource;
  /** Headline unit. */
  amount: number;
  fromMs: number;
  untilMs: number;
}

/** A guest that hints more often than this is answered with its latest. */
const HINTS_MAX = 8;

export class Hints {
  #hints: (HintView & { id: string })[] = [];

  /** The same hint again, after a reconnect, changes nothing. */
  add(id: string, hint: HintView): void {
    if (this.#hints.some((each) => each.id === id)) return;
    this.#hints.push({ id, ...hint });
    if (this.#hints.length > HINTS_MAX) this.#hints.shift();
  }

  live(nowMs: number): HintView[] {
    this.#hints = this.#hints.filter(({ untilMs }) => untilMs > nowMs);
    return this.#hints.map(({ id: _id, ...hint }) => hint);
  }
}
