/** All dashboards with the names of their files, as text: what is checked in under files/dashboards and provisioned. */
import { AGENTS } from './agents.ts';
import { ANOMALIES } from './anomalies.ts';
import { buildDashboard, type DashboardSpec } from './build-dashboard.ts';
import { FLEET } from './fleet.ts';
import { FORECAST_QUALITY } from './forecast-quality.ts';
import { HOST } from './host.ts';
import { SAVINGS } from './savings.ts';
import { VM } from './vm.ts';

const ALL: readonly DashboardSpec[] = [FLEET, HOST, VM, ANOMALIES, FORECAST_QUALITY, SAVINGS, AGENTS];

/** File name → JSON. */
export function dashboardFiles(): Map<string, string> {
  return new Map(ALL.map((spec) => [`${spec.uid}.json`, `${JSON.stringify(buildDashboard(spec), null, 2)}\n`]));
}
