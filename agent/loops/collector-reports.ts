/**
 * What becomes of collectors' reports: a log line when what one has to say changes (not each second), and figures for the
 * agent's metrics. Input: reports of each round; output: lines and numbers.
 */
import type { Logger } from '../../shared/log.ts';
import type { CollectorReport } from '../collectors/collector.ts';

export class CollectorReports {
  readonly #log: Logger;
  readonly #last = new Map<string, string>();
  readonly #failures = new Map<string, number>();
  readonly #ms = new Map<string, number>();
  #rounds = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  take(reports: readonly CollectorReport[]): void {
    this.#rounds++;
    for (const { name, outcome, reason, durationMs } of reports) {
      this.#ms.set(name, (this.#ms.get(name) ?? 0) + durationMs);
      if (outcome === 'failed') this.#failures.set(name, (this.#failures.get(name) ?? 0) + 1);
      const now = `${outcome} ${reason}`;
      if (this.#last.get(name) === now) continue;
      if (this.#last.has(name) || outcome !== 'ok') {
        this.#log[outcome === 'failed' ? 'warn' : 'info'](`collector ${name}: ${outcome}`, { reason });
      }
      this.#last.set(name, now);
    }
  }

  metrics(): Record<string, number> {
    const metrics: Record<string, number> = { collector_rounds_total: this.#rounds };
    for (const [name, ms] of this.#ms) metrics[`collector_ms_total{name="${name}"}`] = ms;
    for (const [name, count] of this.#failures) metrics[`collector_failures_total{name="${name}"}`] = count;
    return metrics;
  }
}

/** How a round went, for the agent's health. */
export function roundHealth(reports: readonly CollectorReport[]): { failed: number; durationMs: number } {
  return {
    failed: reports.filter(({ outcome }) => outcome === 'failed').length,
    durationMs: reports.reduce((sum, { durationMs }) => sum + durationMs, 0),
  };
}
