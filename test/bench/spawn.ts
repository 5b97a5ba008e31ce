/**
 * `bench spawn`: shortfall and VM-hours of groups of VMs under real demand, by the rule that sizes them. A group's demand is
 * the sum of twelve VMs' made from traces of real ones; its members serve half a core each and take a step to boot. Beside
 * ours: a reactive autoscaler (the rule and defaults of Kubernetes' HorizontalPodAutoscaler: target 80 % of use, tolerance
 * 10 %, five minutes of stabilisation on the way down) and one that knows the future. All see the same week before.
 */
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { groupSize } from '../../aggregator/core/spawn/group-size.ts';
import { createPrng } from '../../shared/prng.ts';
import { type Benchmark, DAY_MS, MINUTE_MS, rounded } from './benchmark.ts';
import { makeFleet, sources } from './density-fleet.ts';
import { type GroupRun, type GroupSetting, runGroup, type SizeRule } from './spawn-group.ts';

const STEP_MS = 5 * MINUTE_MS;
const DAY_STEPS = DAY_MS / STEP_MS;
const HISTORY = 7 * DAY_STEPS;
const STEPS = HISTORY + 7 * DAY_STEPS;
const GROUPS = 8;
const VMS_PER_GROUP = 12;
const SEED = 8;
const SETTING: GroupSetting = { stepMs: STEP_MS, leadSteps: 2, unit: 0.5, countFrom: HISTORY };
const HOLD_STEPS = 3;
const SHORTFALL_BUDGET = 0.04;
/** What the rule's documentation gives as defaults; other targets are told beside it. */
const TARGET = 0.8;
const OTHER_TARGETS = [0.7, 0.6];
const TOLERANCE = 0.1;

const ahead = Array.from({ length: HOLD_STEPS }, (_, i) => i + 1);

function ours(demand: Float64Array): SizeRule {
  const forecaster = forecasterFactory(AGGREGATE).create({ stepMs: STEP_MS, seasonsMs: [DAY_MS, 7 * DAY_MS] });
  const sizing = { least: 1, most: 10_000, leadSteps: SETTING.leadSteps, holdSteps: HOLD_STEPS };
  return (t, members) => {
    forecaster.observe({ timeMs: t * STEP_MS, value: demand[t]! });
    const forecast = t < HISTORY - 1 ? null : forecaster.forecast(ahead, [1 - SHORTFALL_BUDGET]);
    return groupSize(members, [{ resource: 'cpu', unit: SETTING.unit, forecast, now: demand[t]! }], sizing).size;
  };
}

function reactive(demand: Float64Array, target: number): SizeRule {
  let before = 1;
  return (t, members) => {
    const ratio = demand[t]! / (members * SETTING.unit) / target;
    const asked = Math.abs(ratio - 1) <= TOLERANCE ? members : Math.max(1, Math.ceil(members * ratio));
    // Stabilisation: the highest of what was asked within the window, which is one step here.
    const size = asked < members ? Math.min(members, Math.max(asked, before)) : asked;
    before = asked;
    return size;
  };
}

/** Knows each coming step: never short, and nothing kept that the steps of a boot do not want. */
function oracle(demand: Float64Array): SizeRule {
  const need = (t: number): number => Math.max(1, Math.ceil((demand[t] ?? 0) / SETTING.unit));
  return (t) => Math.max(...Array.from({ length: SETTING.leadSteps }, (_, i) => need(t + 1 + i)));
}

export const spawn: Benchmark = {
  about: 'groups sized ahead of demand: shortfall and VM-hours beside a reactive autoscaler and perfect knowledge',
  async run(tell) {
    const from = await sources();
    const totals: Record<string, GroupRun> = {};
    const count = (name: string, run: GroupRun): void => {
      const total = totals[name] ?? { shortfallMinutes: 0, vmHours: 0, started: 0 };
      totals[name] = total;
      for (const key of ['shortfallMinutes', 'vmHours', 'started'] as const) total[key] += run[key];
    };
    for (let group = 0; group < GROUPS; group++) {
      tell(`group ${group + 1} of ${GROUPS}`);
      const vms = makeFleet(from, VMS_PER_GROUP, STEPS, createPrng(SEED, `group ${group}`));
      const demand = Float64Array.from({ length: STEPS }, (_, t) => vms.reduce((sum, vm) => sum + vm.demand[t]!, 0));
      count('ours', runGroup(demand, SETTING, ours(demand)));
      count('reactive', runGroup(demand, SETTING, reactive(demand, TARGET)));
      for (const target of OTHER_TARGETS) count(`reactiveAt${target * 100}`, runGroup(demand, SETTING, reactive(demand, target)));
      count('oracle', runGroup(demand, SETTING, oracle(demand)));
    }
    const told = Object.entries(totals).map(([name, run]) => [
      name,
      { shortfallMinutes: run.shortfallMinutes, vmHours: rounded(run.vmHours), started: run.started },
    ]);
    return {
      ...(Object.fromEntries(told) as Record<string, unknown>),
      groups: GROUPS,
      vmsPerGroup: VMS_PER_GROUP,
      shortfallOfReactive: rounded(totals.ours!.shortfallMinutes / totals.reactive!.shortfallMinutes),
      vmHoursOfReactive: rounded(totals.ours!.vmHours / totals.reactive!.vmHours),
    };
  },
};
