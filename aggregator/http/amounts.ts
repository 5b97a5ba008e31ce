/** Amounts in words for people, each in the unit of its resource. Unknown is said, never shown as zero. */
import type { ResourceView } from './service.ts';

export function amountText(value: number | null, unit: ResourceView['unit']): string {
  if (value === null || !Number.isFinite(value)) return 'an unknown amount';
  if (unit === 'cores') return `${value.toFixed(2)} cores`;
  if (unit === 'MiB') return `${value.toFixed(0)} MiB`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} MB/s`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(1)} kB/s` : `${value.toFixed(0)} B/s`;
}

export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
