/**
 * From what a dashboard shows to Grafana's JSON. Input: title, variables, panels with their queries; output: a dashboard
 * model, laid out two panels a row, the same text for the same input.
 */
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { DATASOURCE, influxTarget } from './influx-target.ts';

export interface PanelSpec {
  title: string;
  /** Grafana's name of the unit. */
  unit: string;
  /** What is drawn and how to read it. */
  description: string;
  /** Series' name and InfluxQL. */
  queries: readonly (readonly [name: string, query: string])[];
  kind?: 'lines' | 'number';
  /** Of 24. */
  width?: 6 | 12 | 24;
  /** Least value of the axis. */
  min?: number;
}

export interface DashboardSpec {
  uid: string;
  title: string;
  description: string;
  /** Name, label and the query for its values. */
  variables: readonly (readonly [name: string, label: string, query: string])[];
  panels: readonly PanelSpec[];
  annotations?: readonly (readonly [name: string, query: string, textColumn: string])[];
  from?: string;
}

const HEIGHT = 8;

export function buildDashboard(spec: DashboardSpec): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(['headroom'])
    .time({ from: spec.from ?? 'now-3h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .readonly();
  for (const [name, label, query] of spec.variables) {
    builder.withVariable(
      new dashboard.QueryVariableBuilder(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.OnDashboardLoad)
        .sort(dashboard.VariableSort.AlphabeticalAsc),
    );
  }
  for (const [name, query, textColumn] of spec.annotations ?? []) {
    builder.annotation(
      new dashboard.AnnotationQueryBuilder()
        .name(name)
        .datasource(DATASOURCE)
        .enable(true)
        .iconColor('orange')
        .target(influxTarget('Anno', query, { fromAnnotations: true, textColumn })),
    );
  }
  for (const panel of spec.panels) builder.withPanel(panelOf(panel));
  return builder.build();
}

function panelOf(spec: PanelSpec): StatBuilder | TimeSeriesBuilder {
  const panel =
    spec.kind === 'number' ? new StatBuilder() : new TimeSeriesBuilder().lineWidth(1).fillOpacity(5).spanNulls(false).insertNulls(false);
  panel
    .title(spec.title)
    .description(spec.description)
    .unit(spec.unit)
    .datasource(DATASOURCE)
    .height(HEIGHT)
    .span(spec.width ?? 12);
  if (spec.min !== undefined) panel.min(spec.min);
  for (const [i, [name, query]] of spec.queries.entries()) {
    panel.withTarget(influxTarget(String.fromCharCode('A'.charCodeAt(0) + i), query, { alias: name }));
  }
  return panel;
}
