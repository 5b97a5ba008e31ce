/**
 * What people said of a VM's incidents, and what follows for the next ones. Input: a word on an incident; output: how much more
 * evidence it takes, and whether an incident of a kind is expected at a time of day. A few numbers, bounded.
 */
import type { IncidentKind } from './incident.ts';

export const FEEDBACKS = ['false alarm', 'expected'] as const;
export type Feedback = (typeof FEEDBACKS)[number];

/** Evidence asked for grows by so much with each false alarm, up to so many times: a VM is never shut out for good. */
const TOLERANCE_STEP = 1.4;
const TOLERANCE_MAX = 4;
/** Expected incidents remembered. */
const EXPECTED_MAX = 8;
/** The same time of day, give or take. */
const NEAR_MS = 60 * 60_000;
const DAY_MS = 86_400_000;

interface Expected {
  kind: IncidentKind;
  /** When the one that was said to be expected began. */
  atMs: number;
}

export class Tuning {
  #tolerance = 1;
  #expected: Expected[] = [];

  /** So many times the evidence that opens an incident elsewhere. */
  get tolerance(): number {
    return this.#tolerance;
  }

  learn(feedback: Feedback, kind: IncidentKind, atMs: number): void {
    if (feedback === 'false alarm') this.#tolerance = Math.min(TOLERANCE_MAX, this.#tolerance * TOLERANCE_STEP);
    else this.#expected = [...this.#expected, { kind, atMs }].slice(-EXPECTED_MAX);
  }

  /** Why an incident of this kind that begins now needs nobody, or null. A spike may yet become any kind. */
  expects(kind: IncidentKind, atMs: number): string | null {
    const found = this.#expected.find((one) => {
      const apart = (((atMs - one.atMs) % DAY_MS) + DAY_MS) % DAY_MS;
      return (one.kind === kind || kind === 'spike') && Math.min(apart, DAY_MS - apart) <= NEAR_MS;
    });
    return found ? `it was said to be expected at this time of day (${found.kind})` : null;
  }

  get stateBytes(): number {
    return 8 + this.#expected.length * 16;
  }

  toJSON(): { tolerance: number; expected: Expected[] } {
    return { tolerance: this.#tolerance, expected: this.#expected };
  }

  restore({ tolerance, expected }: { tolerance: number; expected: Expected[] }): void {
    this.#tolerance = tolerance;
    this.#expected = expected;
  }
}
