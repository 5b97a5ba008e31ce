/** The anomaly desk with what it works through: a sender of actions and a reporter. Parts in, desk out. */
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { DecisionConfig } from '../config.ts';
import { type OutlierFinder, Peers } from '../core/anomaly/peers.ts';
import { type VmActionOptions, VmActions } from '../execute/vm-actions.ts';
import { AnomalyDesk } from './anomaly-desk.ts';
import { IncidentReporter } from './incident-reporter.ts';
import { KeptIncidents } from './kept-incidents.ts';
import type { Parts } from './parts.ts';

export interface AnomalyParts extends Pick<Parts, 'clock' | 'time' | 'state' | 'events' | 'queue' | 'notifications' | 'ledger'> {
  config: DecisionConfig;
  epochOf: VmActionOptions['epochOf'];
  log: Logger;
  send: VmActionOptions['send'];
  understands: (host: HostId, capability: string) => boolean;
  outliers: OutlierFinder | undefined;
}

export function createAnomalies(parts: AnomalyParts): AnomalyDesk {
  const { clock, epochOf, time, state, events, queue, notifications, log, config, send, understands } = parts;
  const { stepMs, anomalyLearningSteps: learningSteps, commandRetryMs: retryMs, commandDeadlineMs: deadlineMs } = config;
  return new AnomalyDesk({
    ...{ stepMs, learningSteps, time, state, understands },
    kept: new KeptIncidents(parts.ledger),
    peers: parts.outliers && new Peers(parts.outliers),
    actions: new VmActions({ clock, epochOf, send, retryMs, deadlineMs }),
    reporter: new IncidentReporter({ events, queue, notifications, log, nowMs: () => time.nowMs() }),
  });
}
