/**
 * What a VM will need, as a chain of decorators over the forecast: each adds one consideration. Input: one subject and the
 * moment; output: a need, or null when nothing is known.
 */
import type { Resource } from '../../../shared/resources.ts';
import { guaranteedAmount } from './amounts.ts';
import { valueAtLevel } from './forecast-level.ts';
import { withSharpGrowth } from './incident-response.ts';
import type { ForecastView } from './plan.ts';
import type { Need, PlanContext, Refusal, Subject } from './planning.ts';
import { withRepayment } from './repayment.ts';
import { withVcpusOnline } from './vcpus-online.ts';
import { amountWords, percentWords, timeWords } from './words.ts';

export type Estimator = (subject: Subject, context: PlanContext) => Need | null;

/** Under this a forecast has too little history, or covers too badly, to take anything away on. */
export const CONFIDENCE_TO_SHRINK_MIN = 0.2;
/** A guest that is short needs more, by an unknown amount: the same step as the fast guard's. */
const SHORT_GROWTH = 1.25;

/** Quantile 1 − violation budget of the forecast, over the lead and over the time a shrink must hold. */
export const forecastEstimator: Estimator = (subject, { snapshot }) => {
  const demand = subject.vm.demand[subject.resource];
  const { policy } = subject;
  const level = 1 - policy.violationBudget;
  const forecast = demand.forecast;
  const lead = forecast && highestWithin(forecast, level, snapshot.nowMs, policy.leadMs);
  const holdMs = Math.max(policy.leadMs, policy.shrinkHorizonMs);
  const hold = forecast && highestWithin(forecast, level, snapshot.nowMs, holdMs);
  const scale = demandScale(subject.resource);
  if (!forecast || !lead) return fromPresent(subject, forecast !== null);
  const words = (value: number): string => amountWords(subject.resource, value);
  const by = `(${forecast.model} model, ${percentWords(level)} quantile)`;
  return {
    lead: lead.value * scale,
    hold: hold ? hold.value * scale : null,
    demand: lead.value,
    byMs: lead.byMs,
    model: forecast.model,
    because: `demand of up to ${words(lead.value)} is expected by ${timeWords(lead.byMs)} ${by}`,
    holdBecause: hold ? `no more than ${words(hold.value)} is expected to be wanted until ${timeWords(snapshot.nowMs + holdMs)} ${by}` : '',
    growOnly: shrinkRefusal(forecast, hold !== null, demand.now === null),
    urgent: false,
    constraint: 'forecast',
  };
};

/** Network limits are per direction, and either may carry all of the demand. */
export function demandScale(resource: Resource): number {
  return resource === 'network' ? 2 : 1;
}

function fromPresent(subject: Subject, forecastIsOld: boolean): Need | null {
  const { now } = subject.vm.demand[subject.resource];
  if (now === null) return null;
  return {
    lead: now * demandScale(subject.resource),
    hold: null,
    demand: now,
    byMs: null,
    model: 'none',
    because: `it wants ${amountWords(subject.resource, now)} now`,
    holdBecause: '',
    growOnly: { constraint: 'unknown', reason: forecastIsOld ? 'the last forecast is over' : 'there is no forecast yet' },
    urgent: false,
    constraint: 'forecast',
  };
}

function shrinkRefusal(forecast: ForecastView, holdCovered: boolean, nowUnknown: boolean): Refusal | null {
  if (forecast.confidence < CONFIDENCE_TO_SHRINK_MIN) {
    return {
      constraint: 'low-confidence',
      reason: `the forecast's confidence is ${forecast.confidence.toFixed(2)}; from ${CONFIDENCE_TO_SHRINK_MIN} on it may shrink`,
    };
  }
  if (!holdCovered) return { constraint: 'unknown', reason: 'the forecast does not reach as far as a shrink must hold' };
  if (nowUnknown) return { constraint: 'unknown', reason: 'present demand is unknown' };
  return null;
}

/** Highest value at a level over the steps that touch the next `aheadMs`; null when the forecast does not cover them. */
export function highestWithin(
  forecast: ForecastView,
  level: number,
  nowMs: number,
  aheadMs: number,
): { value: number; byMs: number } | null {
  const { stepMs, fromMs, horizons } = forecast;
  const firstNeeded = Math.max(1, Math.floor((nowMs - fromMs) / stepMs) + 1);
  const lastNeeded = Math.max(firstNeeded, Math.ceil((nowMs + aheadMs - fromMs) / stepMs));
  let value = Number.NEGATIVE_INFINITY;
  let byMs = nowMs;
  let covered = false;
  for (let i = 0; i < horizons.length; i++) {
    const horizon = horizons[i]!;
    if (horizon < firstNeeded) continue;
    const here = valueAtLevel(forecast, i, level);
    if (here > value) {
      value = here;
      byMs = fromMs + horizon * stepMs;
    }
    // Horizons may have gaps: the first one at or beyond the end stands for what lies before it.
    if (horizon >= lastNeeded) {
      covered = true;
      break;
    }
  }
  return covered && Number.isFinite(value) ? { value: Math.max(0, value), byMs } : null;
}

export function withMargin(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    if (need === null) return null;
    const factor = 1 + subject.policy.marginFraction;
    return { ...need, lead: need.lead * factor, hold: need.hold === null ? null : need.hold * factor };
  };
}

/** Where the host sees that the VM was held down, what it wants now counts at once and nothing is taken. */
export function withSuppression(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    const demand = subject.vm.demand[subject.resource];
    const pressed = subject.resource === 'memory' && subject.vm.memory.pressure;
    if (need === null || (!demand.suppressed && !pressed)) return need;
    const now = (demand.now ?? 0) * demandScale(subject.resource) * (1 + subject.policy.marginFraction);
    const wanted = Math.max(now, pressed ? subject.amount * SHORT_GROWTH : 0);
    const growOnly: Refusal = {
      constraint: 'pressure',
      reason: pressed ? 'the guest is short of memory' : 'it was held down by its allocation',
    };
    if (wanted <= need.lead) return { ...need, growOnly, urgent: demand.vouched };
    const because = pressed
      ? 'the host sees that the guest is short of memory (pressure, swap-in or little available)'
      : `it was held down by its allocation and wants ${amountWords(subject.resource, demand.now ?? 0)}`;
    return { ...need, lead: wanted, demand: demand.now ?? need.demand, because, growOnly, urgent: demand.vouched, constraint: 'pressure' };
  };
}

/**
 * Somebody in the guest expects to need more: a claim, so it raises what is needed to the guaranteed share at most, never
 * lowers it, and counts only while it lasts. What nothing is known of, it does not make known.
 */
export function withHints(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    const { vm, resource, policy, bounds } = subject;
    if (need === null || vm.hints === undefined) return need;
    const { nowMs } = context.snapshot;
    const most = guaranteedAmount(bounds, policy);
    const within = (aheadMs: number): number => {
      const counting = vm.hints!.filter((hint) => hint.resource === resource && hint.fromMs <= nowMs + aheadMs && hint.untilMs > nowMs);
      return Math.min(most, Math.max(0, ...counting.map(({ amount }) => amount)));
    };
    const lead = within(policy.leadMs);
    const hold = need.hold === null ? null : Math.max(need.hold, within(Math.max(policy.leadMs, policy.shrinkHorizonMs)));
    if (lead <= need.lead) return { ...need, hold };
    return {
      ...need,
      lead,
      hold,
      because: `the guest expects to need ${amountWords(resource, lead)} (its own word)`,
      constraint: 'claimed',
    };
  };
}

/**
 * A VM that launches gets what its policy says before anything is seen of it: a share of its ceiling, or what boots like it
 * took. Demand alone decides once it is ready.
 */
export function withStartupBoost(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    if (subject.vm.state !== 'launching') return need;
    const start = startOf(subject);
    // What is already seen of the boot is held against the ceiling: where both lead there, the prediction says why.
    if (start === null || (need !== null && start.amount < Math.min(need.lead, subject.bounds.ceiling))) return need;
    const growOnly: Refusal = { constraint: 'state', reason: 'it is launching' };
    const demand = subject.vm.demand[subject.resource].now ?? start.amount;
    const known = need ?? { demand, byMs: null, model: 'none', urgent: false };
    return { ...known, lead: start.amount, hold: null, because: start.because, holdBecause: '', growOnly, constraint: 'startup' };
  };
}

/** What it is to start with; null = the policy says nothing of it. A boot that is expected to be light starts with what it has. */
function startOf({ vm, policy, bounds, resource, amount }: Subject): { amount: number; because: string } | null {
  if (policy.startup === 'predicted' && resource === 'cpu' && vm.boot !== undefined) {
    const { level, peakCores, because } = vm.boot;
    if (level === 'low') return { amount, because: `it is launching, and ${because}: it starts with what it has` };
    const wanted = Math.min(bounds.ceiling, peakCores * (1 + policy.marginFraction));
    return { amount: wanted, because: `it is launching, and ${because}: it gets ${amountWords(resource, wanted)} until it is ready` };
  }
  if (policy.startupBoostFraction <= 0) return null;
  const boost = policy.startupBoostFraction * bounds.ceiling;
  return {
    amount: boost,
    because: `it is launching, and rule "${policy.rule}" gives it ${amountWords(resource, boost)} until it is ready`,
  };
}

/** A shrink that did harm is taken back before anything else. */
export function withRollback(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    const rollback = subject.vm.rollback[subject.resource];
    if (need === null || rollback === undefined) return need;
    const back = rollbackAmount(subject);
    if (back === null || back <= Math.max(need.lead, subject.amount)) return need;
    return { ...need, lead: back, because: `the last shrink did harm: ${rollback.reason}`, urgent: true, constraint: 'rollback' };
  };
}

function rollbackAmount(subject: Subject): number | null {
  const to = subject.vm.rollback[subject.resource]?.to;
  if (to?.resource === 'memory') return to.memoryMiB;
  if (to?.resource === 'cpu' && subject.form === 'cap') return to.capCores ?? subject.vm.vcpus;
  return null;
}

/** The chain that decides, outermost last. */
export const needOf: Estimator = withRollback(
  withRepayment(withSharpGrowth(withStartupBoost(withVcpusOnline(withSuppression(withHints(withMargin(forecastEstimator))))))),
);
