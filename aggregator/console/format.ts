/** Figures as people read them. Input: numbers with a unit; output: short text. Unknown is said, never shown as zero. */
import type { Resource, Setting } from '../../shared/resources.ts';

export type Unit = 'cores' | 'MiB' | 'bytes/s';

export const RESOURCE_NAMES: Readonly<Record<Resource, string>> = { cpu: 'CPU', memory: 'Memory', network: 'Network', disk: 'Disk' };
export const UNKNOWN = '–';

/** The number alone, with as many digits as are worth reading. */
export function figure(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (unit === 'cores') return value.toFixed(2);
  if (unit === 'MiB') return value >= 10_240 ? `${(value / 1024).toFixed(1)} Gi` : value.toFixed(0);
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} k`;
  return value.toFixed(0);
}

/** A number of cores or GiB that is mostly whole: `16`, `15.6`. */
export function capacity(value: number | null): string {
  return value === null || !Number.isFinite(value) ? UNKNOWN : String(Number(value.toFixed(1)));
}

const SUFFIX: Readonly<Record<Unit, string>> = { cores: ' cores', MiB: 'MiB', 'bytes/s': 'B/s' };

export function amount(value: number | null | undefined, unit: Unit): string {
  const text = figure(value, unit);
  if (text === UNKNOWN || unit === 'cores') return text === UNKNOWN ? text : `${text}${SUFFIX.cores}`;
  if (unit === 'MiB') return text.endsWith('Gi') ? `${text}B` : `${text} MiB`;
  return /[kMG]$/.test(text) ? `${text}B/s` : `${text} B/s`;
}

/** `4 s`, `3 min`, `5 h`, `2 d`: the largest unit that says enough. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

/** Local time of day; with the date when it was not today. */
export function clock(ms: number, nowMs: number = ms): string {
  const at = new Date(ms);
  const time = at.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
  return at.toDateString() === new Date(nowMs).toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** What the hypervisor enforces, in words. */
export function settingText(setting: Setting | null): string {
  if (setting === null) return 'unknown';
  switch (setting.resource) {
    case 'cpu':
      return `${setting.capCores === null ? 'no cap' : `cap ${amount(setting.capCores, 'cores')}`}, weight ${Number(setting.weight.toFixed(1))}`;
    case 'memory':
      return amount(setting.memoryMiB, 'MiB');
    case 'network':
      return `in ${limit(setting.inboundBytesPerSecond)}, out ${limit(setting.outboundBytesPerSecond)}`;
    case 'disk':
      return `${limit(setting.bytesPerSecond)}${setting.iops === null ? '' : `, ${setting.iops.toFixed(0)} IOPS`}`;
  }
}

function limit(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? 'no limit' : amount(bytesPerSecond, 'bytes/s');
}
