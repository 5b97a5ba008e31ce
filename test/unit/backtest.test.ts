/**
 * Goal: the backtest tells the truth: its scores are right by hand, nothing in it looks ahead, the replay and the line
 * protocol decide alike and forget alike, and trace files that cannot be read are refused with the line.
 */
import t from 'tap';
import { BacktestStream } from '../../aggregator/cli/backtest/stream.ts';
import { parseTrace } from '../../aggregator/cli/backtest/trace-file.ts';
import { BASELINES, baselineAllocations } from '../../aggregator/core/backtest/baselines.ts';
import { ForecastScorer } from '../../aggregator/core/backtest/forecast-score.ts';
import { memoryTargets } from '../../aggregator/core/backtest/memory-peaks.ts';
import { replay } from '../../aggregator/core/backtest/replay.ts';
import { percentile, scoreFleet, scoreVm } from '../../aggregator/core/backtest/score.ts';
import type { Trace } from '../../aggregator/core/backtest/trace.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const DAY = 288;
const WEEK = 7 * DAY;

function traceOf(used: readonly number[], granted = 4): Trace {
  return {
    vm: 'made',
    stepMs: STEP_MS,
    timesMs: Float64Array.from(used, (_, i) => 1_479_254_400_000 + i * STEP_MS),
    used: Float64Array.from(used),
    granted,
  };
}

/** A day's wave, noise, bursts and missing samples. */
function made(seed: number, steps: number): number[] {
  const random = createPrng(seed, 'backtest');
  return Array.from({ length: steps }, (_, i) => {
    const value = 1 + 0.5 * Math.sin((2 * Math.PI * i) / DAY) + 0.2 * random.next() + (random.next() < 0.01 ? 2 : 0);
    return random.next() < 0.03 ? Number.NaN : value;
  });
}

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return isHeadroomError(error) ? `${error.code} ${error.message}` : String(error);
  }
  return 'nothing was thrown';
};

t.test('a score, by hand', async (t) => {
  const used = [...new Array(WEEK).fill(9), 1, 2, 3, Number.NaN, 1, ...new Array(DAY - 5).fill(1), 2, 2];
  const allocation = Float64Array.from(used, (_, i) => (i < WEEK + 2 ? 2 : 4));
  const score = scoreVm(traceOf(used), allocation)!;
  t.equal(score.samples, DAY + 1, 'the week and the gap are not scored');
  t.equal(score.violationRate, 0);
  t.equal(score.resizesPerDay, 1 / ((DAY + 2) / DAY));
  const idle = 1 / 2 + 0 + 1 / 4 + (DAY - 4) * (3 / 4) + 2 * (2 / 4);
  t.ok(Math.abs(score.slack - idle / (DAY + 1)) < 1e-12);
  const short = scoreVm(
    traceOf(used),
    allocation.map(() => 1.5),
  )!;
  t.equal(short.violationRate, 4 / (DAY + 1));
  t.equal(short.daysWithViolation, 1, 'both days');
  t.ok(Math.abs(short.unmetShare - (0.5 + 1.5 + 0.5 + 0.5) / (1 + 2 + 3 + (DAY - 4) + 4)) < 1e-12);
  t.equal(
    scoreVm(traceOf([...new Array(WEEK).fill(1), 8]), new Float64Array(WEEK + 1).fill(4))!.violationRate,
    0,
    'above the size: cannot be given',
  );
  t.equal(scoreVm(traceOf(used.slice(0, WEEK)), allocation.slice(0, WEEK)), null);
  t.equal(scoreVm(traceOf([]), new Float64Array(0)), null);
});

t.test('a fleet: VMs count alike, its idle share by size', async (t) => {
  const small = scoreVm(traceOf(new Array(WEEK + 10).fill(1), 2), new Float64Array(WEEK + 10).fill(2))!;
  const large = scoreVm(traceOf(new Array(WEEK + 10).fill(30), 40), new Float64Array(WEEK + 10).fill(40))!;
  const fleet = scoreFleet([small, large]);
  t.equal(fleet.meanSlack, (0.5 + 0.25) / 2);
  t.equal(fleet.fleetSlack, 11 / 42);
  t.equal(scoreFleet([]).vms, 0);
  t.equal(percentile([1, 2, 3, 4], 0.5), 2.5);
  t.equal(percentile([], 0.5), 0);
});

t.test('no look-ahead: a changed future changes no decision before it', async (t) => {
  const values = made(1, 9 * DAY);
  for (const cut of [3 * DAY + 7, 8 * DAY]) {
    const other = values.map((value, i) => (i < cut ? value : 3.9));
    const one = replay(traceOf(values), { resource: 'cpu', violationBudget: 0.01 }).allocation;
    const two = replay(traceOf(other), { resource: 'cpu', violationBudget: 0.01 }).allocation;
    // The decision in force during sample `cut` was made before it.
    t.same(one.slice(0, cut + 1), two.slice(0, cut + 1), `up to sample ${cut}`);
    t.notSame(one.slice(cut + 1), two.slice(cut + 1));
    for (const resource of ['cpu', 'memory'] as const) {
      const before = baselineAllocations(traceOf(values), resource, 0.01);
      const after = baselineAllocations(traceOf(other), resource, 0.01);
      for (const name of BASELINES) {
        const same =
          Buffer.compare(Buffer.from(before[name].slice(0, cut + 1).buffer), Buffer.from(after[name].slice(0, cut + 1).buffer)) === 0;
        t.equal(same, name !== 'oracleNextHour', `${name} of ${resource}, sample ${cut}`);
      }
    }
  }
});

t.test('the line protocol decides as the replay does, and forgets at each VM', async (t) => {
  const other = made(3, 4 * DAY);
  const known = {
    ...traceOf(made(2, 4 * DAY)),
    others: [Float64Array.from(other), ...new Array(2).fill(new Float64Array(4 * DAY).fill(Number.NaN))],
  };
  // What other resources do is heard in both, and matters.
  const trace = known;
  const wanted = replay(trace, { resource: 'cpu', violationBudget: 0.01 }).allocation;
  t.notSame(wanted, replay(traceOf(made(2, 4 * DAY)), { resource: 'cpu', violationBudget: 0.01 }).allocation);
  const stream = new BacktestStream(0.01);
  const head = JSON.stringify({ type: 'vm', id: 'a', step: 300, alloc: { cpu: 4 } });
  const play = (values: Float64Array): number[] => {
    t.equal(stream.line(head), null);
    const answers = [...trace.timesMs].flatMap((timeMs, i) => {
      const cpu = values[i]!;
      const line = stream.line(
        JSON.stringify({ t: timeMs / 1000, ...(Number.isNaN(cpu) ? {} : { cpu }), ...(Number.isNaN(other[i]) ? {} : { mem: other[i] }) }),
      );
      return [JSON.parse(line!) as { cpu: number; mem?: number; f?: { cpu: Record<string, number> } }];
    });
    t.equal(stream.line('{"type":"end"}'), null);
    t.ok(
      answers.every(({ mem }) => mem === undefined),
      'nothing is said of memory whose size is unknown',
    );
    const { q50_15, q90_15, q95_15, q50_60 } = answers.at(-1)!.f!.cpu;
    t.ok(q50_15! <= q90_15! && q90_15! <= q95_15! && q50_60! > 0);
    return answers.map(({ cpu }) => cpu);
  };
  const first = play(trace.used);
  for (let i = 0; i + 1 < wanted.length; i++) {
    if (Math.abs(first[i]! / wanted[i + 1]! - 1) > 1e-6) return t.fail(`sample ${i}: ${first[i]} streamed, ${wanted[i + 1]} replayed`);
  }
  t.same(new Set(first).size > 10, true, 'it did decide');
  play(trace.used.map((value) => 4 - value));
  t.same(play(trace.used), first, 'after another VM the same again');
});

t.test('lines that are not of the protocol are refused by number', async (t) => {
  const sample = '{"t":0,"cpu":1}';
  t.match(
    codeOf(() => new BacktestStream(0.01).line('{')),
    /USAGE .*line 1 .*not JSON/,
  );
  t.match(
    codeOf(() => new BacktestStream(0.01).line(sample)),
    /line 1 .*before its vm/,
  );
  const stream = new BacktestStream(0.01);
  stream.line('{"type":"vm","id":"a","step":300,"alloc":{"cpu":1}}');
  t.equal(stream.line('  '), null);
  t.match(
    codeOf(() => stream.line('{"t":"now"}')),
    /line 3 .*neither/,
  );
  t.match(
    codeOf(() => stream.line('{"t":0,"cpu":-1}')),
    /line 4 .*neither/,
  );
  t.match(
    codeOf(() => stream.line('{"type":"vm","id":"a","step":0,"alloc":{}}')),
    /line 5/,
  );
  t.equal(JSON.parse(stream.line(sample)!).cpu, 1, 'and it goes on');
  stream.line('{"type":"end"}');
  t.match(
    codeOf(() => stream.line(sample)),
    /before its vm/,
  );
});

const HEAD = 'timestamp,cpu_cores_used,cpu_cores_alloc,mem_mib_used,mem_mib_alloc';
t.test('trace files: what is read, and what is refused', async (t) => {
  const trace = parseTrace('a', `${HEAD}\n0,1,2,,\n300,,4,,\n900,0.5,2,,\r\n1200,1,2,,\n\n`, 'cpu')!;
  t.same([...trace.timesMs], [0, 300_000, 900_000, 1_200_000]);
  t.same(
    [...trace.used].map((value) => (Number.isNaN(value) ? null : value)),
    [1, null, 0.5, 1],
  );
  t.equal(trace.granted, 4, 'the largest size');
  t.equal(trace.others, undefined, 'nothing is known of others');
  const more = parseTrace('a', `${HEAD},net_tx_Bps,disk_write_Bps,disk_read_Bps\n0,1,2,5,8,9,2,3\n300,1,2,,8,9,much,3\n`, 'cpu')!;
  t.same(
    more.others!.map((series) => [...series].map((value) => (Number.isNaN(value) ? null : value))),
    [
      [5, null],
      [null, null],
      [5, null],
    ],
    'memory, network and disk beside it; half of a network is unknown',
  );
  t.equal(trace.stepMs, STEP_MS, 'gaps do not set the step');
  t.equal(parseTrace('a', `${HEAD}\n0,1,2,,\n300,1,2,,\n`, 'memory'), null, 'no such series');
  for (const [text, message] of [
    ['', /names no column timestamp/],
    ['timestamp,cpu_cores_used\n', /names no column cpu_cores_alloc/],
    [`${HEAD}\n0,1,2,,\n0,1,2,,\n`, /line 3: its time 0 is not after/],
    [`${HEAD}\n0,1,2,,\n300,1,2\n`, /line 3: it has 3 fields/],
    [`${HEAD}\n0,one,2,,\n`, /line 2: cpu_cores_used is "one"/],
    [`${HEAD}\n0,-1,2,,\n`, /line 2: cpu_cores_used is "-1"/],
    [`${HEAD}\n,1,2,,\n`, /line 2: timestamp is ""/],
    [`${HEAD}\n0,1,,,\n300,1,,,\n`, /size of the VM is needed/],
    [`${HEAD}\n0,1,2,,\n`, /fewer than two/],
  ] as const) {
    t.match(
      codeOf(() => parseTrace('a', text, 'cpu')),
      message,
    );
  }
});

t.test('baselines are what they are called', async (t) => {
  const used = [...new Array(WEEK).fill(1), ...new Array(2 * DAY).fill(2)];
  used[DAY] = 1.5;
  const allocations = baselineAllocations(traceOf(used), 'cpu', 0.01);
  const last = used.length - 1;
  t.equal(allocations.granted[last], 4);
  t.equal(allocations.week1Peak[last], 1.52, 'rounded up to 1 % of the size');
  t.ok(Math.abs(allocations.reactive70[last]! - 2.88) < 1e-9, '2 ÷ 0.7');
  t.ok(allocations.vpa[last]! > 2.2 && allocations.vpa[last]! < 2.6, `2 + 15 % and a bucket: ${allocations.vpa[last]}`);
  t.equal(allocations.oracleNextHour[WEEK - 1], 2, 'it alone knows');
  t.ok(allocations.persistenceQuantile[WEEK - 1]! < 1.6);
  const peaks = memoryTargets(traceOf([...new Array(3 * DAY).fill(1000), 2000, 1000], 4000), 1.15);
  t.equal(peaks[1]![3 * DAY], 1150);
  t.equal(peaks[1]![3 * DAY + 1], 2760, 'a kill counts as a peak a fifth above');
});

t.test('forecasts are scored against what came', async (t) => {
  const scorer = new ForecastScorer(STEP_MS);
  const values = Float64Array.of(1, 2, 3, 10, 20, 30);
  scorer.expect(0, { quantiles: [], horizons: scorer.horizons, values, confidence: 1, explanation: '' });
  t.equal(scorer.scores(), null);
  scorer.came(3 * STEP_MS, 2.5, true);
  scorer.came(12 * STEP_MS, 15, true);
  const scores = scorer.scores()!;
  t.same(
    scores.map(({ coverage }) => coverage),
    [0, 0, 1, 0, 1, 1],
  );
  t.ok(Math.abs(scores[0]!.pinballLoss - (0.5 * 1.5) / 2.5) < 1e-12);
  t.ok(Math.abs(scores[2]!.pinballLoss - (0.01 * 0.5) / 2.5) < 1e-12);
});
