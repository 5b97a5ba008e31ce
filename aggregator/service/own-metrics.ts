/** What the aggregator tells of itself: names and numbers, as `/metrics` and the health pages show them. */
import type { Loop } from '../loops/loop.ts';
import { loopMetrics } from '../loops/loop.ts';
import type { Notifier } from '../notify/notifier.ts';
import type { Parts } from './parts.ts';

/** Counted since the start. */
export interface AggregatorCounters {
  lintFindings: number;
  rowsNotStored: number;
  fits: number;
}

export function ownMetrics(
  parts: Parts,
  counters: AggregatorCounters,
  loops: readonly Loop[],
  notifiers: readonly Notifier[],
): Record<string, number> {
  const { state, executor, time, epoch, events, queue, models, ingest, series } = parts;
  const plan = parts.latestPlan()?.plan;
  const metrics: Record<string, number> = {
    epoch,
    hosts: state.hostIds().length,
    vms: state.vmIds().length,
    clock_aside_ms: time.asideMs(),
    plan_steps: plan?.steps.length ?? 0,
    plan_not_done: plan?.notDone.length ?? 0,
    lint_findings_total: counters.lintFindings,
    rows_not_stored_total: counters.rowsNotStored,
    series_store_away: (series.trouble?.() ?? null) === null ? 0 : 1,
    news_dropped_total: state.newsDropped,
    events_forgotten_total: events.forgotten,
    ledger_waiting: queue.waiting,
    ledger_dropped_total: queue.dropped,
    ledger_failed_total: queue.failed,
    model_fits_total: counters.fits,
    models_restored_total: models.restored,
    models_relearnt_steps_total: models.relearntSteps,
    models_refused_total: models.refused,
    models_written_total: models.written,
    models_written_bytes_total: models.writtenBytes,
    models_behind: models.behind,
    models_of_gone_vms: models.gone,
    models_forgotten_total: models.forgotten,
    models_restores_dropped_total: models.dropped,
    commands_waiting: executor.waiting,
    ...parts.anomalies.metrics(),
    ...parts.hosts.metrics(),
  };
  for (const [name, count] of Object.entries(executor.counters)) metrics[`commands_${snake(name)}_total`] = count;
  for (const loop of loops) Object.assign(metrics, loopMetrics(loop));
  for (const notifier of notifiers) Object.assign(metrics, notifier.metrics());
  return Object.assign(metrics, ingest.metrics());
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
