/**
 * Goal: when a suspended VM is wanted again is foretold where it can be, and costs little where it cannot; what a policy asks about
 * suspending is done at its time and not otherwise. Probabilities stay probabilities whatever the calendar.
 */
import fc from 'fast-check';
import t from 'tap';
import type { SuspendRule } from '../../aggregator/core/plan/suspend-rule.ts';
import { comingsTogether, followProbability } from '../../aggregator/core/resume/resume-company.ts';
import { noteSpan, predictResume, resumeProbability, type SuspendedSpan } from '../../aggregator/core/resume/resume-times.ts';
import { type SuspendSubject, suspendWish } from '../../aggregator/core/resume/suspend-policy.ts';
import { createPrng } from '../../shared/prng.ts';
import { type Calendar, liveThrough, liveTogether } from '../support/resume-calendar.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MONDAY_MS = Date.UTC(2026, 0, 5);
const SEEDS = [1, 2, 3];

t.test('an office is foretold, chance costs little', (t) => {
  const rows = (['office', 'random'] as const satisfies readonly Calendar[]).flatMap((calendar) =>
    SEEDS.map((seed) => ({ calendar, seed, ...liveThrough(calendar, 20, 4, createPrng(seed)) })),
  );
  for (const { calendar, seed, hitShare, leadMinutesMedian, wastedPerWeek, heldShare } of rows) {
    const words = `${calendar}, seed ${seed}: ${JSON.stringify({ hitShare, leadMinutesMedian, wastedPerWeek, heldShare })}`;
    t.comment(words);
    if (calendar === 'office') t.ok(hitShare >= 0.95 && leadMinutesMedian >= 10 && wastedPerWeek <= 1, words);
    else t.ok(wastedPerWeek <= 1 && heldShare <= 0.02, words);
  }
  t.end();
});

t.test('a team that begins at another hour each day is foretold by its first ones; those that only share a rule cost little', (t) => {
  for (const seed of SEEDS) {
    const [team, random] = [liveTogether('team', 16, 4, createPrng(seed)), liveTogether('random', 16, 4, createPrng(seed))];
    t.comment(`seed ${seed}: team ${JSON.stringify(team)}, random ${JSON.stringify(random)}`);
    t.ok(team.hitShare >= 0.4 && team.wastedPerWeek <= 1.5, `team: ${JSON.stringify(team)}`);
    t.ok(random.wastedPerWeek <= 1 && random.heldShare <= 0.02, `random: ${JSON.stringify(random)}`);
  }
  t.end();
});

t.test('probabilities, whatever the calendar; spans alternate', (t) => {
  const moments = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 * 24 * 60 }), fc.boolean()), { maxLength: 80 });
  fc.assert(
    fc.property(moments, fc.integer({ min: 1, max: 48 * 60 }), (steps, withinMinutes) => {
      let spans: SuspendedSpan[] = [];
      let atMs = MONDAY_MS;
      for (const [minutes, suspended] of steps) {
        atMs += minutes * MINUTE_MS;
        spans = noteSpan(spans, atMs, suspended);
      }
      for (const [index, { fromMs, untilMs }] of spans.entries()) {
        if ((untilMs === null) !== (index === spans.length - 1) && untilMs === null) return false;
        if (untilMs !== null && untilMs < fromMs) return false;
      }
      const near = resumeProbability(spans, atMs, withinMinutes * MINUTE_MS);
      const far = resumeProbability(spans, atMs, 2 * withinMinutes * MINUTE_MS);
      const moments = comingsTogether([spans, spans.map((span) => ({ ...span, fromMs: span.fromMs - MINUTE_MS }))]);
      if (moments.some((one, i) => i > 0 && one <= moments[i - 1]!)) return false;
      const company = followProbability(spans, moments, atMs, withinMinutes * MINUTE_MS).probability;
      const later = followProbability(spans, moments, atMs, 2 * withinMinutes * MINUTE_MS).probability;
      if (!(company >= 0 && company <= later && later <= 1)) return false;
      return near >= 0 && near <= far && far <= 1;
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a prediction says what it rests on', (t) => {
  t.match(predictResume([], MONDAY_MS, HOUR_MS), { resumes: 0, likeliestAtMs: null, text: /never brought back/ });
  let spans: SuspendedSpan[] = [];
  for (let day = 0; day < 5; day++) {
    spans = noteSpan(spans, MONDAY_MS + day * DAY_MS - 6 * HOUR_MS, true);
    spans = noteSpan(spans, MONDAY_MS + day * DAY_MS + 8 * HOUR_MS, false);
  }
  spans = noteSpan(spans, MONDAY_MS + 5 * DAY_MS - 6 * HOUR_MS, true);
  const made = predictResume(spans, MONDAY_MS + 5 * DAY_MS, HOUR_MS);
  t.match(made, { resumes: 5, text: /by 5 earlier resumes .* likeliest at about 2026-01-10 0[78]:/ });
  t.ok(Math.abs((made.likeliestAtMs ?? 0) - (MONDAY_MS + 5 * DAY_MS + 8 * HOUR_MS)) <= HOUR_MS / 2, 'at eight');
  t.end();
});

t.test('what a policy asks, at its time', (t) => {
  const rule: Omit<SuspendRule, 'match' | 'matches'> = {
    name: 'desktops',
    anyHost: false,
    idle: { forMs: HOUR_MS, cpuCores: 0.05, bytesPerSecond: 4096 },
    schedules: [{ suspendMinuteOfWeek: 4 * 1440 + 18 * 60, resumeMinuteOfWeek: 7 * 60, timeZone: 'Europe/Berlin' }],
    prefetch: { leadMs: 30 * MINUTE_MS, probability: 0.5, holdMs: HOUR_MS, bytesPerSecondMax: null, priority: null, learn: null },
  };
  const up: SuspendSubject = { phase: 'up', idleMs: null, settledMs: DAY_MS, prediction: null };
  const wish = (vm: Partial<SuspendSubject>, atMs: number): string | undefined => suspendWish(rule, { ...up, ...vm }, atMs)?.action;
  const noon = MONDAY_MS + 12 * HOUR_MS;
  const likely = { resumes: 9, probability: 0.9, withinMs: HOUR_MS, likeliestAtMs: null, text: 'soon' };
  t.equal(wish({}, noon), undefined);
  t.equal(wish({ idleMs: 59 * MINUTE_MS }, noon), undefined);
  t.equal(wish({ idleMs: HOUR_MS }, noon), 'suspend');
  t.equal(wish({ idleMs: HOUR_MS, settledMs: 5 * MINUTE_MS }, noon), undefined, 'it was brought back just now');
  t.equal(wish({ phase: 'suspended', prediction: likely }, noon), 'prefetch');
  t.equal(wish({ phase: 'prepared', prediction: likely }, noon), undefined);
  const friday = MONDAY_MS + 4 * DAY_MS + 17 * HOUR_MS;
  t.equal(wish({}, friday + 3 * MINUTE_MS), 'suspend', 'eighteen in Berlin, in winter');
  t.equal(wish({ settledMs: MINUTE_MS }, friday + 3 * MINUTE_MS), undefined, 'somebody brought it back after that');
  t.equal(wish({}, friday + 11 * MINUTE_MS), undefined);
  t.equal(wish({ phase: 'suspended' }, MONDAY_MS + 6 * HOUR_MS), 'resume');
  t.equal(wish({ phase: 'between' }, MONDAY_MS + 6 * HOUR_MS), undefined);
  t.equal(wish({ phase: 'suspended' }, MONDAY_MS + 5.6 * HOUR_MS), 'prefetch', 'its schedule brings it back within half an hour');
  t.equal(wish({ phase: 'suspended' }, MONDAY_MS + 5.4 * HOUR_MS), undefined, 'not yet');
  t.end();
});
