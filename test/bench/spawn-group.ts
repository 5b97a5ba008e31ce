/**
 * A group of equal VMs behind a load balancer, step by step: members that serve, members that boot, and a rule that says how
 * many there should be. Input: the group's total demand, the rule; output: minutes of shortfall and VM-hours paid. What was
 * ordered serves after its lead; what is given up goes at once, those that still boot first.
 */
import { HOUR_MS, MINUTE_MS } from './benchmark.ts';

export interface GroupRun {
  shortfallMinutes: number;
  /** Members that serve and members that boot. */
  vmHours: number;
  started: number;
}

export interface GroupSetting {
  stepMs: number;
  /** Steps from the decision to the first whole step that a new member serves. */
  leadSteps: number;
  /** What one member serves, cores. */
  unit: number;
  /** Steps before this one are not counted. */
  countFrom: number;
}

/** Members wanted after step `t`, `members` being there or ordered. */
export type SizeRule = (t: number, members: number) => number;

export function runGroup(demand: Float64Array, { stepMs, leadSteps, unit, countFrom }: GroupSetting, rule: SizeRule): GroupRun {
  const run: GroupRun = { shortfallMinutes: 0, vmHours: 0, started: 0 };
  let serving = 1;
  /** Members by the steps they still boot. */
  const booting = new Array<number>(leadSteps).fill(0);
  for (let t = 0; t < demand.length; t++) {
    serving += booting.shift()!;
    booting.push(0);
    const members = booting.reduce((a, b) => a + b, serving);
    if (t >= countFrom) {
      if (demand[t]! > serving * unit) run.shortfallMinutes += stepMs / MINUTE_MS;
      run.vmHours += (members * stepMs) / HOUR_MS;
    }
    const size = rule(t, members);
    if (size > members) {
      booting[leadSteps - 1] = size - members;
      if (t >= countFrom) run.started += size - members;
    }
    let surplus = Math.max(0, members - size);
    for (let i = leadSteps - 1; i >= 0 && surplus > 0; i--) {
      const cancelled = Math.min(surplus, booting[i]!);
      booting[i]! -= cancelled;
      surplus -= cancelled;
    }
    serving -= surplus;
  }
  return run;
}
