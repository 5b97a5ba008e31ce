/**
 * Which steps of a VM may teach its models. A VM that boots, and one that has just become ready (programs compile, caches
 * fill), shows what happens once, not what will come back: a forecaster that has seen few days would take it for a habit.
 * Kubernetes' autoscalers leave out a pod's start for the same reason (horizontal-pod-autoscaler-cpu-initialization-period).
 * Input: state and steps, times in ms; output: taught or not.
 */
import type { VmState } from '../../../shared/resources.ts';

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
  teaches(startMs: number, stepMs: number, state: VmState): boolean {
    if (state === 'launching') this.#fromMs = startMs + stepMs + this.#settleMs;
    this.#fromMs ??= startMs + this.#settleMs;
    return startMs >= this.#fromMs;
  }
}
