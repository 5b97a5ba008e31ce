/**
 * Goal: every rule of the lint carries weight. The real planner is shown a world in which one thing is missing and plans in it;
 * the lint knows the whole truth. For each rule there is a fleet, from a fixed seed, where that rule alone stands between a bad
 * step and the host: with it the step is struck out, without it nothing else would have. For memory what follows is reckoned
 * apart: without the rule of sums, or with shrinks of the same plan counted before they are confirmed (one phase in place of
 * two), some order of the steps holds more than the host has; with the rule none does.
 */
import fc from 'fast-check';
import t from 'tap';
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import { lintPlan, PLAN_RULES, STEP_RULES, withoutFindings } from '../../aggregator/core/lint/lint.ts';
import type { FleetSnapshot, LintFinding, Plan, PlanStep } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createPrng } from '../../shared/prng.ts';
import { fleets, policySources } from '../support/fleet-arbitrary.ts';
import { memoryOf, memoryStep, type PlannedWorld, TRUTHS, vms } from '../support/lint-truths.ts';
import { heldMiB, sizesBefore, worstExcessMiB } from '../support/physical-memory.ts';

const SEED = 11;
/** Most rules are shown by one of the first fifty fleets. */
const FLEETS = 700;

type World = PlannedWorld;

const parse = (source: string) => parsePolicyFile(source, { version: 1, forecasters: FORECASTERS }).policy;
const decide = (snapshot: FleetSnapshot, policy: FleetPolicy): Plan => plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
const samples = fc.sample(fc.tuple(fleets, policySources), { numRuns: FLEETS, seed: SEED });
/** Planned once; what the lint then knows differs from rule to rule. */
const planned = new Map<number, World>();
function worldOf(index: number): World {
  const known = planned.get(index);
  if (known) return known;
  const [snapshot, source] = samples[index]!;
  const policy = parse(source);
  const world = { snapshot, policy, made: decide(snapshot, policy) };
  planned.set(index, world);
  return world;
}

/** Strikes a step, or the whole plan, with no other rule's help. */
function alone(findings: readonly LintFinding[], rule: string): boolean {
  if (findings.some((finding) => finding.step === null && finding.rule !== rule)) return false;
  return findings.some(
    (finding) =>
      finding.rule === rule && findings.every((other) => other.rule === rule || other.step !== finding.step || finding.step === null),
  );
}

t.test('every rule is looked at', (t) => {
  t.same(new Set(Object.keys(TRUTHS)), new Set([...Object.keys(STEP_RULES), ...Object.keys(PLAN_RULES)]));
  t.end();
});

for (const [rule, truth] of Object.entries(TRUTHS)) {
  t.test(rule, (t) => {
    let tried = 0;
    for (; tried < FLEETS; tried++) {
      const world = worldOf(tried);
      if (world.made.steps.length === 0) continue;
      const { snapshot, policy, made } = { ...world, ...truth(world) };
      if (alone(lintPlan(made, snapshot, policy), rule)) break;
    }
    t.ok(tried < FLEETS, `alone it stands between a bad step and the host in fleet ${tried} of seed ${SEED}`);
    t.end();
  });
}

/** Growths first, as they would go out together with shrinks, then the shrinks. */
const growthsFirst = ({ steps }: Plan): number[] =>
  [...steps.keys()].sort((a, b) => Number(steps[a]!.direction === 'shrink') - Number(steps[b]!.direction === 'shrink'));
const excessOf = (snapshot: FleetSnapshot, policy: FleetPolicy, made: Plan): number =>
  Math.max(...snapshot.hosts.map(({ id }) => worstExcessMiB(snapshot, policy, made, growthsFirst(made), id)));

/** Reckons what each variant of the lint lets happen, over all fleets. */
function worst(
  of: (world: World) => World,
  struck: (findings: readonly LintFinding[]) => LintFinding[],
): { excessMiB: number; fleet: number } {
  const found = { excessMiB: Number.NEGATIVE_INFINITY, fleet: -1 };
  for (let index = 0; index < FLEETS; index++) {
    const { snapshot, policy, made } = of(worldOf(index));
    const excessMiB = excessOf(snapshot, policy, withoutFindings(made, struck(lintPlan(made, snapshot, policy))));
    if (excessMiB > found.excessMiB) Object.assign(found, { excessMiB, fleet: index });
  }
  return found;
}

const TOLERANCE_MIB = 2;
const growsMemory = ({ resource: name, direction }: PlanStep): boolean => name === 'memory' && direction === 'grow';
/** Hosts that have exactly what their VMs hold before the plan: what grows can only come from what shrinks. */
function tight({ snapshot, policy }: World, seen: FleetSnapshot): FleetSnapshot {
  const sizes = sizesBefore(snapshot);
  const hosts = seen.hosts.map((host) => {
    const memoryMiB = heldMiB(snapshot, host.id, sizes, policy.rebootTogether) + policy.reserve.memoryMiB;
    return { ...host, memoryMiB, availableMiB: memoryMiB, numaNodes: [], guardReserve: { cores: 0, memoryMiB: 0 } };
  });
  return { ...seen, hosts };
}
const noGrants = (made: Plan): Plan => ({ ...made, grants: made.grants.map((grant) => ({ ...grant, reserveMiB: 0 })) });

t.test('without the rule of sums a host holds more than it has; with it none does', (t) => {
  const small = (world: World): World => ({ ...world, ...TRUTHS['host-memory']!(world) });
  const whole = worst(small, (findings) => [...findings]);
  const without = worst(small, (findings) => findings.filter(({ rule }) => rule !== 'host-memory'));
  t.ok(whole.excessMiB <= TOLERANCE_MIB, `with it: ${JSON.stringify(whole)}`);
  t.ok(without.excessMiB > 50, `without it: ${JSON.stringify(without)}`);
  t.end();
});

t.test('shrink, confirm, grow: counting a shrink of the same plan as done lets a host hold more than it has', (t) => {
  /** The planner gives away what it is about to take, as if one phase did. */
  const hasty = (world: World): World => {
    const shrunk = vms((vm, steps) => {
      const step = memoryStep(steps);
      if (step?.direction !== 'shrink') return {};
      const memory = { ...vm.memory, balloonMiB: memoryOf(step.to), rssMiB: memoryOf(step.to) };
      return { current: { ...vm.current, memory: step.to }, memory };
    })(world).snapshot!;
    const grown = decide(tight(world, shrunk), world.policy).steps.filter(growsMemory);
    const shrinks = world.made.steps.filter((step) => step.resource === 'memory' && step.direction === 'shrink');
    const steps = [...shrinks, ...grown.filter(({ vm }) => shrinks.every((step) => step.vm !== vm))];
    return { ...world, snapshot: tight(world, world.snapshot), made: noGrants({ ...world.made, steps }) };
  };
  const twoPhases = worst(hasty, (findings) => [...findings]);
  const onePhase = worst(hasty, (findings) => findings.filter(({ rule }) => rule !== 'host-memory'));
  t.ok(twoPhases.excessMiB <= TOLERANCE_MIB, `two phases: ${JSON.stringify(twoPhases)}`);
  t.ok(onePhase.excessMiB > TOLERANCE_MIB, `one phase: ${JSON.stringify(onePhase)}`);
  t.end();
});
