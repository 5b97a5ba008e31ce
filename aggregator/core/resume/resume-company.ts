/**
 * When VMs of one rule are wanted together: a team that begins at another hour every day brings back the first few, and the others follow.
 * Pure. Input: spans of suspension of all of them; output: the moments at which several came back within a while, and how likely one that
 * is still suspended then is wanted soon.
 *
 * A moment is one at which at least two, and a quarter of those that had been suspended, came back within three quarters of an hour. Of each VM
 * it is counted how often it followed, newer moments more; one that never did is expected no sooner for what the others do.
 */
import type { SuspendedSpan } from './resume-times.ts';

const MINUTE_MS = 60_000;
const TOGETHER_MS = 45 * MINUTE_MS;
/** One coming in is not two. */
const APART_MS = 4 * 60 * MINUTE_MS;
const CAME_MIN = 2;
const SHARE_MIN = 0.25;
/** Moments looked back, and what each counts of the next newer one. */
const MOMENTS_MAX = 20;
const FADE = 0.9;
/** Before anything was seen: wanted once in fifty times, as sure of that as of two. */
const PRIOR = 0.02;
const PRIOR_WEIGHT = 2;

/** UTC ms, ascending. */
export type Moments = readonly number[];

export function comingsTogether(all: readonly (readonly SuspendedSpan[])[]): Moments {
  const changes: { atMs: number; came: boolean }[] = [];
  for (const spans of all) {
    for (const { fromMs, untilMs } of spans) {
      changes.push({ atMs: fromMs, came: false });
      if (untilMs !== null) changes.push({ atMs: untilMs, came: true });
    }
  }
  changes.sort((a, b) => a.atMs - b.atMs);
  const moments: number[] = [];
  let recent: number[] = [];
  let suspended = 0;
  for (const { atMs, came } of changes) {
    suspended += came ? -1 : 1;
    if (!came) continue;
    recent = [...recent.filter((one) => atMs - one < TOGETHER_MS), atMs];
    const share = recent.length / (recent.length + Math.max(0, suspended));
    if (recent.length < CAME_MIN || share < SHARE_MIN) continue;
    if (atMs - (moments.at(-1) ?? Number.NEGATIVE_INFINITY) >= APART_MS) moments.push(atMs);
  }
  return moments;
}

export interface CompanyPrediction {
  /** 0..1, that it is wanted within `withinMs` of the moment that is on; 0 = none is. */
  probability: number;
  /** Earlier moments it rests on, at which it was suspended, too. */
  moments: number;
}

export function followProbability(spans: readonly SuspendedSpan[], moments: Moments, nowMs: number, withinMs: number): CompanyPrediction {
  const current = moments.findLast((atMs) => atMs <= nowMs);
  if (current === undefined || nowMs - current >= TOGETHER_MS) return { probability: 0, moments: 0 };
  const earlier = moments.filter((atMs) => atMs < current).slice(-MOMENTS_MAX);
  let [hits, weights, seen, weight] = [0, 0, 0, 1];
  for (const atMs of earlier.toReversed()) {
    const span = spans.find(({ fromMs, untilMs }) => fromMs <= atMs && (untilMs ?? Number.POSITIVE_INFINITY) > atMs);
    if (span === undefined) continue;
    seen++;
    weights += weight;
    if (span.untilMs !== null && span.untilMs <= atMs + TOGETHER_MS + withinMs) hits += weight;
    weight *= FADE;
  }
  return { probability: (hits + PRIOR * PRIOR_WEIGHT) / (weights + PRIOR_WEIGHT), moments: seen };
}
