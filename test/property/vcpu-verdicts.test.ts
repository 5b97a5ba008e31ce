/**
 * Goal: whatever comes in which order, each change of how many vCPUs are online gets one verdict at most and, left alone, one; only
 * what was seen after a taking is harm; then all that it took is owed back and nothing is taken for the whole rest. Plans and the
 * lint keep to it: nothing is taken in the rest, what is owed is given, and what could not be reached is not tried.
 */
import fc from 'fast-check';
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { VcpusOnline } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { VcpuWatch, vcpusOf } from '../../aggregator/core/state/vcpu-watch.ts';
import type { Verdict } from '../../aggregator/core/verdict/judge.ts';
import { createPrng } from '../../shared/prng.ts';
import { demandOf, forecastOf, hostOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const STEP_MS = 5000;
const OPTIONS = { stepMs: STEP_MS, windowMs: 10_000, cooldownMs: 30_000 };
/** Twelve rests of a cap. */
const REST_MS = 360_000;
const VCPUS = 8;

type Act =
  | { kind: 'order'; to: number; outcome: 'applied' | 'refused' }
  | { kind: 'step'; demand: number | null; suppressed: boolean }
  | { kind: 'needed' }
  | { kind: 'unseen' }
  | { kind: 'wait'; ms: number };

const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('order' as const),
      to: fc.integer({ min: 1, max: VCPUS }),
      outcome: fc.constantFrom('applied' as const, 'applied' as const, 'refused' as const),
    }),
    fc.record({
      kind: fc.constant('step' as const),
      demand: fc.option(fc.double({ min: 0, max: VCPUS, noNaN: true }), { nil: null }),
      suppressed: fc.boolean(),
    }),
    fc.constant({ kind: 'needed' as const }),
    fc.constant({ kind: 'unseen' as const }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
  ),
  { maxLength: 40 },
);

interface Told {
  changes: { from: number; to: number; atMs: number }[];
  verdicts: (Verdict & { toldAtMs: number })[];
  /** Times at which it was held down or needed more. */
  signsMs: number[];
  refusals: number;
  watch: VcpuWatch;
  nowMs: number;
}

/** One VM's history, as live state tells it to the watch. */
function lived(history: readonly Act[], check: (told: Told) => void = () => undefined): Told {
  const told: Told = { changes: [], verdicts: [], signsMs: [], refusals: 0, watch: new VcpuWatch(OPTIONS), nowMs: 1_000_000 };
  const { watch } = told;
  let online = VCPUS;
  const judged = (verdict: Verdict | null): void => {
    if (verdict !== null) told.verdicts.push({ ...verdict, toldAtMs: told.nowMs });
  };
  watch.note(online, told.nowMs);
  for (const act of history) {
    told.nowMs += 1;
    if (act.kind === 'wait') told.nowMs += act.ms;
    if (act.kind === 'unseen') watch.note(null, told.nowMs);
    if (act.kind === 'order' && act.to !== online && act.outcome === 'applied') {
      judged(watch.applied({ from: online, to: act.to, planId: 'p' }, told.nowMs));
      told.changes.push({ from: online, to: act.to, atMs: told.nowMs });
      online = act.to;
      watch.note(online, told.nowMs);
    }
    if (act.kind === 'order' && act.to !== online && act.outcome === 'refused') {
      watch.failed({ from: online, to: act.to, planId: 'p' }, 'the guest refused', told.nowMs, told.nowMs);
      if (act.to < online) told.refusals++;
    }
    if (act.kind === 'needed' && online < VCPUS) {
      told.signsMs.push(told.nowMs);
      const harm = watch.needed('it uses all of them', told.nowMs);
      judged(harm ?? watch.applied({ from: online, to: VCPUS, planId: null }, told.nowMs));
      if (harm === null) told.changes.push({ from: online, to: VCPUS, atMs: told.nowMs });
      watch.allBack();
      online = VCPUS;
      watch.note(online, told.nowMs);
    }
    if (act.kind === 'step') {
      told.nowMs += STEP_MS;
      const startMs = told.nowMs - STEP_MS;
      watch.step({ startMs, demand: act.demand, suppressed: act.suppressed });
      if (act.suppressed) told.signsMs.push(startMs);
      judged(act.suppressed ? watch.harmed({ ms: startMs, sign: 'it was held down', demand: act.demand }, told.nowMs) : null);
    }
    for (const verdict of watch.due(told.nowMs)) judged(verdict);
    watch.expire(told.nowMs);
    check(told);
  }
  return told;
}

const RUNS = { numRuns: 1000, seed: 11 };
const holds = (name: string, check: (history: Act[]) => void): void => {
  t.test(name, async () => fc.assert(fc.property(acts, check), RUNS));
};
const assert = (holds: boolean, words: string): void => {
  if (!holds) throw new Error(words);
};

holds('one verdict a change at most, and one once its window is over', (history) => {
  const told = lived(history);
  for (const verdict of told.watch.due(told.nowMs + OPTIONS.windowMs + 1)) told.verdicts.push({ ...verdict, toldAtMs: told.nowMs });
  const judged = told.verdicts.map(({ atMs }) => atMs);
  assert(new Set(judged).size === judged.length, 'judged twice');
  assert(
    told.changes.every(({ atMs }) => judged.includes(atMs)),
    `${told.changes.length} changes, ${judged.length} verdicts`,
  );
});

holds('harm is only what was seen after a taking, within its window, and wanted no more than it had', (history) => {
  for (const { verdict, direction, atMs, toldAtMs, from, after } of lived(history, () => undefined).verdicts) {
    if (verdict !== 'harmed') continue;
    assert(direction === 'shrink', 'a giving harmed');
    assert(toldAtMs - atMs <= OPTIONS.windowMs + STEP_MS + 2, 'too late');
    assert((after.demandMax ?? 0) <= VCPUS && vcpusOf(from) <= VCPUS, 'of more than it has');
  }
  const { verdicts, signsMs } = lived(history);
  const harmed = verdicts.filter(({ verdict }) => verdict === 'harmed');
  assert(
    harmed.every(({ atMs }) => signsMs.some((ms) => ms >= atMs)),
    'harm without a sign of it',
  );
});

holds('after harm: what was taken is owed until it is online, and the rest is as long as it should be', (history) => {
  lived(history, ({ verdicts, watch, nowMs }) => {
    const view = watch.view(nowMs, nowMs);
    const harmed = verdicts.findLast(({ verdict, toldAtMs, judgedAtMs }) => verdict === 'harmed' && toldAtMs === judgedAtMs);
    if (view === null || harmed === undefined) return;
    assert(view.rollback === undefined || view.rollback.to > view.online, 'owed what is there');
    const atOnce = harmed.judgedAtMs === nowMs && harmed.reason === 'it was held down';
    if (atOnce) assert(view.coolUntilMs === nowMs + REST_MS, `rests until ${view.coolUntilMs}`);
    if (atOnce) assert(view.online >= vcpusOf(harmed.from) || view.rollback?.to === vcpusOf(harmed.from), 'what it took is not owed');
  });
});

holds('only what was refused twice is out of reach, and only fewer', (history) => {
  const { refusals, watch, nowMs } = lived(history);
  const { infeasible, online = 0 } = watch.view(nowMs, nowMs) ?? {};
  if (infeasible === undefined) return;
  assert(refusals >= 2, 'refused once');
  assert(infeasible.untilMs > nowMs && infeasible.target < VCPUS && online > 0, 'more is never out of reach');
});

const rests: fc.Arbitrary<Partial<VcpusOnline>> = fc.record(
  {
    coolUntilMs: fc.constant(NOW_MS + 1000),
    rollback: fc.record({ to: fc.integer({ min: 1, max: VCPUS }), reason: fc.constant('it was held down') }),
    infeasible: fc.record({
      ...{ target: fc.integer({ min: 1, max: VCPUS - 1 }), reason: fc.constant('the guest refused'), untilMs: fc.constant(NOW_MS + 1) },
    }),
  },
  { requiredKeys: [] },
);
const POLICY = policyOf(`version: 1
defaults:
  cpu: {mode: auto, violationBudget: 0.05, lead: 15s, shrinkHorizon: 25s, cooldownShrink: 10m}
`);

t.test('plans keep to it, and the lint finds nothing in them', async (t) => {
  let [taken, owed, barred] = [0, 0, 0];
  fc.assert(
    fc.property(fc.double({ min: 0, max: 7, noNaN: true }), fc.integer({ min: 1, max: VCPUS }), rests, (cores, online, drawn) => {
      const { rollback, ...rest } = drawn;
      const back = rollback !== undefined && rollback.to > online ? { rollback } : {};
      const vcpusOnline = { online, sinceMs: NOW_MS - 24 * 3_600_000, ...rest, ...back };
      const demand = { ...vmOf(1).demand, cpu: demandOf(cores, forecastOf(Array.from({ length: 6 }, () => cores))) };
      const current = { cpu: { resource: 'cpu', weight: 100, capCores: null }, memory: { resource: 'memory', memoryMiB: 800 } } as const;
      const vm = vmOf(1, { vcpus: VCPUS, labels: { vcpus: 'allow' }, vcpusOnline, demand, current });
      const snapshot = snapshotOf([vm], [hostOf({ cpuCores: 16 })]);
      const made = plan(snapshot, POLICY, { epoch: 1 }, createPrng(1)).plan;
      const found = lintPlan(made, snapshot, POLICY);
      assert(found.length === 0, JSON.stringify(found));
      const to = made.vcpuSteps?.[0]?.to ?? online;
      if (to < online) taken++;
      if (vcpusOnline.coolUntilMs !== undefined) assert(to >= online, 'taken in the rest');
      if (back.rollback !== undefined) {
        owed++;
        assert(to >= back.rollback.to, `${to} of the ${back.rollback.to} owed`);
        assert(/taking them did harm: it was held down/.test(made.vcpuSteps![0]!.reason), made.vcpuSteps![0]!.reason);
      }
      if (rest.infeasible !== undefined && to < online) {
        barred++;
        assert(to > rest.infeasible.target, `${to} online were not reached`);
      }
    }),
    { numRuns: 1500, seed: 5 },
  );
  t.ok(taken > 50 && owed > 50 && barred > 10, `taken ${taken} times, owed ${owed}, ${barred} above what was not reached`);
});
