/**
 * What live detection sees of a VM as a row of its series, one a step: how unusual it is, whether an incident is open, what
 * began and what is over. Input: the detection's state after the step, what changed; output: a block, null before the VM has
 * been looked at. `open` counts what nobody has explained, `explained` the rest (our own resizes, a storm).
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { type NamedValue, ownRow } from '../state/own-row.ts';
import type { FleetChange } from './fleet-incidents.ts';
import type { Severity } from './incident.ts';
import type { Seen } from './vm-incidents.ts';

/** As one number, for panels that colour by it; 0: no incident. */
const SEVERITY: Readonly<Record<Severity, number>> = { info: 1, warning: 2, page: 3 };

export function anomalyBlock(vm: string, timeMs: number, seen: Seen | null, change: FleetChange | null): TelemetryBlock | null {
  if (seen === null) return null;
  const { likelihood, open } = seen;
  const row: NamedValue[] = [
    ['vm_anomaly.likelihood', likelihood],
    ['vm_anomaly.open', open !== null && open.explainedBy === null ? 1 : 0],
    ['vm_anomaly.explained', open !== null && open.explainedBy !== null ? 1 : 0],
    ['vm_anomaly.severity', open === null ? 0 : SEVERITY[open.severity]],
  ];
  // Rows of these are few: they are annotations and counts.
  if (change?.change === 'opened') row.push(['vm_anomaly.began', change.incident.likelihood], ['vm_anomaly.alerted', change.alert ? 1 : 0]);
  if (change?.change === 'closed') row.push(['vm_anomaly.lastedSeconds', (timeMs - change.incident.startMs) / 1000]);
  return ownRow({ kind: 'vm', id: vm }, timeMs, row);
}
