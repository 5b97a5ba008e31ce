/**
 * From what the API says to the columns that are drawn. Input: a series, the forecast now, bounds; output: one time axis
 * with equal-length columns, `null` where nothing is known. Pure.
 */
import type { ResourceState, Series } from '../client/words.ts';

export type Column = (number | null)[];

export interface ChartData {
  /** UTC seconds, ascending. */
  times: number[];
  usage: Column;
  allocation: Column;
  demand: Column;
  median: Column;
  high: Column;
  floor: number | null;
  ceiling: number | null;
  /** Where the past ends, UTC seconds. */
  now: number;
  stepMs: number;
}

/** The future takes at most this share of the width: the past explains it. */
const FUTURE_SHARE_MAX = 0.25;
/** A value that comes once a step is drawn on until the next is overdue. */
const HELD_STEPS = 2;
/** Statistics of the hypervisor come every 10 to 60 s, as their cost allows: shorter gaps are pace, longer ones are unknown. */
const GAP_MS = 90_000;

export interface ChartInput {
  series: Series;
  view: Pick<ResourceState, 'forecast' | 'floor' | 'ceiling'>;
  fromMs: number;
  nowMs: number;
}

export function chartData({ series, view, fromMs, nowMs }: ChartInput): ChartData {
  const stepMs = series.stepMs ?? 0;
  const holdMs = Math.max(HELD_STEPS * stepMs, GAP_MS);
  const forecastHoldMs = HELD_STEPS * stepMs;
  const future = futureOf(
    { forecast: view.forecast, quantile: series.forecastQuantile },
    nowMs,
    nowMs + (nowMs - fromMs) * FUTURE_SHARE_MAX,
    series.timesMs.at(-1) ?? fromMs,
  );
  const pad = (past: Column): Column => [...past, ...future.times.map(() => null)];
  const times = series.timesMs;
  return {
    times: [...times, ...future.times].map((ms) => ms / 1000),
    usage: pad(bridged(times, series.usage, GAP_MS)),
    allocation: pad(held(times, series.allocation, holdMs)),
    demand: pad(held(times, series.demand, holdMs)),
    median: [...held(times, series.forecastMedian, forecastHoldMs), ...future.median],
    high: [...held(times, series.forecastHigh, forecastHoldMs), ...future.high],
    floor: view.floor,
    ceiling: view.ceiling,
    now: nowMs / 1000,
    stepMs,
  };
}

/** Carries a value on over gaps of at most `holdMs`. */
export function held(timesMs: readonly number[], values: Column, holdMs: number): Column {
  let last: number | null = null;
  let lastMs = Number.NEGATIVE_INFINITY;
  return values.map((value, i) => {
    const at = timesMs[i] ?? 0;
    if (value !== null) {
      last = value;
      lastMs = at;
      return value;
    }
    return at - lastMs <= holdMs ? last : null;
  });
}

/** A straight line across gaps of at most `gapMs`. */
export function bridged(timesMs: readonly number[], values: Column, gapMs: number): Column {
  const result = [...values];
  let last = -1;
  for (const [i, value] of values.entries()) {
    if (value === null) continue;
    const [from, to] = [timesMs[last] ?? Number.NEGATIVE_INFINITY, timesMs[i]!];
    if (i - last > 1 && to - from <= gapMs) {
      const start = values[last]!;
      for (let k = last + 1; k < i; k++) result[k] = start + ((value - start) * (timesMs[k]! - from)) / (to - from);
    }
    last = i;
  }
  return result;
}

interface Future {
  times: number[];
  median: Column;
  high: Column;
}

interface Expected {
  forecast: ResourceState['forecast'];
  /** The level drawn in the past; null = none was, then the highest. */
  quantile: number | null;
}

function futureOf({ forecast, quantile }: Expected, nowMs: number, untilMs: number, afterMs: number): Future {
  const future: Future = { times: [], median: [], high: [] };
  if (forecast === null) return future;
  const { quantiles, horizons, values, stepMs, fromMs } = forecast;
  const middle = nearest(quantiles, 0.5);
  const top = nearest(quantiles, quantile ?? 1);
  const add = (atMs: number, horizon: number): void => {
    const row = horizon * quantiles.length;
    future.times.push(atMs);
    future.median.push(values[row + middle] ?? null);
    future.high.push(values[row + top] ?? null);
  };
  for (const [i, horizon] of horizons.entries()) {
    const startMs = fromMs + (horizon - 1) * stepMs;
    const endMs = fromMs + ((horizons[i + 1] ?? horizon + 1) - 1) * stepMs;
    if (endMs <= Math.max(nowMs, afterMs)) continue;
    if (startMs > untilMs) break;
    add(Math.max(startMs, afterMs + 1, nowMs), i);
    const last = i === horizons.length - 1 || endMs > untilMs;
    if (last) add(Math.min(endMs, Math.max(untilMs, startMs + stepMs)), i);
  }
  return future;
}

function nearest(levels: readonly number[], wanted: number): number {
  let best = 0;
  for (const [i, level] of levels.entries()) if (Math.abs(level - wanted) < Math.abs(levels[best]! - wanted)) best = i;
  return best;
}

/** The highest forecast of the coming steps, at the highest quantile: what must be covered. */
export function expectedHigh(forecast: ResourceState['forecast']): number | null {
  if (forecast === null || forecast.values.length === 0) return null;
  const width = forecast.quantiles.length;
  const highs = forecast.horizons.map((_, i) => forecast.values[i * width + width - 1] ?? Number.NaN).filter(Number.isFinite);
  return highs.length === 0 ? null : Math.max(...highs);
}
