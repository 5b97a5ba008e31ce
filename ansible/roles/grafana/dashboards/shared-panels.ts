/** Panels that several dashboards have, each of its own subject. Input: whose series; output: panels, or their queries. */
import type { PanelSpec } from './build-dashboard.ts';
import { line } from './influxql.ts';

/** One line of a subject: what it tells of a field. */
export type SeriesOf = (measurement: string, field: string, aggregate?: 'mean' | 'max' | 'last') => string;

/** @param where which subject, as InfluxQL's condition */
export function seriesOf(where: string): SeriesOf {
  return (measurement, field, aggregate = 'mean') => line(aggregate, { measurement, field, where });
}

/** Bytes over the network and the disks. `kind`: first word of the measurements; `scope`: what the rates are of. */
export function trafficPanels(of: SeriesOf, kind: 'host' | 'vm', scope: { network: string; disk: string }): PanelSpec[] {
  const panel = (title: 'Network' | 'Disk', description: string, queries: PanelSpec['queries']): PanelSpec => {
    return { title, unit: 'Bps', description, queries, min: 0 };
  };
  return [
    panel('Network', scope.network, [
      ['received', of(`${kind}_network`, 'receiveBytesPerSecond')],
      ['sent', of(`${kind}_network`, 'transmitBytesPerSecond')],
    ]),
    panel('Disk', scope.disk, [
      ['read', of(`${kind}_disk`, 'readBytesPerSecond')],
      ['written', of(`${kind}_disk`, 'writeBytesPerSecond')],
    ]),
  ];
}

/** What plans did, of all hosts or one. */
export function decisionsPanel(description: string, where?: string): PanelSpec {
  const count = (field: string): string => line('sum', { measurement: 'host_decision', field, ...(where === undefined ? {} : { where }) });
  return {
    title: 'Decisions',
    unit: 'short',
    description,
    queries: [
      ['made', count('steps')],
      ['not made', count('notDone')],
    ],
    min: 0,
  };
}
