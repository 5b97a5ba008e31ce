/**
 * The joint forecast of a group of VMs (a host's, a project's): its aggregate demand as a series of its own, through the
 * same Forecaster as a VM's. Peaks of VMs do not coincide, so its quantiles lie below the sum of theirs. What is learnt is
 * the sum relative to the usual levels of those present, so that a VM that comes or goes moves the forecast by its own
 * usual demand and is no surprise. Members' demand in, quantiles of the group's demand out.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterFactory, ForecasterOptions } from './forecaster.ts';

/** Usual levels forget half in so many steps: two days of five-minute steps, long beside the day whose shape is learnt. */
const LEVEL_RATE = 1 - 2 ** (-1 / 576);
/** Differences of 1 % of what the group usually wants do not matter. */
const RESOLUTION = 0.01;

interface Member {
  level: number;
  steps: number;
  /** Newest step it was seen in. */
  lastMs: number;
}

export class JointForecaster {
  readonly #shape: Forecaster;
  readonly #members = new Map<string, Member>();
  #lastMs = Number.NEGATIVE_INFINITY;

  /** `options.resolution` is of no use here: the learnt series is relative. */
  constructor(options: ForecasterOptions, factory: ForecasterFactory) {
    this.#shape = factory.create({ ...options, resolution: RESOLUTION });
  }

  /**
   * One finished step: demand (headline unit) of each member present. Who is absent is forgotten at once; an empty group
   * teaches nothing. Steps must come in ascending time; a step at or before the last one is ignored. Non-finite or negative
   * demand throws.
   */
  observe(timeMs: number, demands: ReadonlyMap<string, number>): void {
    if (timeMs <= this.#lastMs) return;
    this.#lastMs = timeMs;
    let sum = 0;
    for (const [id, demand] of demands) {
      assert(Number.isFinite(demand) && demand >= 0, `demand of member ${id} must be finite and not negative, got ${demand}`);
      sum += demand;
      this.#learn(id, demand, timeMs);
    }
    for (const [id, member] of this.#members) if (member.lastMs < timeMs) this.#members.delete(id);
    const usual = this.usual;
    if (usual > 0) this.#shape.observe({ timeMs, value: sum / usual });
  }

  #learn(id: string, demand: number, timeMs: number): void {
    const member = this.#members.get(id) ?? { level: demand, steps: 0, lastMs: timeMs };
    member.steps++;
    // At first a plain mean, so that the first value does not linger.
    member.level += Math.max(LEVEL_RATE, 1 / member.steps) * (demand - member.level);
    member.lastMs = timeMs;
    this.#members.set(id, member);
  }

  /** Sum of the usual levels of those present, headline unit. */
  get usual(): number {
    let usual = 0;
    for (const { level } of this.#members.values()) usual += level;
    return usual;
  }

  /** Quantiles of the group's demand in coming steps, headline unit; null while there is nothing to say. */
  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const { usual } = this;
    const shape = usual > 0 ? this.#shape.forecast(horizons, quantiles) : null;
    return shape === null ? null : { ...shape, values: shape.values.map((value) => value * usual) };
  }
}

/** What a group can be sold beyond what it will want: capacity less reserve less the highest forecast of a quantile. */
export function sellable(capacity: number, reserve: number, forecast: Forecast, quantile: number): number {
  const j = forecast.quantiles.indexOf(quantile);
  assert(j >= 0, `quantile ${quantile} was not forecast: ask for one of ${forecast.quantiles.join(', ')}`);
  let highest = 0;
  for (let at = j; at < forecast.values.length; at += forecast.quantiles.length) highest = Math.max(highest, forecast.values[at]!);
  return Math.max(0, capacity - reserve - highest);
}
