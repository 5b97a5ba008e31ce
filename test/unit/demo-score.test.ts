/** Goal: the demo's score follows its definitions to the letter: rises, leads, unmet demand, unknown seconds, pass rules. */
import t from 'tap';
import { onGrid } from '../../demo/scoring/grid.ts';
import { brokenRules, type GuestScore } from '../../demo/scoring/rules.ts';
import { findRises, type Score, scoreGuest } from '../../demo/scoring/score.ts';

const options = { cycleSeconds: 20, learningCycles: 1 };
/** Low 1 for ten seconds, high 3 for ten: the middle is 2 and each cycle rises in its tenth second. */
const square = (cycles: number): number[] => Array.from({ length: cycles * 20 }, (_, second) => (second % 20 < 10 ? 1 : 3));
/** An allocation that is high from `lead` seconds before each rise (negative: after) until the fall. */
const following = (cycles: number, lead: number): number[] =>
  Array.from({ length: cycles * 20 }, (_, second) => (second % 20 >= 10 - lead && second % 20 < 20 ? 4 : 1.5));
const usage = (cycles: number): number[] => square(cycles);

t.test('a rise that the allocation was ready for is led, by as much', async (t) => {
  const score = scoreGuest({ offered: square(4), allocation: following(4, 3), usage: usage(4) }, options);
  t.match(score, { rises: 3, led: 3, leadSecondsMedian: 3, unmetShare: 0, knownShare: 1, peakOffered: 3 });
  t.equal(score.meanUsage, 2);
});

t.test('together or later is not before', async (t) => {
  for (const lead of [0, -2]) {
    const score = scoreGuest({ offered: square(4), allocation: following(4, lead), usage: usage(4) }, options);
    t.match(score, { rises: 3, led: 0, leadSecondsMedian: null }, `lead ${lead}`);
  }
  const late = scoreGuest({ offered: square(4), allocation: following(4, -2), usage: usage(4) }, options);
  // Two seconds of 1.5 missing in each cycle that offers 10 × 1 + 10 × 3.
  t.equal(late.unmetShare, 3 / 40);
});

t.test('an allocation that never was below, or fell back before the load came, did not lead', async (t) => {
  const always = new Array(80).fill(4);
  t.match(scoreGuest({ offered: square(4), allocation: always, usage: usage(4) }, options), { rises: 3, led: 0 });
  const fellBack = following(4, 5).map((value, second) => (second % 20 === 9 ? 1.5 : value));
  t.match(scoreGuest({ offered: square(4), allocation: fellBack, usage: usage(4) }, options), { rises: 3, led: 0 });
});

t.test('below longer than half a cycle ago does not count', async (t) => {
  const early = Array.from({ length: 80 }, (_, second) => ((second + 8) % 20 < 2 ? 1.5 : 4));
  t.equal(scoreGuest({ offered: square(4), allocation: early, usage: usage(4) }, options).led, 0);
});

t.test('the first cycles are not scored, and a partial last cycle is judged by the one before', async (t) => {
  const offered = square(4).slice(0, 72);
  const rises = findRises({ offered, allocation: following(4, 2).slice(0, 72), usage: [] }, options);
  t.same(
    rises.map((rise) => [rise.atSecond, rise.middle, rise.leadSeconds]),
    [
      [30, 2, 2],
      [50, 2, 2],
      [70, 2, 2],
    ],
  );
});

t.test('unknown seconds neither lead nor count', async (t) => {
  const blind: (number | null)[] = following(2, 3);
  for (let second = 20; second < 30; second++) blind[second] = null;
  t.match(scoreGuest({ offered: square(2), allocation: blind, usage: [] }, options), { rises: 1, led: 0, knownShare: 0.5, unmetShare: 0 });
  const gap: (number | null)[] = following(2, 3);
  gap[26] = null;
  gap[27] = null;
  t.equal(scoreGuest({ offered: square(2), allocation: gap, usage: [] }, options).leadSecondsMedian, 2, 'led only by what was seen');
  t.match(scoreGuest({ offered: new Array(40).fill(null), allocation: [], usage: [] }, options), {
    rises: 0,
    unmetShare: null,
    peakOffered: null,
  });
});

t.test('flat load has no rises', async (t) => {
  t.match(scoreGuest({ offered: new Array(60).fill(1), allocation: new Array(60).fill(2), usage: [] }, options), {
    rises: 0,
    unmetShare: 0,
  });
});

t.test('readings become seconds, and stand only for a while', async (t) => {
  const points = [
    { timeMs: 10_900, value: 2 },
    { timeMs: 10_100, value: 1 },
    { timeMs: 11_500, value: Number.NaN },
  ];
  t.same(onGrid(points, 9000, 16_000, 2000), [null, 2, 2, 2, null, null, null]);
  t.same(onGrid([], 0, 2000), [null, null]);
});

const good: Score = {
  rises: 5,
  led: 4,
  leadSecondsMedian: 4,
  unmetShare: 0,
  meanAllocation: 1,
  meanUsage: 0.5,
  peakOffered: 2,
  knownShare: 1,
};
const all = (change: (score: GuestScore) => Partial<Score> = () => ({})): GuestScore[] =>
  (['web', 'batch', 'idle', 'control'] as const).flatMap((role) =>
    (['cpu', 'memory'] as const).map((resource) => {
      const score: GuestScore = { ...good, unmetShare: role === 'control' ? 0.1 : 0, name: role, role, resource };
      return { ...score, ...change(score) };
    }),
  );
const commands = { sent: 10, applied: 8, readBack: 8 };

t.test('each rule passes at its limit and fails beyond, saying which', async (t) => {
  t.same(brokenRules(all(), commands), []);
  const cases: [string, (score: GuestScore) => Partial<Score>, number][] = [
    ['3 of 5 rises', (s) => (s.role === 'batch' && s.resource === 'cpu' ? { led: 3 } : {}), 1],
    ['no rise was seen', (s) => (s.role === 'web' && s.resource === 'memory' ? { rises: 0, led: 0 } : {}), 1],
    ['not at most half', (s) => (s.role === 'web' ? { unmetShare: 0.0501 } : {}), 2],
    ['not at most half', (s) => ({ unmetShare: s.role === 'idle' ? 0 : s.role === 'web' ? 0.0002 : 0.0003 }), 2],
    ['more than 1.05', (s) => (s.role === 'web' ? { meanAllocation: 1.051 } : {}), 2],
    ['static grant of its peak would leave none', (s) => (s.role === 'idle' ? { unmetShare: 0.001 } : {}), 2],
    ['more than a static grant', (s) => (s.role === 'idle' ? { meanAllocation: 2.1 } : {}), 2],
    ['known for only', (s) => (s.role === 'control' && s.resource === 'cpu' ? { knownShare: 0.5 } : {}), 1],
  ];
  for (const [words, change, count] of cases) {
    const broken = brokenRules(all(change), commands);
    t.equal(broken.filter((line) => line.includes(words)).length, count, words);
    t.equal(broken.length, count, `${words}: nothing else`);
  }
  t.same(
    brokenRules(
      all((s) => (s.role === 'web' ? { unmetShare: 0.05, meanAllocation: 1.05 } : {})),
      commands,
    ),
    [],
  );
});

t.test('every applied command must have been read back, and there must be some', async (t) => {
  t.match(brokenRules(all(), { sent: 9, applied: 8, readBack: 7 }), [/only 7 of them were read back/]);
  t.match(brokenRules(all(), { sent: 0, applied: 0, readBack: 0 }), [/no command was applied/]);
  t.match(brokenRules([], commands), [/cpu: a guest has no score/, /memory: a guest has no score/]);
  const tiny = all((s) => ({ unmetShare: s.role === 'web' ? 0.00009 : 0 }));
  t.same(brokenRules(tiny, commands), [], 'half of nothing is not asked for');
});
