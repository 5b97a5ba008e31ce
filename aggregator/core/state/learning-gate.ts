/**
 * Which steps of a VM may teach its models. A VM that boots, and one that has just become ready (programs compile, caches
 * fill), shows what happens once, not what will come back: a forecaster that has seen few days would take it for a habit.
 * Kubernetes' autoscalers leave out a pod's start for the same reason (horizontal-pod-autoscaler-cpu-initialization-period).
 * Nor does a VM teach while something is wrong with it, unless it lasts: then that is what it does now. Input: state and steps,
 * times in ms; output: taught or not.
 */
import type { VmState } from '../../../shared/resources.ts';
import type { VmIncident } from '../plan/plan.ts';

/** What is wrong for longer than so many steps (a quarter of a day of five-minute ones) is how things are. */
const ODD_STEPS_MAX = 72;

export class LearningGate {
  readonly #settleMs: number;
  #fromMs: number | null = null;

  /** `settleMs`: how long after a VM became ready, or was first seen, its steps teach nothing. */
  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  /** Its models come from before: it is known already. */
  open(): void {
    this.#fromMs = Number.NEGATIVE_INFINITY;
  }

  /** May the step that began at `startMs` teach? Steps come in the order of their time. */
  teaches(startMs: number, stepMs: number, state: VmState, incident: Pick<VmIncident, 'sinceMs' | 'vouched'> | null = null): boolean {
    if (state === 'launching') this.#fromMs = startMs + stepMs + this.#settleMs;
    this.#fromMs ??= startMs + this.#settleMs;
    // A guest's own word keeps nobody from learning what it does.
    const odd = incident?.vouched === true && startMs >= incident.sinceMs && startMs - incident.sinceMs < ODD_STEPS_MAX * stepMs;
    return startMs >= this.#fromMs && !odd;
  }
}
