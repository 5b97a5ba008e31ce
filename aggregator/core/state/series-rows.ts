/**
 * What the aggregator itself adds to the series of a VM, one row per finished step: estimated demand, what is allocated,
 * and the forecast made then. Rows carry the step's start. Field names of forecasts say quantile and horizon:
 * `vm_forecast.cpuCores/q0.99/h1` in the row of step T is the 0.99 quantile for step T + 1.
 */
import { RESOURCES, type Resource, type Setting } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { type ForecastView, headline } from '../plan/plan.ts';
import { type NamedValue, ownRow } from './own-row.ts';

const UNITS: Readonly<Record<Resource, { name: string; demand: string }>> = {
  cpu: { name: 'cpuCores', demand: 'vm_cpu.demandCores' },
  memory: { name: 'memoryMiB', demand: 'vm_memory.demandMiB' },
  network: { name: 'networkBytesPerSecond', demand: 'vm_network.demandBytesPerSecond' },
  disk: { name: 'diskBytesPerSecond', demand: 'vm_disk.demandBytesPerSecond' },
};

export interface StepRow {
  vm: string;
  startMs: number;
  demand: Partial<Record<Resource, number>>;
  current: Partial<Record<Resource, Setting>>;
  forecasts: Partial<Record<Resource, ForecastView>>;
  /** What had been forecast for this step one step before. */
  foretold: Partial<Record<Resource, ForecastView>>;
  /** The level each resource's decisions aim at. */
  levels: Partial<Record<Resource, number>>;
}

/** The field of estimated demand. */
export function demandField(resource: Resource): string {
  return UNITS[resource].demand;
}

/** A resource's amounts in field names: `cpuCores`, `memoryMiB`, … */
export function amountName(resource: Resource): string {
  return UNITS[resource].name;
}

export function stepBlock({ vm, startMs, demand, current, forecasts, foretold, levels }: StepRow): TelemetryBlock | null {
  const row: NamedValue[] = [];
  for (const resource of RESOURCES) {
    const unit = UNITS[resource];
    const wanted = demand[resource];
    if (wanted !== undefined) row.push([unit.demand, wanted]);
    const setting = current[resource];
    // No limit is not a number: the field is left out, which reads as unknown.
    const allocated = setting ? headline(setting, Number.NaN) : Number.NaN;
    if (!Number.isNaN(allocated)) row.push([`vm_allocation.${unit.name}`, allocated]);
    if (!Number.isNaN(allocated) && wanted !== undefined) row.push([`vm_allocation.${unit.name}/violated`, wanted > allocated ? 1 : 0]);
    const before = foretold[resource];
    if (before && wanted !== undefined) row.push(...qualityFields(unit.name, before, startMs, wanted, levels[resource]));
    if (setting?.resource === 'cpu') row.push(['vm_allocation.cpuWeight', setting.weight]);
    const forecast = forecasts[resource];
    if (forecast) row.push(...forecastFields(unit.name, forecast, levels[resource]));
  }
  if (row.length === 0) return null;
  return ownRow({ kind: 'vm', id: vm }, startMs, row);
}

function forecastFields(name: string, forecast: ForecastView, level: number | undefined): NamedValue[] {
  const fields: NamedValue[] = [];
  const { horizons, quantiles, values } = forecast;
  const last = horizons.length - 1;
  // The next step, and one further on: enough to draw a band and to judge it later.
  for (const index of last === 0 ? [0] : [0, last]) {
    for (let j = 0; j < quantiles.length; j++) {
      const quantile = quantiles[j]!;
      if (quantile !== 0.5 && quantile !== level) continue;
      fields.push([`vm_forecast.${name}/${levelText(quantile)}/h${horizons[index]!}`, values[index * quantiles.length + j]!]);
    }
  }
  return fields;
}

/** Policies aim at few levels: each is written out once, not for every VM in every step. */
const LEVELS_MAX = 1024;
const levelTexts = new Map<number, string>();

function levelText(quantile: number): string {
  let text = levelTexts.get(quantile);
  if (text === undefined) {
    if (levelTexts.size >= LEVELS_MAX) levelTexts.clear();
    text = `q${Number(quantile.toPrecision(6))}`;
    levelTexts.set(quantile, text);
  }
  return text;
}

/**
 * How the forecast for this step did: `error` is demand less the median, `exceeded` is 1 where demand was above the level
 * that decisions aim at, which is to happen in a share of 1 − level of all steps.
 */
function qualityFields(name: string, forecast: ForecastView, startMs: number, demand: number, level: number | undefined): NamedValue[] {
  const horizon = forecast.horizons.indexOf(1);
  if (forecast.fromMs !== startMs || horizon < 0) return [];
  const row = horizon * forecast.quantiles.length;
  const at = (quantile: number): number | undefined => {
    const column = forecast.quantiles.indexOf(quantile);
    return column < 0 ? undefined : forecast.values[row + column];
  };
  const median = at(0.5);
  const high = level === undefined ? undefined : at(level);
  const fields: NamedValue[] = [];
  if (median !== undefined) fields.push([`vm_forecast.${name}/error`, demand - median]);
  if (high !== undefined) fields.push([`vm_forecast.${name}/exceeded`, demand > high ? 1 : 0]);
  return fields;
}

/** A decision as a row at the plan's time: what was aimed at, and what it led to. */
export function decisionBlock(
  vm: string,
  atMs: number,
  steps: readonly { resource: Resource; predicted: number; to: Setting }[],
): TelemetryBlock {
  const row = steps.flatMap(({ resource, predicted, to }): NamedValue[] => {
    const { name } = UNITS[resource];
    const target = headline(to, Number.NaN);
    return [
      [`vm_decision.${name}/predicted`, predicted],
      [`vm_decision.${name}/target`, target],
    ];
  });
  return ownRow({ kind: 'vm', id: vm }, atMs, row);
}
