/**
 * A notification as Prometheus' Alertmanager tells its webhook receivers (message format version 4), so that what takes alerts
 * from there takes ours. Input: a notification of kind `anomaly`; output: the message, or null for one that is no alert. One VM and
 * incident is one alert: its fingerprint stays the same until it is resolved.
 */
import { createHash } from 'node:crypto';
import type { Incident } from '../core/anomaly/incident.ts';
import type { Notification } from './notifier.ts';

interface Alert {
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
  generatorURL: string;
  fingerprint: string;
}

/** As Alertmanager writes "not yet". */
const NO_END = '0001-01-01T00:00:00Z';

export function alertmanagerMessage({ vm, vmName, message, data }: Notification): object | null {
  const { incident, change } = data as { incident?: Incident; change?: string };
  if (incident === undefined || change === undefined) return null;
  const status = change === 'closed' ? 'resolved' : 'firing';
  const labels = { alertname: 'HeadroomVmAnomaly', vm, vm_name: vmName, host: incident.host, severity: incident.severity };
  const annotations = {
    summary: `${vmName}: ${message}`,
    // What may change while it goes on is no label: it would make another alert of it.
    kind: incident.kind,
    contributors: incident.contributors.map(({ name, share }) => `${name} ${Math.round(share * 100)} %`).join(', '),
  };
  const alert: Alert = {
    status,
    labels,
    annotations,
    startsAt: new Date(incident.startMs).toISOString(),
    endsAt: incident.endMs === null ? NO_END : new Date(incident.endMs).toISOString(),
    generatorURL: '',
    fingerprint: createHash('sha256').update(`${vm}/${incident.startMs}`).digest('hex').slice(0, 16),
  };
  return {
    version: '4',
    groupKey: `{}:{alertname="${labels.alertname}", vm="${vm}"}`,
    truncatedAlerts: 0,
    status,
    receiver: 'headroom',
    groupLabels: { alertname: labels.alertname, vm },
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: '',
    alerts: [alert],
  };
}
