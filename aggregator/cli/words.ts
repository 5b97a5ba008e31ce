/** Amounts and times in few letters, for tables. Unknown is `?`, no limit is `-`. */
import { spanText } from '../http/amounts.ts';

type Unit = 'cores' | 'MiB' | 'bytes/s';

export function amount(value: number | null, unit: Unit): string {
  if (value === null) return '?';
  if (unit === 'cores') return value.toFixed(2);
  if (unit === 'MiB') return value.toFixed(0);
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(1)}k` : value.toFixed(0);
}

interface Used {
  usage: number | null;
  allocation: number | null;
  uncapped: boolean;
  unit: Unit;
}

/** `used / allocated`. */
export function usedOf({ usage, allocation, uncapped, unit }: Used): string {
  return `${amount(usage, unit)} / ${uncapped ? '-' : amount(allocation, unit)}`;
}

export function age(ms: number | null): string {
  return ms === null ? 'never' : spanText(ms);
}

export function utc(timeMs: number): string {
  return new Date(timeMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}
