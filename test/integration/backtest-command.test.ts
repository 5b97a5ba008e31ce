/**
 * Goal: `headroom backtest` as its users meet it, on traces of real VMs: files, table, JSON, HTML and exit codes; budgets
 * that are kept and savings beside harm; and the line protocol of a real process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { readTrace } from '../../aggregator/cli/backtest/trace-file.ts';
import { BASELINES } from '../../aggregator/core/backtest/baselines.ts';
import { headroom } from '../support/cli.ts';
import { bundledTrace, tracesDirectory } from '../support/traces.ts';

const directory = mkdtempSync(join(tmpdir(), 'headroom-backtest-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const SCORES = ['violationRate', 'violationRateP90Vm', 'vmDaysWithViolation', 'meanSlack', 'fleetSlack', 'resizesPerVmDay'];

t.test('a report on real VMs: budget kept, less idle than any baseline that is as safe', async (t) => {
  const out = join(directory, 'out');
  const html = join(directory, 'report.html');
  const {
    code,
    out: text,
    err,
  } = await headroom(`backtest --traces ${tracesDirectory()} --resource cpu --violation-budget 0.01 --out ${out} --html ${html} --json`);
  t.equal(code, 0);
  t.equal(err, '');
  const summary = JSON.parse(text.trimEnd().split('\n').at(-1)!);
  t.equal(summary.vms, readdirSync(out).length, 'a file for each VM');
  for (const key of ['vms', 'resource', 'violationBudget', ...SCORES]) t.ok(key in summary, key);
  for (const name of BASELINES) for (const key of SCORES) t.type(summary.baselines[name][key], 'number', `${name}.${key}`);
  t.ok(summary.violationRate <= 0.01 && summary.violationRate >= 0.007, `violations ${summary.violationRate}`);
  t.ok(summary.violationRateP90Vm <= 0.015, `worst tenth ${summary.violationRateP90Vm}`);
  t.ok(summary.resizesPerVmDay <= 24, `${summary.resizesPerVmDay} resizes a day`);
  t.ok(summary.meanSlack < summary.baselines.granted.meanSlack);
  for (const name of BASELINES.filter((one) => one !== 'oracleNextHour')) {
    const { violationRate, meanSlack } = summary.baselines[name];
    const words = `${name}: ${meanSlack.toFixed(3)} idle at ${violationRate.toFixed(4)}, Headroom ${summary.meanSlack.toFixed(3)}`;
    t.ok(violationRate > summary.violationRate || meanSlack > summary.meanSlack, words);
  }
  for (const { minutesAhead, quantile, coverage } of summary.forecasts) {
    t.ok(Math.abs(coverage - quantile) < 0.015, `${minutesAhead} min ahead: ${quantile} covered ${coverage.toFixed(4)}`);
  }
  const [file] = readdirSync(out) as [string];
  const rows = readFileSync(join(out, file), 'utf8').trimEnd().split('\n');
  t.equal(rows[0], 'timestamp,allocation');
  t.ok(rows.length > 100 && rows.slice(1).every((row) => /^\d+,[\d.e-]+$/.test(row)), 'rows of time and allocation');
  const trace = (await readTrace(join(tracesDirectory(), `${file.replace(/\.csv$/, '')}.csv.gz`), 'cpu'))!;
  t.equal(Number(rows[1]!.split(',')[0]) * 1000, trace.timesMs[1], 'in force from the second sample on, for the first showed it');
  const page = readFileSync(html, 'utf8');
  t.equal(page.match(/<svg /g)?.length, summary.vms, 'a chart for each VM');
  t.notMatch(page, /https?:\/\/|<script|NaN|undefined/);
});

t.test('one bad file is told, skipped, and remembered by the exit code', async (t) => {
  const traces = mkdtempSync(join(directory, 'mixed-'));
  copyFileSync(bundledTrace('az-p02'), join(traces, 'good.csv.gz'));
  writeFileSync(join(traces, 'torn.csv.gz'), readFileSync(bundledTrace('az-p02')).subarray(0, 5000));
  writeFileSync(join(traces, 'wrong.csv'), 'timestamp,cpu_cores_used,cpu_cores_alloc\n0,1,2\n300,x,2\n');
  writeFileSync(join(traces, 'short.csv'), 'timestamp,cpu_cores_used,cpu_cores_alloc\n0,1,2\n300,1,2\n');
  writeFileSync(join(traces, 'notes.txt'), 'not a trace');
  const { code, out, err } = await headroom(`backtest --traces ${traces} --violation-budget 0.002`, { terminal: true });
  t.equal(code, 1);
  t.match(err, /torn\.csv\.gz was skipped: it cannot be read/);
  t.match(err, /wrong\.csv was skipped: line 3: cpu_cores_used is "x"/);
  t.notMatch(err, /short\.csv was/, 'a young VM is no bad file');
  t.match(out, /^short +0\.0 days of history/m);
  t.match(out, /^torn\.csv\.gz +not read: /m);
  t.match(err, /\[#+\.*\] [1-4] of 4 VMs, \d+ (s|min) left/, 'progress on a terminal');
  t.match(out, /^1 VMs, cpu, violation budget 0\.200 %/);
  for (const words of ['Headroom', 'as granted', 'Kubernetes VPA', 'oracle', 'good', 'UNMET %', 'RESIZES/DAY']) t.match(out, words);
});

t.test('what cannot be done is said', async (t) => {
  const empty = mkdtempSync(join(directory, 'empty-'));
  for (const [line, code, message] of [
    ['backtest', 2, /--traces DIR is missing/],
    ['backtest --traces x --violation-budget 1.5', 2, /--violation-budget 1\.5/],
    ['backtest --traces x --resource gpu', 2, /--resource gpu: there are cpu, memory, cpumax/],
    ['backtest --trace x', 2, /--trace/],
    [`backtest --traces ${empty}/nowhere`, 3, /cannot be read/],
    [`backtest --traces ${empty}`, 3, /nothing in/],
    [`backtest --traces ${tracesDirectory()} --resource memory`, process.env.HEADROOM_TRACES === undefined ? 3 : 0, /./],
  ] as const) {
    const run = await headroom(line);
    t.equal(run.code, code, line);
    t.match(run.err + run.out, message, line);
  }
  const stopped = await headroom(`backtest --traces ${tracesDirectory()}`, { stop: AbortSignal.abort() });
  t.equal(stopped.out, '', 'interrupted: nothing is made of half a run');
  t.match((await headroom('help backtest')).out, /--stdio/);
});

t.test('the line protocol of a real process: an answer to each sample before the next is sent', async (t) => {
  const program = spawn('sh', ['scripts/run.sh', 'aggregator/cli/main.ts', 'backtest', '--stdio', '--violation-budget', '0.01']);
  t.teardown(() => program.kill());
  const answers = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const trace = (await readTrace(bundledTrace('az-p05'), 'cpu'))!;
  program.stdin.write(`${JSON.stringify({ type: 'vm', id: trace.vm, step: 300, alloc: { cpu: trace.granted } })}\n`);
  const given: number[] = [];
  for (let i = 0; i < 600; i++) {
    program.stdin.write(`${JSON.stringify({ t: trace.timesMs[i]! / 1000, cpu: trace.used[i] })}\n`);
    const { value, done } = await answers.next();
    if (done) return t.fail(`it ended at sample ${i}`);
    given.push((JSON.parse(value) as { cpu: number }).cpu);
  }
  program.stdin.end('{"type":"end"}\n');
  const [code] = (await once(program, 'exit')) as [number];
  t.equal(code, 0);
  t.equal(given[0], trace.granted, 'nothing is taken on a single sample');
  t.ok(given.every((value) => value >= 0.01 * trace.granted && value <= trace.granted));
  t.ok(given.at(-1)! < 0.8 * trace.granted, `after two days ${given.at(-1)} of ${trace.granted}`);
});
