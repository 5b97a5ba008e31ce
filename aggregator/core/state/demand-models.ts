/**
 * One forecaster per resource of a VM. Input: points of finished steps and the policy's wishes (which forecaster, how far,
 * which quantile); output: forecast views for planner and API, and bytes for checkpoints.
 */
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { Resource } from '../../../shared/resources.ts';
import type { Fitting } from '../forecast/fitted/fit.ts';
import type { Forecaster, ForecasterFactory, ForecasterOptions } from '../forecast/forecaster.ts';
import type { ForecastView } from '../plan/plan.ts';
import type { ResourcePolicy } from '../plan/policy.ts';

/** Levels that people look at; the policy's own is added. */
const QUANTILES_SHOWN = [0.5, 0.9, 0.95, 0.99];
/** Near steps one by one, then wider: between them the next longer one stands. */
const HORIZONS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 288];
/** The plan comes some time after the step's end: so many steps more are forecast than the policy looks ahead. */
const SPARE_STEPS = 2;

export interface ModelOptions {
  stepMs: number;
  seasonsMs: readonly number[];
  factory: (name: string) => ForecasterFactory;
}

export interface LearntStep {
  startMs: number;
  /** Demand, headline unit. */
  value: number;
  others?: readonly number[];
}

interface Model {
  name: string;
  forecaster: Forecaster;
  /** Start of the first step observed since it was made; of what was restored, before all. */
  firstMs: number;
  /** Start of the newest step observed. */
  lastMs: number;
}

interface Outlook {
  stepMs: number;
  horizons: readonly number[];
  quantiles: readonly number[];
}

const OUTLOOKS = new WeakMap<ResourcePolicy, Outlook>();

export class DemandModels {
  readonly #options: ModelOptions;
  readonly #models: Partial<Record<Resource, Model>> = {};
  readonly #resolution: Partial<Record<Resource, number>>;

  constructor(options: ModelOptions, resolution: Partial<Record<Resource, number>>) {
    this.#options = options;
    this.#resolution = resolution;
  }

  /** `others`: see `ForecastPoint`. */
  observe(resource: Resource, forecasterName: string, { startMs, value, others }: LearntStep): void {
    let model = this.#models[resource];
    if (!model || model.name !== forecasterName) {
      const forecaster = this.#options.factory(forecasterName).create(this.#forecasterOptions(resource));
      model = { name: forecasterName, forecaster, firstMs: startMs, lastMs: Number.NEGATIVE_INFINITY };
      this.#models[resource] = model;
    }
    model.forecaster.observe({ timeMs: startMs, value, ...(others && { others }) });
    model.lastMs = Math.max(model.lastMs, startMs);
  }

  /**
   * Steps of before, oldest first, as the series have them: what a model has not seen is added to it; one that began after the
   * first of them is made anew from all. Answers how many were new.
   */
  relearn(resource: Resource, forecasterName: string, steps: readonly LearntStep[]): number {
    const first = steps[0];
    const present = this.#models[resource];
    if (first === undefined) return 0;
    const anew = present === undefined || present.name !== forecasterName || present.firstMs > first.startMs;
    if (anew) delete this.#models[resource];
    const sinceMs = anew ? Number.NEGATIVE_INFINITY : present.lastMs;
    const unseen = steps.filter(({ startMs }) => startMs > sinceMs);
    for (const step of unseen) this.observe(resource, forecasterName, step);
    return unseen.length;
  }

  /** Start of the newest step of the model that has seen least; null = there is none. */
  get knownUntilMs(): number | null {
    const models = Object.values(this.#models).filter(({ firstMs }) => firstMs === Number.NEGATIVE_INFINITY);
    return models.length === 0 ? null : Math.min(...models.map(({ lastMs }) => lastMs));
  }

  /** Null: there is nothing to say yet. */
  forecast(resource: Resource, policy: ResourcePolicy): ForecastView | null {
    const model = this.#models[resource];
    if (!model) return null;
    const { stepMs } = this.#options;
    const { horizons, quantiles } = this.#outlook(policy);
    const forecast = model.forecaster.forecast(horizons, quantiles);
    if (forecast === null) return null;
    return {
      model: model.name,
      stepMs,
      fromMs: model.lastMs + stepMs,
      quantiles,
      horizons,
      values: Array.from(forecast.values),
      confidence: forecast.confidence,
      explanation: forecast.explanation,
    };
  }

  /** Which steps and levels a policy asks for: the same lists for as long as it is the same policy. */
  #outlook(policy: ResourcePolicy): Outlook {
    const { stepMs } = this.#options;
    const known = OUTLOOKS.get(policy);
    if (known?.stepMs === stepMs) return known;
    const horizons = horizonsFor(Math.max(policy.leadMs, policy.shrinkHorizonMs), stepMs);
    const quantiles = [...new Set([...QUANTILES_SHOWN, 1 - policy.violationBudget])].sort((a, b) => a - b);
    const outlook = { stepMs, horizons, quantiles };
    OUTLOOKS.set(policy, outlook);
    return outlook;
  }

  /** Models that want a fit by now. */
  fitsDue(): Fitting[] {
    return Object.values(this.#models).flatMap(({ forecaster }) => (isFitting(forecaster) && forecaster.fitDue ? [forecaster] : []));
  }

  get stateBytes(): number {
    return Object.values(this.#models).reduce((sum, { forecaster }) => sum + forecaster.stateBytes, 0);
  }

  serialise(): { resource: Resource; name: string; lastMs: number; bytes: Uint8Array }[] {
    return Object.entries(this.#models).map(([resource, { name, lastMs, forecaster }]) => ({
      resource: resource as Resource,
      name,
      lastMs,
      bytes: forecaster.serialise(),
    }));
  }

  /** False: it was another build's or another series', and the model starts anew. Models that have seen more stay. */
  restore(resource: Resource, name: string, lastMs: number, bytes: Uint8Array): boolean {
    const present = this.#models[resource];
    if (present && present.lastMs >= lastMs + HORIZONS[2]! * this.#options.stepMs) return false;
    try {
      const forecaster = this.#options.factory(name).restore(this.#forecasterOptions(resource), bytes);
      this.#models[resource] = { name, forecaster, firstMs: Number.NEGATIVE_INFINITY, lastMs };
      return true;
    } catch (error) {
      if (isHeadroomError(error, 'STORE_CORRUPT') || isHeadroomError(error, 'NOT_FOUND')) return false;
      throw error instanceof HeadroomError
        ? error
        : new HeadroomError('STORE_CORRUPT', `the model of ${resource} cannot be read`, { cause: error });
    }
  }

  #forecasterOptions(resource: Resource): ForecasterOptions {
    const resolution = this.#resolution[resource];
    const { stepMs, seasonsMs } = this.#options;
    return { stepMs, seasonsMs, ...(resolution === undefined ? {} : { resolution }) };
  }
}

function isFitting(forecaster: Forecaster): forecaster is Forecaster & Fitting {
  return 'fitWanted' in forecaster;
}

/** The forecast with no value above `most`, in its resource's unit. */
export function atMost(forecast: ForecastView, most: number): ForecastView {
  if (!forecast.values.some((value) => value > most)) return forecast;
  return { ...forecast, values: forecast.values.map((value) => Math.min(value, most)) };
}

/** Horizons that cover this far ahead, and a little more. */
export function horizonsFor(aheadMs: number, stepMs: number): number[] {
  const last = Math.ceil(aheadMs / stepMs) + SPARE_STEPS;
  const end = HORIZONS.findIndex((horizon) => horizon >= last);
  return end < 0 ? [...HORIZONS, last] : HORIZONS.slice(0, end + 1);
}
