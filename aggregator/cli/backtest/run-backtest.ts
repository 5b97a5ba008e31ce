/**
 * `headroom backtest`: reads traces one by one, replays each through the core, writes what would have been granted
 * and tells how it did. One bad file is told and skipped, and the exit code says so at the end. Holds one VM's
 * samples at a time, however many files there are.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import { reasonsAgainst } from '../../core/backtest/advice.ts';
import { BASELINES, type Baseline, baselineAllocations } from '../../core/backtest/baselines.ts';
import { replay } from '../../core/backtest/replay.ts';
import { scoreVm, type VmScore } from '../../core/backtest/score.ts';
import type { BacktestResource, Trace } from '../../core/backtest/trace.ts';
import type { CliIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { createProgress } from './progress.ts';
import { type Chart, chartOf, reportHtml } from './report-html.ts';
import { type Failure, failuresText, type Refusal, refusalTable, summaryOf, summaryText, type VmResult } from './summary.ts';
import type { TraceSource } from './trace-source.ts';

export interface BacktestArguments {
  source: TraceSource;
  resource: BacktestResource;
  violationBudget: number;
  out?: string | undefined;
  html?: string | undefined;
  json: boolean;
}

/** NOT_FOUND when the source cannot be read or holds no trace of this resource. The source is closed at the end. */
export async function runBacktest(args: BacktestArguments, io: CliIo): Promise<number> {
  try {
    return await judgeAll(args, io);
  } finally {
    await args.source.close();
  }
}

async function judgeAll(args: BacktestArguments, io: CliIo): Promise<number> {
  const files = await args.source.names();
  if (args.out !== undefined) await mkdir(args.out, { recursive: true });
  const results: VmResult[] = [];
  const charts: Chart[] = [];
  const failures: Failure[] = [];
  const refusals: Refusal[] = [];
  const progress = createProgress(io, files.length);
  io.catchInterrupts();
  for (const [done, file] of files.entries()) {
    progress.show(done, file);
    // Lets an interrupt and the progress through.
    await setImmediate();
    if (io.stop.aborted) break;
    try {
      const trace = await args.source.read(file, args.resource);
      if (trace === null) continue;
      const { result, allocation } = judged(trace, args);
      const against = reasonsAgainst(trace, result?.headroom ?? null, args.violationBudget);
      if (against.length > 0) refusals.push({ vm: trace.vm, against });
      if (result === null) continue;
      if (args.out !== undefined) await writeFile(join(args.out, `${trace.vm}.csv`), allocationCsv(trace, allocation));
      if (args.html !== undefined) charts.push(chartOf(trace, allocation));
      results.push(result);
    } catch (error) {
      if (!isHeadroomError(error, 'USAGE')) throw error;
      failures.push({ file, message: error.message });
    }
  }
  progress.end();
  io.err(failuresText(failures));
  if (io.stop.aborted) throw new HeadroomError('CANCELLED', `backtest: interrupted after ${results.length} of ${files.length} VMs`);
  if (results.length === 0) {
    if (refusals.length > 0) io.err(refusalTable({ doNotEnable: refusals, skipped: failures }));
    throw new HeadroomError('NOT_FOUND', `backtest: nothing in ${args.source.place} has a week and more of ${args.resource}`);
  }
  const summary = summaryOf(results, { refusals, failures }, args.resource, args.violationBudget);
  if (args.html !== undefined) await writeFile(args.html, reportHtml(summary, results, charts));
  io.out(args.json ? `${JSON.stringify(summary)}\n` : summaryText(summary, results));
  return failures.length > 0 ? EXIT.failed : EXIT.ok;
}

/** No result: the trace ends within the first week, of which everyone may learn. */
function judged(trace: Trace, { resource, violationBudget }: BacktestArguments): { result: VmResult | null; allocation: Float64Array } {
  const { allocation, forecasts } = replay(trace, { resource, violationBudget });
  const headroom = scoreVm(trace, allocation);
  if (headroom === null) return { result: null, allocation };
  const allocations = baselineAllocations(trace, resource, violationBudget);
  // What is scored of one is scored of all: the same samples are known.
  const score = (name: Baseline): VmScore => scoreVm(trace, allocations[name])!;
  const baselines = Object.fromEntries(BASELINES.map((name) => [name, score(name)])) as Record<Baseline, VmScore>;
  return { result: { vm: trace.vm, headroom, baselines, forecasts }, allocation };
}

/** A row where the allocation changes; it stands until the next one. */
function allocationCsv({ timesMs }: Trace, allocation: Float64Array): string {
  const rows = ['timestamp,allocation'];
  let before = Number.NaN;
  for (let i = 0; i < allocation.length; i++) {
    const value = allocation[i]!;
    if (Number.isNaN(value) || value === before) continue;
    rows.push(`${timesMs[i]! / 1000},${Number(value.toPrecision(9))}`);
    before = value;
  }
  return `${rows.join('\n')}\n`;
}
