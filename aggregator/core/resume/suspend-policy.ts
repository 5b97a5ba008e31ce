/**
 * What a policy asks about suspending VMs, and what follows for one VM at a moment: suspended when it has been idle for long or its
 * schedule says so, made ready when it is predicted to be wanted, brought back by its schedule. Pure. Input: the policy, what is
 * known of the VM, the time; output: what to do and why, or nothing. Off unless a policy asks.
 */
import { formatterFor } from '../plan/freeze.ts';
import type { SuspendRule, SuspendSchedule } from '../plan/suspend-rule.ts';
import type { ResumePrediction } from './resume-times.ts';

export interface SuspendSubject {
  phase: 'up' | 'suspended' | 'prepared' | 'between';
  /** So long below what its policy calls idle; null = it is not, or nobody knows. */
  idleMs: number | null;
  /** Since it was last suspended or brought back, ms. */
  settledMs: number;
  prediction: ResumePrediction | null;
}

export type SuspendWish = { action: 'suspend' | 'resume' | 'prefetch'; reason: string };

/** What was just brought back, by whomever, is wanted: it is left alone for this long. */
const SETTLE_MS = 15 * 60_000;
/** A schedule's moment holds for so long: an aggregator that was away then still keeps it. */
const MOMENT_MINUTES = 10;
const WEEK_MINUTES = 7 * 1440;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

export function suspendWish(policy: Omit<SuspendRule, 'match' | 'matches'>, vm: SuspendSubject, nowMs: number): SuspendWish | null {
  for (const schedule of policy.schedules) {
    const due = dueBy(schedule, vm, nowMs);
    if (due !== null) return { action: due, reason: `by its schedule (policy ${policy.name})` };
  }
  const { idle, prefetch } = policy;
  if (vm.phase === 'up' && idle !== null && vm.idleMs !== null && vm.idleMs >= idle.forMs && vm.settledMs >= SETTLE_MS) {
    return { action: 'suspend', reason: `idle for ${Math.round(vm.idleMs / 60_000)} min (policy ${policy.name})` };
  }
  const soon =
    vm.phase === 'suspended' &&
    prefetch !== null &&
    policy.schedules.some((schedule) => minutesToResume(schedule, nowMs) * 60_000 <= prefetch.leadMs);
  if (soon) return { action: 'prefetch', reason: `its schedule brings it back soon (policy ${policy.name})` };
  if (vm.phase === 'suspended' && prefetch !== null && (vm.prediction?.probability ?? 0) >= prefetch.probability) {
    return { action: 'prefetch', reason: `${vm.prediction!.text} (policy ${policy.name})` };
  }
  return null;
}

function dueBy(schedule: SuspendSchedule, { phase, settledMs }: SuspendSubject, nowMs: number): 'suspend' | 'resume' | null {
  const minute = minuteOfWeekIn(nowMs, schedule.timeZone);
  const since = (moment: number): number => (minute - moment + WEEK_MINUTES) % WEEK_MINUTES;
  const fresh = (moment: number): boolean => since(moment) < MOMENT_MINUTES && settledMs >= (since(moment) + 1) * 60_000;
  if (phase === 'up' && fresh(schedule.suspendMinuteOfWeek)) return 'suspend';
  return (phase === 'suspended' || phase === 'prepared') && fresh(schedule.resumeMinuteOfWeek) ? 'resume' : null;
}

function minutesToResume({ resumeMinuteOfWeek, timeZone }: SuspendSchedule, nowMs: number): number {
  return (resumeMinuteOfWeek - minuteOfWeekIn(nowMs, timeZone) + WEEK_MINUTES) % WEEK_MINUTES;
}

function minuteOfWeekIn(nowMs: number, timeZone: string): number {
  const parts = Object.fromEntries(
    formatterFor(timeZone)
      .formatToParts(nowMs)
      .map(({ type, value }) => [type, value]),
  );
  return DAYS.indexOf(String(parts.weekday)) * 1440 + Number(parts.hour) * 60 + Number(parts.minute);
}
