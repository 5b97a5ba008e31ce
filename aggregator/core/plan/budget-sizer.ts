/**
 * From forecast quantiles to an allocation that spends a violation budget where covering demand would cost most. One fixed
 * quantile covers a quiet hour and a wild one alike; here the allocation makes idle share + price × risk smallest, and the
 * price follows what really happened, so that in the long run violations meet the budget (dual ascent on a long-term constraint: Mahdavi,
 * Jin, Yang, JMLR 13, 2012). A change must gain more than a threshold, which follows a budget of resizes in the same way:
 * hysteresis whose width each VM finds for itself. Input: forecasts, and what came; output: the allocation in force next.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast } from '../forecast/forecaster.ts';
import { CONFIDENCE_TO_SHRINK_MIN } from './estimators.ts';
import { type Outlook, outlookOf, tailWidth } from './exceedance.ts';

/**
 * What to ask the forecaster for, and how much each horizon counts: an allocation stands for some steps, but may be changed
 * at any. Of five mixes the best on half of the public traces, and as good on the other half.
 */
export const SIZER_HORIZONS = [1, 2, 4] as const;
export const HORIZON_WEIGHTS = [4 / 7, 2 / 7, 1 / 7] as const;
export const SIZER_QUANTILES = [0.1, 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.9995] as const;

/** A violation raises the price by this much on the log scale (e^0.3 = 1.35); of 0.05 to 1 on Azure's public traces the middle. */
const PRICE_RATE = 0.3;
/** Aimed at: a little inside the budget, since a rate measured over weeks scatters around what is aimed at. */
const AIM = 0.95;
/** First price × budget: for an exponential tail of width w the right one is about w × (1 − idle share). High, small budgets go unspent for weeks. */
const PRICE_SHARE = 0.04;
/** The price stays within this factor of its start: a quiet month must not make the first busy hour free. */
const PRICE_RANGE = 1000;
/** Gain asked of a change, as a share of the allocation: at first, and its bounds; and how fast it learns. */
const THRESHOLD_START = 0.02;
const THRESHOLD_MIN = 0.001;
const THRESHOLD_MAX = 1;
const THRESHOLD_RATE = 0.1;
/** Candidates between two neighbouring levels, and beyond the last, in widths of the last two. */
const BETWEEN = 2;
const BEYOND = [0.5, 1, 1.5, 2, 3, 4] as const;
/** Demand above the allocation by less is rounding. */
const TOLERANCE = 1 + 1e-6;

export interface SizerOptions {
  /** Share of steps in which demand may exceed the allocation, in (0, 1). */
  violationBudget: number;
  /** Changes a step that are aimed at, in (0, 1]. */
  resizeBudget: number;
  /** Headline unit; the first allocation is the ceiling. */
  floor: number;
  ceiling: number;
}

export class BudgetSizer {
  readonly #options: SizerOptions;
  readonly #priceStart: number;
  /** Natural logarithms: what a certain violation costs, as a multiple of a whole allocation idle; what a change must gain. */
  #logPrice: number;
  #logThreshold = Math.log(THRESHOLD_START);
  #allocation: number;
  readonly #outlook: Outlook = { idle: 0, risk: 0 };

  constructor(options: SizerOptions) {
    const { violationBudget, resizeBudget, floor, ceiling } = options;
    assert(violationBudget > 0 && violationBudget < 1, `a violation budget is a share between 0 and 1, got ${violationBudget}`);
    assert(resizeBudget > 0 && resizeBudget <= 1, `a resize budget is a share of steps, got ${resizeBudget}`);
    assert(floor >= 0 && ceiling >= floor && ceiling > 0, `the ceiling ${ceiling} must be positive and at least the floor ${floor}`);
    this.#options = options;
    this.#priceStart = Math.log(PRICE_SHARE / violationBudget);
    this.#logPrice = this.#priceStart;
    this.#allocation = ceiling;
  }

  /** In force now. */
  get allocation(): number {
    return this.#allocation;
  }

  /** Holds a finished step's demand against the allocation that was in force. */
  observe(demand: number): void {
    const violated = demand > this.#allocation * TOLERANCE ? 1 : 0;
    const range = Math.log(PRICE_RANGE);
    const moved = this.#logPrice + PRICE_RATE * (violated - AIM * this.#options.violationBudget);
    this.#logPrice = Math.min(this.#priceStart + range, Math.max(this.#priceStart - range, moved));
  }

  /** The allocation from the next step on. The forecast is of SIZER_HORIZONS and SIZER_QUANTILES. */
  decide(forecast: Forecast): number {
    // As in the planner: too little is known to take anything away, and the first allocation is the ceiling.
    if (forecast.confidence < CONFIDENCE_TO_SHRINK_MIN) return this.#allocation;
    const price = Math.exp(this.#logPrice);
    const best = this.#cheapest(forecast, price);
    const gain = this.#cost(forecast, this.#allocation, price) - this.#cost(forecast, best, price);
    const moves = gain > Math.exp(this.#logThreshold);
    const next = this.#logThreshold + THRESHOLD_RATE * ((moves ? 1 : 0) - this.#options.resizeBudget);
    this.#logThreshold = Math.min(Math.log(THRESHOLD_MAX), Math.max(Math.log(THRESHOLD_MIN), next));
    if (moves) this.#allocation = best;
    return this.#allocation;
  }

  #cheapest(forecast: Forecast, price: number): number {
    const { values, quantiles } = forecast;
    const { floor, ceiling } = this.#options;
    let best = ceiling;
    let least = this.#cost(forecast, ceiling, price);
    const consider = (candidate: number): void => {
      const allocation = Math.min(ceiling, Math.max(floor, candidate));
      const cost = this.#cost(forecast, allocation, price);
      if (cost >= least) return;
      least = cost;
      best = allocation;
    };
    for (let row = 0; row < values.length; row += quantiles.length) {
      for (let j = row + 1; j < row + quantiles.length; j++) {
        for (let part = 1; part <= BETWEEN; part++) consider(values[j - 1]! + ((values[j]! - values[j - 1]!) * part) / BETWEEN);
      }
      const width = tailWidth(values, row, quantiles.length);
      for (const widths of BEYOND) consider(values[row + quantiles.length - 1]! * Math.exp(width * widths));
    }
    return best;
  }

  /** More than the ceiling cannot be given: there a violation is nobody's choice. */
  #cost(forecast: Forecast, allocation: number, price: number): number {
    outlookOf(forecast, HORIZON_WEIGHTS, allocation, this.#outlook);
    return this.#outlook.idle + (allocation >= this.#options.ceiling ? 0 : price * this.#outlook.risk);
  }
}
