/** Amounts, times and settings in words a person reads in a reason: `0.60 cores`, `512 MiB`, `08:55:15`. Values in, text out. */
import type { Resource, Setting } from '../../../shared/resources.ts';

export const RESOURCE_WORDS: Readonly<Record<Resource, string>> = { cpu: 'CPU', memory: 'memory', network: 'network', disk: 'disk' };

export function amountWords(resource: Resource, amount: number): string {
  if (amount === Number.POSITIVE_INFINITY) return 'no limit';
  return `${amountNumber(resource, amount)} ${unitWords(resource)}`;
}

export function amountNumber(resource: Resource, amount: number): string {
  switch (resource) {
    case 'cpu':
      return amount.toFixed(2);
    case 'memory':
      return amount.toFixed(0);
    default:
      return (amount / 1e6).toFixed(2);
  }
}

export function unitWords(resource: Resource): string {
  return resource === 'cpu' ? 'cores' : resource === 'memory' ? 'MiB' : 'MB/s';
}

/** UTC time of day. */
export function timeWords(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

/** Date and time of day where the administrator lives, with the zone's name. */
export function localWords(ms: number, timeZone: string): string {
  const options = { timeZone, dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' } as const;
  return `${new Intl.DateTimeFormat('en-GB', options).format(ms)} ${timeZone}`;
}

/** `95 %`, `99.99 %`: as many digits as the share needs. */
export function percentWords(share: number): string {
  return `${Number((share * 100).toPrecision(6))} %`;
}

export function settingWords(setting: Setting): string {
  switch (setting.resource) {
    case 'cpu': {
      const cap = setting.capCores === null ? 'no cap' : `cap ${setting.capCores.toFixed(2)} cores`;
      return `weight ${Number(setting.weight.toFixed(1))}, ${cap}`;
    }
    case 'memory':
      return `${setting.memoryMiB.toFixed(0)} MiB`;
    case 'network':
      return `in ${limitWords(setting.inboundBytesPerSecond)}, out ${limitWords(setting.outboundBytesPerSecond)}`;
    case 'disk':
      return `${limitWords(setting.bytesPerSecond)}, ${setting.iops === null ? 'no limit of operations' : `${setting.iops.toFixed(0)} IOPS`}`;
  }
}

function limitWords(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? 'no limit' : `${(bytesPerSecond / 1e6).toFixed(2)} MB/s`;
}
