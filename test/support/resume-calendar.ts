/**
 * A VM's suspensions over weeks, by an office's calendar or by chance, lived through with the prediction deciding what is made ready.
 * Pure. Input: a calendar, weeks, a generator; output: how many resumes found the VM ready, how long before, and what it cost.
 */
import { comingsTogether, followProbability, type Moments } from '../../aggregator/core/resume/resume-company.ts';
import { noteSpan, resumeProbability, type SuspendedSpan } from '../../aggregator/core/resume/resume-times.ts';
import type { Prng } from '../../shared/prng.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** A Monday. */
const START_MS = Date.UTC(2026, 0, 5);
const LOOK_MS = 5 * MINUTE_MS;
/** As policies have it by default. */
const POLICY = { leadMs: 30 * MINUTE_MS, probability: 0.5, holdMs: HOUR_MS };

export type Calendar = 'office' | 'random';

export interface CalendarFigures {
  resumes: number;
  /** Of them, that found the VM ready. */
  hitShare: number;
  /** Of those, how long it had been ready, median. */
  leadMinutesMedian: number;
  /** Times it was made ready for nothing, per week, and of all times. */
  wastedPerWeek: number;
  wastedShare: number;
  /** Of the time suspended, spent holding memory. */
  heldShare: number;
}

/** From when to when it is suspended, in order. */
export function suspensionsOf(calendar: Calendar, weeks: number, prng: Prng): { fromMs: number; untilMs: number }[] {
  const endMs = START_MS + 7 * weeks * DAY_MS;
  const spans: { fromMs: number; untilMs: number }[] = [];
  let fromMs = START_MS - 6 * HOUR_MS;
  while (fromMs < endMs) {
    let untilMs: number;
    let backMs: number;
    if (calendar === 'office') {
      const days = [...Array(4).keys()].map((day) => START_MS + (Math.floor((fromMs - START_MS) / DAY_MS) + 1 + day) * DAY_MS);
      const day = days.find((dayMs) => ![0, 6].includes(new Date(dayMs).getUTCDay()))!;
      // At eight, some minutes earlier or later; now and then somebody is away.
      untilMs = day + 8 * HOUR_MS + (prng.next() + prng.next() - 1) * 20 * MINUTE_MS + (prng.next() < 0.05 ? DAY_MS : 0);
      backMs = untilMs + 10 * HOUR_MS;
    } else {
      untilMs = fromMs - Math.log(1 - prng.next()) * 14 * HOUR_MS;
      backMs = untilMs - Math.log(1 - prng.next()) * 6 * HOUR_MS;
    }
    spans.push({ fromMs, untilMs });
    fromMs = backMs;
  }
  return spans;
}

/** A team that begins together at any hour of each day, the members within forty minutes of one another; from when to when each is suspended. */
export function teamSuspensions(members: number, weeks: number, prng: Prng): { fromMs: number; untilMs: number }[][] {
  const spans: { fromMs: number; untilMs: number }[][] = Array.from({ length: members }, () => []);
  const fromMs = spans.map(() => START_MS - 6 * HOUR_MS);
  for (let day = 0; day < 7 * weeks; day++) {
    const begins = START_MS + day * DAY_MS + (4 + prng.next() * 10) * HOUR_MS;
    for (const [member, own] of spans.entries()) {
      // Now and then somebody is away.
      if (prng.next() < 0.05) continue;
      const untilMs = begins + (prng.next() + prng.next() - 1) * 20 * MINUTE_MS;
      own.push({ fromMs: fromMs[member]!, untilMs });
      fromMs[member] = untilMs + 6 * HOUR_MS;
    }
  }
  return spans;
}

/** The members of a team, or VMs that come back by chance, each with what the others do; figures of all together. */
export function liveTogether(calendar: 'team' | 'random', weeks: number, learningWeeks: number, prng: Prng): CalendarFigures {
  const all = calendar === 'team' ? teamSuspensions(8, weeks, prng) : Array.from({ length: 8 }, () => suspensionsOf('random', weeks, prng));
  // A moment is made by what came before it alone: what happens later does not tell.
  const moments = comingsTogether(all);
  const figures = all.map((spans) => livedThrough(spans, weeks, learningWeeks, moments));
  const mean = (of: (one: CalendarFigures) => number): number => figures.reduce((sum, one) => sum + of(one), 0) / figures.length;
  return {
    ...{ resumes: mean(({ resumes }) => resumes), hitShare: mean(({ hitShare }) => hitShare) },
    ...{ leadMinutesMedian: mean(({ leadMinutesMedian }) => leadMinutesMedian), wastedPerWeek: mean(({ wastedPerWeek }) => wastedPerWeek) },
    ...{ wastedShare: mean(({ wastedShare }) => wastedShare), heldShare: mean(({ heldShare }) => heldShare) },
  };
}

/** What is learnt in the first weeks counts for nothing. */
export function liveThrough(calendar: Calendar, weeks: number, learningWeeks: number, prng: Prng): CalendarFigures {
  return livedThrough(suspensionsOf(calendar, weeks, prng), weeks, learningWeeks, []);
}

function livedThrough(
  all: readonly { fromMs: number; untilMs: number }[],
  weeks: number,
  learningWeeks: number,
  moments: Moments,
): CalendarFigures {
  const countedFromMs = START_MS + 7 * learningWeeks * DAY_MS;
  let known: SuspendedSpan[] = [];
  const leads: number[] = [];
  let [resumes, made, wasted, heldMs, suspendedMs] = [0, 0, 0, 0, 0];
  for (const { fromMs, untilMs } of all) {
    known = noteSpan(known, fromMs, true);
    const counts = fromMs >= countedFromMs;
    let readySinceMs: number | null = null;
    let restUntilMs = 0;
    for (let nowMs = fromMs; nowMs < untilMs; nowMs += LOOK_MS) {
      if (readySinceMs !== null && nowMs - readySinceMs >= POLICY.holdMs) {
        if (counts) [wasted, heldMs] = [wasted + 1, heldMs + POLICY.holdMs];
        [readySinceMs, restUntilMs] = [null, nowMs + POLICY.holdMs];
      }
      if (readySinceMs !== null || nowMs < restUntilMs) continue;
      const byCompany = followProbability(known, moments, nowMs, POLICY.leadMs).probability;
      if (Math.max(byCompany, resumeProbability(known, nowMs, POLICY.leadMs)) < POLICY.probability) continue;
      readySinceMs = nowMs;
      if (counts) made++;
    }
    known = noteSpan(known, untilMs, false);
    if (!counts) continue;
    resumes++;
    suspendedMs += untilMs - fromMs;
    if (readySinceMs === null) continue;
    leads.push((untilMs - readySinceMs) / MINUTE_MS);
    heldMs += untilMs - readySinceMs;
  }
  const median = leads.toSorted((a, b) => a - b)[Math.floor(leads.length / 2)] ?? 0;
  return {
    ...{ resumes, hitShare: resumes === 0 ? 0 : leads.length / resumes, leadMinutesMedian: median },
    ...{ wastedPerWeek: wasted / (weeks - learningWeeks), wastedShare: made === 0 ? 0 : wasted / made },
    heldShare: suspendedMs === 0 ? 0 : heldMs / suspendedMs,
  };
}
