/**
 * Labelled series as files: CSV, plain or gzip, with columns `timestamp` and `value` by name. Input: text; output: each row
 * with its number and its own text, so that what is written back is what was read. An empty or NaN value is a point
 * that did not come. Refuses with the line what it cannot read.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { timeOfText } from '../time-text.ts';

export interface SeriesRow {
  timestamp: string;
  valueText: string;
  timeMs: number;
  /** NaN: the point did not come. */
  value: number;
}

const UNKNOWN = new Set(['', 'nan', 'null', 'na']);

/** Throws USAGE with the line for what is no such file. */
export function parseSeries(text: string): SeriesRow[] {
  const lines = text.split(/\r?\n/);
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
  const header = (lines[0] ?? '')
    .replace(/^\uFEFF/, '')
    .split(',')
    .map((name) => name.trim().toLowerCase());
  const time = header.indexOf('timestamp');
  const value = header.indexOf('value');
  if (time < 0 || value < 0) throw new HeadroomError('USAGE', 'its first line must name the columns timestamp and value');
  if (lines.length < 2) throw new HeadroomError('USAGE', 'it has no rows');
  return lines.slice(1).map((line, row) => {
    const cells = line.split(',').map((cell) => cell.trim());
    if (cells.length !== header.length) throw wrong(row, `it has ${cells.length} fields, the header has ${header.length}`);
    const [timestamp, valueText] = [cells[time]!, cells[value]!];
    return { timestamp, valueText, timeMs: timeOf(timestamp, row), value: numberOf(valueText, row) };
  });
}

function timeOf(text: string, row: number): number {
  const timeMs = timeOfText(text);
  if (Number.isNaN(timeMs)) throw wrong(row, `timestamp "${text.slice(0, 40)}" is neither like 2014-04-01 00:05:00 nor seconds since 1970`);
  return timeMs;
}

function numberOf(text: string, row: number): number {
  if (UNKNOWN.has(text.toLowerCase())) return Number.NaN;
  const value = Number(text);
  if (!Number.isFinite(value)) throw wrong(row, `value "${text.slice(0, 40)}" is not a number`);
  return value;
}

/** Lines are counted from 1, the header being the first. */
function wrong(row: number, what: string): HeadroomError {
  return new HeadroomError('USAGE', `line ${row + 2}: ${what}`);
}
