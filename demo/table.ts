/**
 * The live table: one line per guest and managed resource, and the last decision below it. Input: what the API says of the
 * VMs; output: lines of text. Pure.
 */
import type { ResourceView, VmView } from '../aggregator/http/service.ts';
import type { Resource } from '../shared/resources.ts';

const COLUMNS = ['guest', 'resource', 'mode', 'usage', 'forecast 50 %', 'to 95 %', 'allocation', 'last decision'] as const;
const WIDTHS = [22, 8, 9, 9, 13, 9, 12, 0] as const;
/** What the demo manages first, then what it only looks at. */
const ORDER: readonly Resource[] = ['cpu', 'memory', 'network', 'disk'];

const row = (cells: readonly string[]): string =>
  cells
    .map((cell, index) => cell.padEnd(WIDTHS[index] ?? 0))
    .join(' ')
    .trimEnd();

function amount(value: number | null, unit: ResourceView['unit']): string {
  if (value === null) return '—';
  if (unit === 'cores') return value.toFixed(2);
  if (unit === 'MiB') return value.toFixed(0);
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB/s` : `${(value / 1e3).toFixed(1)} kB/s`;
}

/** Highest value of a quantile (the nearest level at or above it) over the horizons: what the planner must cover. */
export function bandOf(view: ResourceView, level: number): number | null {
  const { forecast } = view;
  if (forecast === null) return null;
  let column = forecast.quantiles.findIndex((quantile) => quantile >= level - 1e-9);
  if (column < 0) column = forecast.quantiles.length - 1;
  const values = forecast.horizons.map((_, horizon) => forecast.values[horizon * forecast.quantiles.length + column]);
  const known = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  return known.length === 0 ? null : Math.max(...known);
}

function decision(view: ResourceView): string {
  const last = view.lastDecision;
  if (last === null) return '';
  const end = last.done ? (last.outcome ?? 'under way') : last.constraint;
  return `${end}: ${last.reason}`;
}

export function tableLines(vms: readonly VmView[], footer: string): string[] {
  const lines = ['', row(COLUMNS)];
  for (const vm of vms.toSorted((a, b) => a.name.localeCompare(b.name))) {
    for (const resource of ORDER) {
      const view = vm.resources[resource];
      // Observed resources without a reading say nothing.
      if (view.mode === 'observe' && view.usage === null) continue;
      const allocation = view.uncapped ? 'no limit' : amount(view.allocation, view.unit);
      const band = [amount(bandOf(view, 0.5), view.unit), amount(bandOf(view, 0.95), view.unit)];
      lines.push(row([vm.name, resource, view.mode, amount(view.usage, view.unit), ...band, allocation, decision(view)]));
    }
  }
  return [...lines, footer];
}
