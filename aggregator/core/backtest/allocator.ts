/**
 * One VM and resource in a backtest: a sample in, the allocation from the next sample on out. Forecaster and sizer are the
 * ones of the live core; policy is the plainest: ceiling = the VM's size, floor 1 % of it, no cooldown, no step limit.
 * It is given samples one by one, so that it cannot look ahead.
 */
import type { Forecast, Forecaster } from '../forecast/forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../forecast/registry.ts';
import { BudgetSizer, SIZER_HORIZONS, SIZER_QUANTILES } from '../plan/budget-sizer.ts';
import { DAY_MS } from './score.ts';
import type { BacktestResource } from './trace.ts';

/** Changes of a VM and day that are aimed at: under one an hour; a balloon moves less often than a quota. Of memory 16 instead of 14 left 0.3 points less idle. */
const RESIZES_PER_DAY: Readonly<Record<BacktestResource, number>> = { cpu: 21, memory: 16, cpumax: 21 };
/** Floor and least difference that matters, as a share of the size. */
const FLOOR_SHARE = 0.01;
const SEASONS_MS = [DAY_MS, 7 * DAY_MS];

export interface AllocatorOptions {
  resource: BacktestResource;
  stepMs: number;
  violationBudget: number;
  /** The VM's size: the ceiling. */
  granted: number;
}

export class BacktestAllocator {
  readonly #forecaster: Forecaster;
  readonly #sizer: BudgetSizer;
  readonly #granted: number;

  constructor({ resource, stepMs, violationBudget, granted }: AllocatorOptions) {
    this.#granted = granted;
    this.#forecaster = forecasterFactory(AGGREGATE).create({ stepMs, seasonsMs: SEASONS_MS, resolution: FLOOR_SHARE * granted });
    const resizeBudget = Math.min(1, (RESIZES_PER_DAY[resource] * stepMs) / DAY_MS);
    this.#sizer = new BudgetSizer({ violationBudget, resizeBudget, floor: FLOOR_SHARE * granted, ceiling: granted });
  }

  /**
   * Takes a sample (NaN = unknown: nothing is learnt), and what the VM's other resources used in it, and returns the allocation in force
   * from the next one on.
   */
  next(timeMs: number, used: number, others?: readonly number[]): number {
    if (Number.isNaN(used)) return this.#sizer.allocation;
    const demand = Math.min(used, this.#granted);
    this.#sizer.observe(demand);
    this.#forecaster.observe({ timeMs, value: demand, ...(others && { others }) });
    const forecast = this.#forecaster.forecast(SIZER_HORIZONS, SIZER_QUANTILES);
    return forecast === null ? this.#sizer.allocation : this.#sizer.decide(forecast);
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    return this.#forecaster.forecast(horizons, quantiles);
  }
}
