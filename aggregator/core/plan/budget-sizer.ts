/**
 * From forecast quantiles to an allocation that spends a violation budget where covering demand would cost most. One fixed
 * quantile covers a quiet hour and a wild one alike; here the allocation makes idle share + price × risk smallest, and the
 * price follows what really happened, so that in the long run violations meet the budget (dual ascent on a long-term constraint: Mahdavi,
 * Jin, Yang, JMLR 13, 2012). A change must gain more than a threshold, which follows a budget of resizes in the same way:
 * hysteresis whose width each VM finds for itself, and who gains more by changing may change more often. Input: forecasts,
 * and what came; output: the allocation in force next.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast } from '../forecast/forecaster.ts';
import { CONFIDENCE_TO_SHRINK_MIN } from './estimators.ts';
import { type Outlook, outlookOf, tailWidth } from './exceedance.ts';

/** What to ask the forecaster for, and how much each horizon counts where a new allocation is chosen: it will stand for a dozen steps. */
export const SIZER_HORIZONS = [1, 2, 4] as const;
export const HORIZON_WEIGHTS = [0.25, 0.35, 0.4] as const;
/**
 * Whether to change at all is judged by the next step alone, since the step after it may change as well. Against one mix of
 * horizons for both: a point less idle on Azure's public traces, on either half of them.
 */
const NEXT_STEP = [1, 0, 0] as const;
export const SIZER_QUANTILES = [0.1, 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.9995] as const;

/**
 * A violation raises the price by this much on the log scale: much at first (e^0.3 = 1.35), to find it; the less the more violations
 * the budget has had room for, since a price that jumps about costs idle share; never too little to follow a drift.
 */
const PRICE_RATE_START = 0.3;
const PRICE_RATE_MIN = 0.12;
/** After this many violations' worth of budget the first rate has come half the way down. */
const PRICE_RATE_HALF_AT = 5;
/** Aimed at: a little inside the budget, since a rate measured over weeks scatters around what is aimed at. */
const AIM = 0.94;
/** First price × budget: for an exponential tail of width w the right one is about w × (1 − idle share). High, small budgets go unspent for weeks. */
const PRICE_SHARE = 0.05;
/**
 * Budgets below this begin with less, by the cube root: the idle share is larger there, and a price that begins too high leaves a third of
 * a dozen violations unspent for months. On five pairs of traces and budgets of 0.1 and 0.05 % rates came closer to what was asked on each.
 */
const PRICE_SHARE_BELOW = 0.002;
/** The price stays within this factor of its start: a quiet month must not make the first busy hour free. */
const PRICE_RANGE = 1000;
/** Gain asked of a change, as a share of the allocation: at first, and its bounds; and how fast it learns. */
const THRESHOLD_START = 0.02;
const THRESHOLD_MIN = 0.001;
const THRESHOLD_MAX = 1;
const THRESHOLD_RATE = 0.1;
/**
 * A threshold that ends up above the usual one says that changes are worth more there, so more of them are aimed at: as the
 * square of their ratio, up to a factor. On Azure's public traces VMs that burst every hour take up to twice as many changes, which
 * leaves about a point less idle in the mean over all. The usual threshold is this × √budget.
 */
const THRESHOLD_USUAL = 5;
const RESIZES_FACTOR_MAX = 2;
/**
 * Risk above everything seen so far is told too high: where a forecast's 0.998 quantile lay above the record, demand came above it a quarter as
 * often as it said at most, on two sources. A record comes about once in as many steps as were seen, unless demand grows. So that risk counts by the share of
 * violations that are records: those that were and one more, of the half of those that the budget has had room for and one more. And
 * it falls the steeper with the distance, the less it counts.
 */
const RECORDS_EXPECTED = 0.5;
const RECORD_POWER_MAX = 10;
/** What is likelier than one less this is no tail, whatever was seen before: the 0.9 quantile of SIZER_QUANTILES. */
const RECORD_LEVEL = 2;
/** Candidates from the record up: the risk bends there, not at a quantile. */
const RECORD_CANDIDATES = [1, 1.02, 1.05, 1.1, 1.2] as const;
/** Candidates between two neighbouring levels, and beyond the last, in widths of the last two. */
const BETWEEN = 2;
const BEYOND = [0.5, 1, 1.5, 2, 3, 4] as const;
/** Demand above the allocation by less is rounding. */
const TOLERANCE = 1 + 1e-6;

export interface SizerOptions {
  /** Share of steps in which demand may exceed the allocation, in (0, 1). */
  violationBudget: number;
  /** Changes a step that are aimed at on a usual VM, in (0, 1]; one to which they are worth more may have twice as many. */
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
  /** Violations the budget has had room for so far. */
  #allowed = 0;
  /** Largest demand so far, the floor at least; and violations that were records. */
  #record: number;
  #recordViolations = 0;
  /** Risk above this counts in part, by a share. */
  #tailFrom = 0;
  #tailShare = 1;
  readonly #outlook: Outlook = { idle: 0, risk: 0 };

  constructor(options: SizerOptions) {
    const { violationBudget, resizeBudget, floor, ceiling } = options;
    assert(violationBudget > 0 && violationBudget < 1, `a violation budget is a share between 0 and 1, got ${violationBudget}`);
    assert(resizeBudget > 0 && resizeBudget <= 1, `a resize budget is a share of steps, got ${resizeBudget}`);
    assert(floor >= 0 && ceiling >= floor && ceiling > 0, `the ceiling ${ceiling} must be positive and at least the floor ${floor}`);
    this.#options = options;
    const share = PRICE_SHARE * Math.min(1, Math.cbrt(violationBudget / PRICE_SHARE_BELOW));
    this.#priceStart = Math.log(share / violationBudget);
    this.#logPrice = this.#priceStart;
    this.#allocation = ceiling;
    this.#record = floor;
  }

  /** In force now. */
  get allocation(): number {
    return this.#allocation;
  }

  /** Holds a finished step's demand against the allocation that was in force. */
  observe(demand: number): void {
    const violated = demand > this.#allocation * TOLERANCE ? 1 : 0;
    if (demand > this.#record) {
      this.#record = demand;
      this.#recordViolations += violated;
    }
    const range = Math.log(PRICE_RANGE);
    this.#allowed += this.#options.violationBudget;
    const rate = PRICE_RATE_MIN + (PRICE_RATE_START - PRICE_RATE_MIN) / (1 + this.#allowed / PRICE_RATE_HALF_AT);
    const moved = this.#logPrice + rate * (violated - AIM * this.#options.violationBudget);
    this.#logPrice = Math.min(this.#priceStart + range, Math.max(this.#priceStart - range, moved));
  }

  /** The allocation from the next step on. The forecast is of SIZER_HORIZONS and SIZER_QUANTILES. */
  decide(forecast: Forecast): number {
    // As in the planner: too little is known to take anything away, and the first allocation is the ceiling.
    if (forecast.confidence < CONFIDENCE_TO_SHRINK_MIN) return this.#allocation;
    const price = Math.exp(this.#logPrice);
    this.#findTail(forecast);
    const best = this.#cheapest(forecast, price);
    const gain = this.#cost(forecast, NEXT_STEP, this.#allocation, price) - this.#cost(forecast, NEXT_STEP, best, price);
    const moves = gain > Math.exp(this.#logThreshold);
    const next = this.#logThreshold + THRESHOLD_RATE * ((moves ? 1 : 0) - this.#resizesWanted());
    this.#logThreshold = Math.min(Math.log(THRESHOLD_MAX), Math.max(Math.log(THRESHOLD_MIN), next));
    if (moves) this.#allocation = best;
    return this.#allocation;
  }

  /** Changes a step that are aimed at, at the present threshold. */
  #resizesWanted(): number {
    const { resizeBudget, violationBudget } = this.#options;
    const ratio = Math.exp(this.#logThreshold) / (THRESHOLD_USUAL * Math.sqrt(violationBudget));
    return Math.min(1, resizeBudget * Math.min(RESIZES_FACTOR_MAX, Math.max(1, ratio * ratio)));
  }

  #cheapest(forecast: Forecast, price: number): number {
    const { values, quantiles } = forecast;
    const { floor, ceiling } = this.#options;
    let best = ceiling;
    let least = this.#cost(forecast, HORIZON_WEIGHTS, ceiling, price);
    const consider = (candidate: number): void => {
      const allocation = Math.min(ceiling, Math.max(floor, candidate));
      const cost = this.#cost(forecast, HORIZON_WEIGHTS, allocation, price);
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
    for (const share of RECORD_CANDIDATES) consider(this.#tailFrom * share);
    return best;
  }

  /** More than the ceiling cannot be given: there a violation is nobody's choice. */
  #cost(forecast: Forecast, weights: readonly number[], allocation: number, price: number): number {
    outlookOf(forecast, weights, allocation, this.#outlook);
    return this.#outlook.idle + (allocation >= this.#options.ceiling ? 0 : price * this.#outlook.risk * this.#riskShare(allocation));
  }

  #findTail({ values, quantiles }: Forecast): void {
    this.#tailFrom = this.#record;
    for (let row = 0; row < values.length; row += quantiles.length) this.#tailFrom = Math.max(this.#tailFrom, values[row + RECORD_LEVEL]!);
    this.#tailShare = Math.min(1, (1 + this.#recordViolations) / (1 + RECORDS_EXPECTED * this.#allowed));
  }

  /** How much of the risk that a forecast tells counts. */
  #riskShare(allocation: number): number {
    if (allocation <= this.#tailFrom) return 1;
    return this.#tailShare * (this.#tailFrom / allocation) ** (RECORD_POWER_MAX * (1 - this.#tailShare));
  }
}
