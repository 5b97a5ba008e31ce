/**
 * When a suspended VM is wanted again, learned from when it was wanted before. Pure, small, online. Input: spans in which it was
 * suspended; output: how likely it is to be wanted within a while from a moment on, and the likeliest moment of the next day.
 *
 * Asked is what happened in past windows that lie alike: at this time of the same weekday, and at this time of any day. Only windows
 * count that began while it was suspended, for nobody wants back what is there; newer ones count more. The weekday's own windows
 * outweigh the others as they grow in number (shrinkage of a share towards that of a larger group: Efron and Morris 1975), so that a
 * Saturday needs two weeks to be told from a Friday, and a VM used at any time is expected at none.
 */
import { followProbability, type Moments } from './resume-company.ts';
import { companyWords, resumePredictionWords } from './resume-words.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_DAYS = 7;
/** Days and weeks looked back. */
const DAYS_MAX = 14;
const WEEKS_MAX = 8;
/** A window counts this share of the one after it. */
const DAY_FADE = 0.9;
const WEEK_FADE = 0.85;
/** All days together weigh as much as this many windows of the same weekday. */
const DAYS_WEIGHT = 1;
/** Before anything was seen: wanted once in fifty windows, as sure of that as of one window. */
const PRIOR = 0.02;
const PRIOR_WEIGHT = 1;
/** Spans kept: those of eight weeks with four a day. */
const SPANS_MAX = 256;
const SCAN_STEP_MS = HOUR_MS / 4;

/** UTC ms; `untilMs` null = it is suspended now. */
export interface SuspendedSpan {
  fromMs: number;
  untilMs: number | null;
}

export interface ResumePrediction {
  /** Ends of suspensions that it rests on. */
  resumes: number;
  /** 0..1, that it is wanted within `withinMs` of now. */
  probability: number;
  withinMs: number;
  /** Within a day; null = no moment of it stands out. */
  likeliestAtMs: number | null;
  text: string;
}

/** Below that no moment stands out. */
const LIKELY_MIN = 0.3;

/** The spans with one more end, or one more beginning. */
export function noteSpan(spans: readonly SuspendedSpan[], atMs: number, suspended: boolean): SuspendedSpan[] {
  const last = spans.at(-1);
  const open = last !== undefined && last.untilMs === null;
  if (suspended === open) return [...spans];
  const next = suspended ? [...spans, { fromMs: atMs, untilMs: null }] : [...spans.slice(0, -1), { fromMs: last!.fromMs, untilMs: atMs }];
  return next.slice(-SPANS_MAX);
}

/** That it is wanted between `fromMs` and `fromMs + withinMs`, if it is suspended then; 0..1. */
export function resumeProbability(spans: readonly SuspendedSpan[], fromMs: number, withinMs: number): number {
  const days = share(spans, fromMs, withinMs, DAY_MS, DAYS_MAX, DAY_FADE);
  const weeks = share(spans, fromMs, withinMs, WEEK_DAYS * DAY_MS, WEEKS_MAX, WEEK_FADE);
  const anyDay = (days.hits + PRIOR * PRIOR_WEIGHT) / (days.windows + PRIOR_WEIGHT);
  return (weeks.hits + anyDay * DAYS_WEIGHT) / (weeks.windows + DAYS_WEIGHT);
}

/** `moments`: at which others of its rule came back together. */
export function predictResume(spans: readonly SuspendedSpan[], nowMs: number, withinMs: number, moments: Moments = []): ResumePrediction {
  const resumes = spans.filter(({ untilMs }) => untilMs !== null).length;
  const byTime = resumeProbability(spans, nowMs, withinMs);
  const company = followProbability(spans, moments, nowMs, withinMs);
  const probability = Math.max(byTime, company.probability);
  let likeliest = { atMs: nowMs, probability: 0 };
  for (let atMs = nowMs; atMs < nowMs + DAY_MS; atMs += SCAN_STEP_MS) {
    const here = resumeProbability(spans, atMs, 2 * SCAN_STEP_MS);
    if (here > likeliest.probability) likeliest = { atMs: atMs + SCAN_STEP_MS, probability: here };
  }
  const likeliestAtMs = likeliest.probability >= LIKELY_MIN ? likeliest.atMs : null;
  return {
    resumes,
    probability,
    withinMs,
    likeliestAtMs,
    text: `${resumePredictionWords(resumes, byTime, withinMs, likeliestAtMs)}${companyWords(company)}`,
  };
}

function share(
  spans: readonly SuspendedSpan[],
  fromMs: number,
  withinMs: number,
  periodMs: number,
  countMax: number,
  fade: number,
): { hits: number; windows: number } {
  let [hits, windows, weight] = [0, 0, 1];
  for (let back = 1; back <= countMax; back++, weight *= fade) {
    const beganMs = fromMs - back * periodMs;
    const span = spans.find((one) => one.fromMs <= beganMs && (one.untilMs ?? Number.POSITIVE_INFINITY) > beganMs);
    if (span === undefined) continue;
    windows += weight;
    if (span.untilMs !== null && span.untilMs <= beganMs + withinMs) hits += weight;
  }
  return { hits, windows };
}
