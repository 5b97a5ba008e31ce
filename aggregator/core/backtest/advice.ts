/**
 * Whether Headroom should be enabled on a VM, from what a backtest saw. Input: its trace, how the backtest did, what granting
 * its whole size would have left idle, and the budget asked for; output: reasons against it, the gravest first, none = enable it. A
 * report that hides the VMs it cannot serve would not be believed on the others.
 */
import type { VmScore } from './score.ts';
import { DAY_MS } from './score.ts';
import type { Trace } from './trace.ts';

/** A season of a week is seen from two weeks on; a day less is a boundary of collection, not of history. */
const HISTORY_MIN_MS = 13 * DAY_MS;
/** Below this share of samples known, what is missing may be the very peaks. */
const KNOWN_MIN = 0.8;
/** From here on use is at the limit: what was wanted beyond it was not recorded. */
const SATURATED_FROM = 0.97;
const SATURATED_MAX = 0.01;
/** Use that stays within this share of the size: one change by hand does as much as a forecast. */
const CONSTANT_RANGE = 0.01;
/** Longer samples are means over bursts that a VM feels. */
const STEP_MAX_MS = 15 * 60_000;
/** Half above the budget is missed, if it is more than chance: so many standard deviations of a count. */
const BUDGET_MISSED = 1.5;
const DEVIATIONS = 2;
/** Less of the size than this is gained: not worth another moving part. */
const GAIN_MIN = 0.02;

export type AgainstCode = 'short-history' | 'gaps' | 'coarse' | 'saturated' | 'constant' | 'budget-missed' | 'no-gain';

export interface Against {
  code: AgainstCode;
  /** For people. */
  words: string;
}

/** `score` null: the trace ends within the first week, of which everyone may learn. */
export function reasonsAgainst(trace: Trace, score: VmScore | null, violationBudget: number): Against[] {
  const against = reasonsInTrace(trace);
  if (score === null) return against;
  const allowed = violationBudget * score.samples;
  const met = score.violationRate * score.samples;
  if (met > BUDGET_MISSED * allowed && met > allowed + DEVIATIONS * Math.sqrt(allowed)) {
    const words = `${percent(score.violationRate)} of samples above the allocation, ${percent(violationBudget)} was the budget`;
    against.push({ code: 'budget-missed', words });
  }
  if (1 - score.allocatedShare < GAIN_MIN)
    against.push({ code: 'no-gain', words: `it needs ${percent(score.allocatedShare)} of its size` });
  return against;
}

/** What speaks against it in the trace alone. */
function reasonsInTrace({ timesMs, used, granted, stepMs }: Trace): Against[] {
  const against: Against[] = [];
  const spanMs = timesMs.length === 0 ? 0 : timesMs.at(-1)! + stepMs - timesMs[0]!;
  if (spanMs < HISTORY_MIN_MS) {
    against.push({ code: 'short-history', words: `${(spanMs / DAY_MS).toFixed(1)} days of history: two weeks show whether weeks repeat` });
  }
  const known = used.filter((value) => !Number.isNaN(value)).sort();
  const share = spanMs > 0 ? (known.length * stepMs) / spanMs : 0;
  if (share < KNOWN_MIN) against.push({ code: 'gaps', words: `${percent(1 - share)} of its samples are missing` });
  if (stepMs > STEP_MAX_MS) {
    against.push({ code: 'coarse', words: `its samples are ${Math.round(stepMs / 60_000)} minutes long: bursts within them do not show` });
  }
  const atLimit = known.filter((value) => value >= SATURATED_FROM * granted).length / Math.max(1, known.length);
  if (atLimit > SATURATED_MAX) {
    against.push({ code: 'saturated', words: `at its limit in ${percent(atLimit)} of samples: what it wanted beyond is not known` });
  }
  if (known.length > 0 && known.at(-1)! - known[0]! < CONSTANT_RANGE * granted) {
    const words = `its use hardly moves (${percent(known.at(-1)! / granted)} of its size at most): set a smaller size once`;
    against.push({ code: 'constant', words });
  }
  return against;
}

/** Two digits that count. */
function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}
