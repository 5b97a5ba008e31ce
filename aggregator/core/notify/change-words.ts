/**
 * A change in the words of the VM's owner, not of the planner: `CPU raised from 1.0 to 1.5 cores at 08:55 because the 09:00
 * rise is expected`. Input: what was, what is, why; output: one sentence. Times are UTC.
 */
import type { CpuSetting, Resource, Setting } from '../../../shared/resources.ts';
import type { Constraint, PlanStep } from '../plan/plan.ts';

const NAMES: Readonly<Record<Resource, string>> = { cpu: 'CPU', memory: 'Memory', network: 'Network', disk: 'Disk' };

const GROWTH_BECAUSE: Partial<Record<Constraint, string>> = {
  pressure: 'it was held down and needs more now',
  rollback: 'taking it away had done harm',
  startup: 'it is starting',
  repayment: 'what it lent is paid back',
  floor: 'it is never to have less',
  guaranteed: 'so much of it is guaranteed',
  'working-set': 'it works with so much',
};
const SHRINK_BECAUSE: Partial<Record<Constraint, string>> = {
  'working-set': 'that is all it works with',
  'in-use': 'no more is wanted now, nor soon',
  ceiling: 'it may have no more',
  lent: 'a more important VM needs it for a while',
  repayment: 'what it borrowed is given back',
  throttle: 'its host has not enough for all',
};

/** `expectedByMs`: end of the step in which the demand behind a growth is expected. */
export function changeNotice(step: Pick<PlanStep, 'from' | 'to' | 'constraint' | 'direction' | 'expectedByMs'>, atMs: number): string {
  return `${changeWords(step.from, step.to, atMs)} because ${because(step, atMs)}`;
}

function because({ direction, constraint, expectedByMs }: Parameters<typeof changeNotice>[0], atMs: number): string {
  if (direction === 'shrink') return SHRINK_BECAUSE[constraint] ?? 'no more is expected to be needed soon';
  const known = GROWTH_BECAUSE[constraint];
  if (known !== undefined) return known;
  if (expectedByMs === undefined) return 'it needs more now';
  const by = clockWords(expectedByMs);
  return by === clockWords(atMs) ? 'more is about to be needed' : `the ${by} rise is expected`;
}

/** Without the reason: for changes of which only the values are known. */
export function changeWords(from: Setting, to: Setting, atMs: number): string {
  return `${what(from, to)} at ${clockWords(atMs)}`;
}

function what(from: Setting, to: Setting): string {
  if (from.resource === 'cpu' && to.resource === 'cpu') return cpuWords(from, to);
  if (from.resource === 'memory' && to.resource === 'memory') {
    return moved('Memory', from.memoryMiB, to.memoryMiB, (value) => value.toFixed(0), 'MiB');
  }
  const name = NAMES[to.resource];
  return moved(name, rateOf(from), rateOf(to), (value) => (value / 1e6).toFixed(1), 'MB/s');
}

function cpuWords(from: CpuSetting, to: CpuSetting): string {
  const tenths = (value: number): string => (Math.abs(value * 10 - Math.round(value * 10)) < 1e-6 ? value.toFixed(1) : value.toFixed(2));
  if (from.capCores === to.capCores) return moved('CPU share', from.weight, to.weight, (value) => value.toFixed(0), 'of weight');
  return moved('CPU', from.capCores ?? Number.POSITIVE_INFINITY, to.capCores ?? Number.POSITIVE_INFINITY, tenths, 'cores');
}

/** Headline rate; Infinity = no limit. */
function rateOf(setting: Setting): number {
  if (setting.resource === 'disk') return setting.bytesPerSecond ?? Number.POSITIVE_INFINITY;
  if (setting.resource !== 'network') return Number.NaN;
  const { inboundBytesPerSecond: inbound, outboundBytesPerSecond: outbound } = setting;
  return inbound === null && outbound === null ? Number.POSITIVE_INFINITY : (inbound ?? 0) + (outbound ?? 0);
}

function moved(name: string, from: number, to: number, text: (value: number) => string, unit: string): string {
  if (to === Number.POSITIVE_INFINITY) return `${name} limit of ${text(from)} ${unit} lifted`;
  if (from === Number.POSITIVE_INFINITY) return `${name} limited to ${text(to)} ${unit}`;
  return `${name} ${to >= from ? 'raised' : 'lowered'} from ${text(from)} to ${text(to)} ${unit}`;
}

/** UTC, minutes. */
function clockWords(ms: number): string {
  return new Date(ms).toISOString().slice(11, 16);
}
