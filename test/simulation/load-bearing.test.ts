/**
 * Goal: each of these rules carries weight. A planner that is blind to one thing (it is shown a world without it) goes on
 * planning in a simulated fleet, from one seed: with the lint whole its errors are struck out and nothing goes wrong on any
 * host; the moment the one rule is taken out of the lint, the same fleet goes wrong, in values that really are in force.
 */
import t from 'tap';
import { parse, stringify } from 'yaml';
import type { AggregatorOptions } from '../../aggregator/aggregator-options.ts';
import type { DemandView, FleetSnapshot, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import type { FleetPolicy, ResourcePolicy } from '../../aggregator/core/plan/policy.ts';
import { DECIDERS } from '../../aggregator/loops/plan-loop.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Setting } from '../../shared/resources.ts';
import { MEDIUM } from '../../simulation/paces.ts';
import { simulationPolicy } from '../../simulation/policy.ts';
import { World } from '../../simulation/world.ts';

t.setTimeout(900_000);

type Deciders = NonNullable<AggregatorOptions['deciders']>;

/** Plans and days as in short runs, physics as coarse as in long ones. */
const PACES = MEDIUM;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const LEARNING_MS = 5 * HOUR_MS;
const WRONG_WITHIN_MS = 4 * HOUR_MS;
const STILL_RIGHT_MS = 10 * MINUTE_MS;

/** A value that was put in force. */
interface Change {
  vm: VmId;
  atMs: number;
  from: Setting;
  to: Setting;
  /** Most the guest had worked with in the day before. */
  workingSetPeakMiB: number;
}

interface PolicyText {
  fleet: Record<string, unknown>;
  defaults: { cpu: Record<string, unknown>; memory: Record<string, unknown> };
}

interface Case {
  /** Taken out of the lint together: the second only looks whether the first was told to the agent. */
  rules: readonly string[];
  policy?: (policy: PolicyText) => void;
  /** What the planner cannot see. */
  vm?: (vm: VmSnapshot) => Partial<VmSnapshot>;
  fleet?: (policy: FleetPolicy) => Partial<FleetPolicy>;
  resource?: Partial<ResourcePolicy>;
  snapshot?: (snapshot: FleetSnapshot) => Partial<FleetSnapshot>;
  /** What must never be seen on the hosts: in words, or null. */
  wrong: (changes: readonly Change[]) => string | null;
}

const memoryOf = (setting: Setting): number => (setting.resource === 'memory' ? setting.memoryMiB : Number.NaN);
const shrinks = (changes: readonly Change[]): Change[] => changes.filter(({ from, to }) => memoryOf(to) < memoryOf(from) - 1);
const any = (found: boolean, words: string): string | null => (found ? words : null);

const CASES: readonly Case[] = [
  {
    rules: ['mode'],
    policy: ({ defaults }) => {
      defaults.memory.mode = 'observe';
    },
    resource: { mode: 'auto' },
    wrong: (changes) =>
      any(
        changes.some(({ to }) => to.resource === 'memory'),
        'memory was changed that is only to be observed',
      ),
  },
  {
    rules: ['bounds', 'bounds-sent'],
    policy: ({ defaults }) => {
      defaults.memory.floor = 1000;
    },
    resource: { floor: null },
    wrong: (changes) =>
      any(
        shrinks(changes).some(({ to }) => memoryOf(to) < 990),
        'memory was taken below its floor',
      ),
  },
  {
    rules: ['grow-only'],
    policy: ({ defaults }) => {
      defaults.memory.growOnly = true;
    },
    resource: { growOnly: false },
    wrong: (changes) => any(shrinks(changes).length > 0, 'memory was taken from a VM that only grows'),
  },
  {
    rules: ['step-limit'],
    resource: { stepLimitShrinkFraction: 1 },
    wrong: (changes) =>
      any(
        shrinks(changes).some(({ from, to }) => memoryOf(to) < 0.85 * memoryOf(from)),
        'much memory was taken at once',
      ),
  },
  {
    rules: ['cooldown'],
    vm: () => ({ lastChange: {}, coolUntilMs: {} }),
    wrong: (changes) => any(twiceWithin(shrinks(changes), 9 * MINUTE_MS), 'memory was taken twice within ten minutes'),
  },
  {
    rules: ['freeze'],
    policy: ({ fleet }) => {
      fleet.freezeWindows = [{ from: 'Mon 00:00', to: 'Sun 23:59', timeZone: 'UTC', reason: 'the whole week' }];
    },
    fleet: () => ({ freezeWindows: [] }),
    wrong: (changes) => any(changes.length > 0, 'something was changed in a freeze window'),
  },
  {
    rules: ['blast-radius'],
    policy: ({ fleet }) => {
      fleet.blastRadius = { vmsPerPlan: 1, vmsPerHostPerPlan: 1, vmsPerWindow: 1, window: '30m' };
    },
    fleet: () => ({ blastRadius: { vmsPerPlan: 1000, vmsPerHostPerPlan: 1000, vmsPerWindow: 10_000, windowMs: MINUTE_MS } }),
    wrong: (changes) => any(vmsWithin(changes, 25 * MINUTE_MS) > 1, 'two VMs were changed within half an hour'),
  },
  {
    rules: ['grounds'],
    vm: ({ demand }) => ({ demand: { ...demand, memory: trusted(demand.memory) } }),
    wrong: (changes) =>
      any(
        shrinks(changes).some(({ atMs }) => atMs < 2 * HOUR_MS),
        'memory was taken before anything was known of the day',
      ),
  },
  {
    rules: ['dead-band'],
    resource: { deadBandFraction: 0 },
    wrong: (changes) =>
      any(
        shrinks(changes).some(({ from, to }) => memoryOf(to) > 0.96 * memoryOf(from)),
        'hardly anything was taken, for nothing',
      ),
  },
  {
    rules: ['working-set'],
    vm: ({ demand, memory }) => ({
      memory: { ...memory, workingSetPeakMiB: memory.workingSetMiB },
      demand: { ...demand, memory: halved(demand.memory) },
    }),
    wrong: (changes) =>
      any(
        shrinks(changes).some(({ to, workingSetPeakMiB }) => memoryOf(to) < workingSetPeakMiB),
        'memory was taken below what the guest had worked with a day before',
      ),
  },
  {
    rules: ['cap-asked'],
    policy: ({ defaults }) => {
      defaults.cpu.enforcement = 'weight';
    },
    resource: { cpuEnforcement: 'cap-always' },
    wrong: (changes) =>
      any(
        changes.some(({ to }) => to.resource === 'cpu' && to.capCores !== null),
        'a cap came into force that nobody asked for',
      ),
  },
];

const trusted = (view: DemandView): DemandView => ({ ...view, forecast: view.forecast && { ...view.forecast, confidence: 1 } });
const halved = (view: DemandView): DemandView => ({
  ...view,
  now: view.now === null ? null : view.now / 2,
  forecast: view.forecast && { ...view.forecast, values: view.forecast.values.map((value) => value / 2) },
});

function twiceWithin(changes: readonly Change[], withinMs: number): boolean {
  return changes.some((change, i) => changes.slice(i + 1).some(({ vm, atMs }) => vm === change.vm && atMs - change.atMs < withinMs));
}

function vmsWithin(changes: readonly Change[], withinMs: number): number {
  return Math.max(
    0,
    ...changes.map(({ atMs }) => new Set(changes.filter((one) => one.atMs >= atMs && one.atMs < atMs + withinMs).map(({ vm }) => vm)).size),
  );
}

function watchChanges({ hosts, time }: World): Change[] {
  const changes: Change[] = [];
  for (const { hypervisor } of hosts) {
    const write = hypervisor.writeSetting.bind(hypervisor);
    hypervisor.writeSetting = (id, to) => {
      const { cpu, balloonTargetMiB, options } = hypervisor.truth(id);
      const minutes = Array.from({ length: PACES.dayMs / MINUTE_MS }, (_, i) => time.wallMs - i * MINUTE_MS);
      const workingSetPeakMiB = Math.max(...minutes.map((wallMs) => options.workingSetMiB(wallMs)));
      const from: Setting = to.resource === 'cpu' ? cpu : { resource: 'memory', memoryMiB: balloonTargetMiB };
      changes.push({ vm: id, atMs: time.nowMs, from, to, workingSetPeakMiB });
      return write(id, to);
    };
  }
  return changes;
}

/** The real planner, shown a world without what it is to be blind to. */
function blind({ vm, fleet, resource, snapshot }: Case): Deciders['plan'] {
  return (seen, policy, ...rest) => {
    const shown: FleetSnapshot = { ...seen, ...snapshot?.(seen), vms: seen.vms.map((one) => ({ ...one, ...vm?.(one) })) };
    const resolve: FleetPolicy['resolve'] = (...args) => ({ ...policy.resolve(...args), ...resource });
    return DECIDERS.plan(shown, { ...policy, ...fleet?.(policy), resolve }, ...rest);
  };
}

for (const each of CASES) {
  t.test(each.rules.join(' and '), async (t) => {
    const found: Record<string, number> = {};
    let whole = true;
    const deciders: Deciders = {
      plan: blind(each),
      lint: (...args) => {
        const findings = DECIDERS.lint(...args);
        for (const { rule } of findings) found[rule] = (found[rule] ?? 0) + 1;
        return whole ? findings : findings.filter(({ rule }) => !each.rules.includes(rule));
      },
    };
    const text = parse(simulationPolicy(PACES.dayMs)) as PolicyText;
    each.policy?.(text);
    const world = new World({ seed: 77, hosts: 1, vms: 4, hours: 1, faults: new Set(), paces: PACES, policy: stringify(text), deciders });
    const changes = watchChanges(world);
    world.start();
    const [rule] = each.rules as [string];
    while (found[rule] === undefined && world.time.nowMs < LEARNING_MS) await world.watchUntil(world.time.nowMs + MINUTE_MS);
    await world.watchUntil(world.time.nowMs + STILL_RIGHT_MS);
    t.ok((found[rule] ?? 0) > 0, `the planner errs, and ${rule} finds it after ${Math.round(world.time.nowMs / MINUTE_MS)} min`);
    t.same([each.wrong(changes), ...world.invariants.broken], [null], 'with the rule nothing goes wrong');
    whole = false;
    const untilMs = world.time.nowMs + WRONG_WITHIN_MS;
    while (each.wrong(changes) === null && world.time.nowMs < untilMs) await world.watchUntil(world.time.nowMs + MINUTE_MS);
    t.type(each.wrong(changes), 'string', `without it: ${each.wrong(changes)}; found were ${JSON.stringify(found)}`);
  });
}
