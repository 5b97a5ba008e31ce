/**
 * What a VM wanted in the steps of the last week, as whichever aggregator owned it then wrote it to the shared series. Input: the
 * store, a VM, times; output: estimated demand by resource and step. Rows of two days are as they were written; older ones are
 * five-minute bins, each of which holds one step where steps are five minutes long, and none is asked for where they are shorter.
 */
import type { VmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource } from '../../shared/resources.ts';
import { demandField } from '../core/state/series-rows.ts';
import type { Resolution, SeriesStore } from '../store/series-store.ts';

export interface DemandStep {
  startMs: number;
  value: number;
}

export type DemandHistory = Partial<Record<Resource, DemandStep[]>>;

const HOUR_MS = 3_600_000;
/** Seasons of a day and of a week, once; more would cost a successor of thousands of VMs minutes for little. */
const HISTORY_MS = 7 * 24 * HOUR_MS;
/** Rows as they came are kept for 48 hours at least. */
const RAW_MS = 47 * HOUR_MS;
const BIN_MS = 300_000;

export async function demandHistory(
  series: Pick<SeriesStore, 'query'>,
  vm: VmId,
  { stepMs, nowMs, sinceMs }: { stepMs: number; nowMs: number; sinceMs: number | null },
): Promise<DemandHistory> {
  const fromMs = Math.max(sinceMs ?? 0, nowMs - (stepMs % BIN_MS === 0 ? HISTORY_MS : RAW_MS));
  const rawFromMs = Math.max(fromMs, Math.floor((nowMs - RAW_MS) / BIN_MS) * BIN_MS);
  const history: DemandHistory = {};
  const parts: [Resolution, number, number][] = [
    ['5m', fromMs, rawFromMs],
    ['raw', rawFromMs, nowMs],
  ];
  for (const [resolution, from, to] of parts) if (from < to) await addPart(history, series, vm, resolution, from, to);
  return history;
}

async function addPart(
  history: DemandHistory,
  series: Pick<SeriesStore, 'query'>,
  vm: VmId,
  resolution: Resolution,
  fromMs: number,
  toMs: number,
): Promise<void> {
  const fields = RESOURCES.map(demandField);
  const { timesMs, columns } = await series.query({ subject: { kind: 'vm', id: vm }, source: 'host', fields, fromMs, toMs, resolution });
  for (const resource of RESOURCES) {
    const values = columns[demandField(resource)];
    const known = history[resource] ?? [];
    history[resource] = known;
    for (const [i, startMs] of timesMs.entries()) {
      const value = values?.[i] ?? Number.NaN;
      if (!Number.isNaN(value)) known.push({ startMs, value });
    }
  }
}
