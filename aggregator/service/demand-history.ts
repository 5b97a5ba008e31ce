/**
 * What VMs wanted in the steps of the last week, as whichever aggregator owned them then wrote it to the shared series. Input: the
 * store, VMs, times; output: estimated demand of each by resource and step, asked for together: to a server each query costs more than its rows. Rows of two days are as they were written; older ones are
 * five-minute bins, each of which holds one step where steps are five minutes long, and none is asked for where they are shorter.
 */
import type { VmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource } from '../../shared/resources.ts';
import type { Subject } from '../../shared/telemetry.ts';
import { demandField } from '../core/state/series-rows.ts';
import type { Resolution, SeriesResult, SeriesStore } from '../store/series-store.ts';

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

/** `sinceMs`: of each VM, null = as far back as is of use. Histories in the order of `vms`. */
export async function demandHistories(
  series: Pick<SeriesStore, 'queryMany'>,
  vms: readonly { vm: VmId; sinceMs: number | null }[],
  { stepMs, nowMs }: { stepMs: number; nowMs: number },
): Promise<DemandHistory[]> {
  const earliestMs = nowMs - (stepMs % BIN_MS === 0 ? HISTORY_MS : RAW_MS);
  const fromMs = Math.max(earliestMs, Math.min(...vms.map(({ sinceMs }) => sinceMs ?? 0)));
  const rawFromMs = Math.max(fromMs, Math.floor((nowMs - RAW_MS) / BIN_MS) * BIN_MS);
  const histories = vms.map((): DemandHistory => ({}));
  const parts: [Resolution, number, number][] = [
    ['5m', fromMs, rawFromMs],
    ['raw', rawFromMs, nowMs],
  ];
  const subjects = vms.map(({ vm: id }): Subject => ({ kind: 'vm', id }));
  const fields = RESOURCES.map(demandField);
  for (const [resolution, from, to] of parts) {
    if (from >= to) continue;
    const results = await series.queryMany({ subjects, source: 'host', fields, fromMs: from, toMs: to, resolution });
    for (const [i, result] of results.entries()) addPart(histories[i]!, result, vms[i]!.sinceMs ?? Number.NEGATIVE_INFINITY);
  }
  return histories;
}

function addPart(history: DemandHistory, { timesMs, columns }: SeriesResult, sinceMs: number): void {
  for (const resource of RESOURCES) {
    const values = columns[demandField(resource)];
    const known = history[resource] ?? [];
    history[resource] = known;
    for (const [i, startMs] of timesMs.entries()) {
      const value = values?.[i] ?? Number.NaN;
      if (startMs >= sinceMs && !Number.isNaN(value)) known.push({ startMs, value });
    }
  }
}
