/**
 * InfluxQL as Grafana's InfluxDB data source takes it: the SDK has no query type for it. Input: a query with Grafana's
 * macros ($timeFilter, $__interval, variables), a name for its series; output: a target of a panel or an annotation.
 */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common';

/** The data source that files/provisioning/datasources makes. */
export const DATASOURCE: DataSourceRef = { type: 'influxdb', uid: 'headroom-influxdb' };

export interface InfluxTarget extends Dataquery {
  refId: string;
  datasource: DataSourceRef;
  query: string;
  rawQuery: true;
  resultFormat: 'time_series';
  alias?: string;
  /** Of annotations: the columns that become title and text. */
  fromAnnotations?: true;
  titleColumn?: string;
  textColumn?: string;
}

export function influxTarget(
  refId: string,
  query: string,
  more: Pick<InfluxTarget, 'alias' | 'fromAnnotations' | 'textColumn'> = {},
): Builder<Dataquery> {
  const target: InfluxTarget = {
    refId,
    datasource: DATASOURCE,
    query,
    rawQuery: true,
    resultFormat: 'time_series',
    ...more,
    _implementsDataqueryVariant: () => undefined,
  };
  return { build: () => target };
}
