/**
 * `headroom detect`: reads series one by one, judges every row from the rows before it with the detector that runs live,
 * and writes a likelihood beside each. One bad file is told and skipped, and the exit code says so at the end. Holds one
 * series at a time, however many files there are.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { errorText, HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import { ALARM_SCORE, type DetectorFactory } from '../../core/anomaly/detector.ts';
import { createProgress } from '../backtest/progress.ts';
import { type Failure, failuresText } from '../backtest/summary.ts';
import { TRACE_FILE, textOf } from '../backtest/trace-file.ts';
import type { CliIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { parseSeries, type SeriesRow } from './series-file.ts';

export interface DetectArguments {
  dir: string;
  out: string;
  json: boolean;
}

interface Totals {
  files: number;
  rows: number;
  alarms: number;
}

/** NOT_FOUND when the directory cannot be read or no series in it can be; USAGE when output would land among the input. */
export async function runDetect({ dir, out, json }: DetectArguments, detectors: DetectorFactory, io: CliIo): Promise<number> {
  refuseOverlap(dir, out);
  const files = await seriesFiles(dir);
  const totals: Totals = { files: 0, rows: 0, alarms: 0 };
  const failures: Failure[] = [];
  const written = new Set<string>();
  const progress = createProgress(io, files.length, 'files');
  io.catchInterrupts();
  for (const [done, file] of files.entries()) {
    progress.show(done, file);
    // Lets an interrupt and the progress through.
    await setImmediate();
    if (io.stop.aborted) break;
    const target = join(out, file.replace(TRACE_FILE, '.csv'));
    try {
      if (written.has(target)) throw new HeadroomError('USAGE', `${target} was already written from the file of the same name`);
      const rows = parseSeries(await textOf(join(dir, file)));
      const { csv, alarms } = judged(rows, detectors);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, csv);
      written.add(target);
      totals.files += 1;
      totals.rows += rows.length;
      totals.alarms += alarms;
    } catch (error) {
      if (!isHeadroomError(error, 'USAGE')) throw error;
      failures.push({ file, message: error.message });
    }
  }
  progress.end();
  io.err(failuresText(failures));
  if (io.stop.aborted) throw new HeadroomError('CANCELLED', `detect: interrupted after ${totals.files} of ${files.length} files`);
  if (totals.files === 0) throw new HeadroomError('NOT_FOUND', `detect: no file in ${dir} could be read as timestamp,value`);
  io.out(json ? `${JSON.stringify({ ...totals, failures })}\n` : summary(totals, out));
  return failures.length > 0 ? EXIT.failed : EXIT.ok;
}

/** Output among the input would be read as input the next time, or overwrite it. */
function refuseOverlap(dir: string, out: string): void {
  const inside = relative(resolve(dir), resolve(out));
  if (inside === '' || !(inside.startsWith('..') || resolve(out) === inside)) {
    throw new HeadroomError('USAGE', `detect: --out ${out} lies within --dir ${dir}: name a directory outside of it`);
  }
}

async function seriesFiles(dir: string): Promise<string[]> {
  let found: string[];
  try {
    found = await readdir(dir, { recursive: true });
  } catch (error) {
    throw new HeadroomError('NOT_FOUND', `detect: ${dir} cannot be read: ${errorText(error)}`, { cause: error });
  }
  const files = found.filter((file) => TRACE_FILE.test(file)).sort();
  if (files.length === 0) throw new HeadroomError('NOT_FOUND', `detect: ${dir} holds no <category>${sep}<file>.csv or .csv.gz`);
  return files;
}

/** Row by row: a score is written before the next row is looked at. */
function judged(rows: readonly SeriesRow[], detectors: DetectorFactory): { csv: string; alarms: number } {
  const detector = detectors.create();
  const lines = ['timestamp,value,anomaly_score'];
  let alarms = 0;
  for (const { timestamp, valueText, timeMs, value } of rows) {
    const { score } = detector.score({ timeMs, value });
    if (score >= ALARM_SCORE) alarms += 1;
    lines.push(`${timestamp},${valueText},${Number(score.toFixed(6))}`);
  }
  return { csv: `${lines.join('\n')}\n`, alarms };
}

const summary = ({ files, rows, alarms }: Totals, out: string): string =>
  `${rows} rows of ${files} ${files === 1 ? 'file' : 'files'} judged: ${alarms} ${alarms === 1 ? 'alarm' : 'alarms'} (a score of ${ALARM_SCORE} and more). Written to ${out}.\n`;
