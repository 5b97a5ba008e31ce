/** Durations as people write them: `90s`, `5m`, `24h`. Text in, milliseconds out, and back in the largest exact unit. */
import { HeadroomError } from '../../../shared/errors.ts';

const UNITS_MS: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$';
const DURATION = new RegExp(DURATION_PATTERN);

/** Throws USAGE for anything that is not a number and a unit. */
export function parseDuration(text: string): number {
  const unit = DURATION.exec(text)?.[2];
  if (unit === undefined) throw new HeadroomError('USAGE', `"${text}" is not a duration; write a number and ms, s, m, h or d, such as 90s`);
  const factor = UNITS_MS.find(([name]) => name === unit)![1];
  return Math.round(Number.parseFloat(text) * factor);
}

export function formatDuration(ms: number): string {
  const [unit, factor] = UNITS_MS.find(([, factorMs]) => ms >= factorMs && ms % factorMs === 0) ?? ['ms', 1];
  return `${Math.round(ms / factor)}${unit}`;
}

/** For sentences: `45 s`, `5 min`, `3 h`, rounded to what a person cares about. */
export function spokenDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}
