/**
 * Looks and samples: every look reads what the host sees of its VMs for the guards; once a period it is also a sample, with
 * the host's collectors, that becomes rows for the aggregator. Input: collectors and counter sources; output: rows in the
 * buffer, and a log of what failed or was dropped.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { HOST_FIELDS, type TelemetryBlock } from '../../shared/telemetry.ts';
import type { Collector } from '../collectors/collector.ts';
import { ExtraRows } from '../core/extra-rows.ts';
import type { SampleBuffer, SampleBufferStats } from '../core/sample-buffer.ts';
import { sample } from './collect.ts';
import { CollectorReports } from './collector-reports.ts';
import { type HostContext, lookMs } from './host-context.ts';
import { type CounterSource, lookAtHost, lookAtVms } from './look.ts';

export interface SamplingOptions {
  collectors: readonly Collector[];
  /** Dear ones, run more seldom. */
  slowCollectors?: readonly Collector[];
  counters: CounterSource;
}

export interface Sampling {
  /** At the pace of looks. */
  look(): void;
  metrics(): Record<string, number>;
}

export function createSampling(options: SamplingOptions, context: HostContext, buffer: SampleBuffer): Sampling {
  const { clock, log } = context;
  const dropLog = createDropLog(log, clock);
  const reports = new CollectorReports(log);
  const extras = new ExtraRows(HOST_FIELDS);
  const collectorsDue = paced(options, clock);
  const append = (block: TelemetryBlock): void => buffer.append(block, clock.monotonicMs(), undefined, true);
  const { sampleMs } = context.settings;
  const slackMs = lookMs(context.settings) / 2;
  let sampledAtMs = Number.NEGATIVE_INFINITY;
  return {
    look() {
      lookAtVms(context, options.counters);
      // Timers fire a little early or late: the look nearest to the period's end takes the sample.
      if (clock.monotonicMs() - sampledAtMs < sampleMs - slackMs) {
        lookAtHost(context, options.collectors);
        return;
      }
      sampledAtMs = clock.monotonicMs();
      const { stats } = buffer;
      dropLog(stats);
      reports.take(sample(context, { collectors: collectorsDue(), extras, append, buffer: stats }));
    },
    metrics: () => reports.metrics(),
  };
}

/** Drops and a disk that fails are told at most this often. */
const DROP_LOG_MS = 60_000;

function createDropLog(log: Logger, clock: Clock): (stats: SampleBufferStats) => void {
  let told = '';
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return ({ droppedRows, ring }) => {
    const nothing = Object.values(droppedRows).every((rows) => rows === 0) && !ring?.writeFailures;
    if (nothing || clock.monotonicMs() - toldAtMs < DROP_LOG_MS) return;
    const now = JSON.stringify([droppedRows, ring?.writeFailures ?? 0]);
    if (now === told) return;
    told = now;
    toldAtMs = clock.monotonicMs();
    log.warn('rows were dropped, or could not go to disk', { droppedRows, ringError: ring?.lastError ?? null });
  };
}

/** Dear collectors. */
const SLOW_MS = 15_000;

/** The collectors of this moment. */
function paced({ collectors, slowCollectors = [] }: SamplingOptions, clock: Clock): () => readonly Collector[] {
  const all = [...collectors, ...slowCollectors];
  let slowAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.monotonicMs() - slowAtMs < SLOW_MS) return collectors;
    slowAtMs = clock.monotonicMs();
    return all;
  };
}
