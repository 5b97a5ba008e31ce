/**
 * Scores a run from what it left in its stores. Input: the series store and the ledger, opened after their aggregator has
 * stopped, the guests, the time; output: the verdict. The only place where offered load is read: nothing that decides asks
 * for it.
 */
import type { VmView } from '../../aggregator/http/service.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import type { Source } from '../../shared/telemetry.ts';
import { ROSTER } from '../guests/roster.ts';
import type { Verdict } from '../report.ts';
import { DAY_MS } from '../workload/pattern.ts';
import { countCommands } from './commands.ts';
import { brokenRules, type GuestScore } from './rules.ts';
import { scoreGuest } from './score.ts';
import { type Columns, GUEST_SERIES, guestSeconds, HOST_SERIES } from './series.ts';

/** The first two cycles are for learning; rises count from the third on. */
const OPTIONS = { cycleSeconds: DAY_MS / 1000, learningCycles: 2 };

export interface Played {
  vms: readonly VmView[];
  fromMs: number;
  toMs: number;
  /** What was seen over Headroom's shoulder and did not agree, in words. */
  differences: readonly string[];
}

export async function judge(series: SeriesStore, ledger: LedgerStore, played: Played): Promise<Verdict> {
  const { vms, fromMs, toMs, differences } = played;
  const columns = async (id: string, source: Source, fields: readonly string[]): Promise<Columns> => {
    const result = await series.query({ subject: { kind: 'vm', id }, source, fields, fromMs, toMs, resolution: 'raw' });
    const known = (column: Float64Array): (number | null)[] => Array.from(column, (value) => (Number.isFinite(value) ? value : null));
    return {
      timesMs: [...result.timesMs],
      columns: Object.fromEntries(Object.entries(result.columns).map(([name, column]) => [name, known(column)])),
    };
  };
  const scores: GuestScore[] = [];
  for (const { name, role } of ROSTER) {
    const vm = vms.find((view) => view.name === name);
    if (!vm) continue;
    const host = await columns(vm.id, 'host', HOST_SERIES);
    const guest = await columns(vm.id, 'guest', GUEST_SERIES);
    for (const resource of ['cpu', 'memory'] as const) {
      scores.push({ name, role, resource, ...scoreGuest(guestSeconds(resource, host, guest, fromMs, toMs), OPTIONS) });
    }
  }
  const { commands, lintRejections } = await countCommands(ledger);
  return { scores, commands, lintRejections, broken: [...brokenRules(scores, commands), ...differences] };
}
