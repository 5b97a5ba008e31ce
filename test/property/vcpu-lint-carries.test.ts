/**
 * Goal: every rule of the lint about vCPUs carries weight. The real planner is shown fleets of labelled VMs in which one thing is missing,
 * and takes vCPUs offline or brings them back; the lint knows the whole truth. For each rule there is a fleet, from a fixed seed, where
 * that rule alone stands between a bad order and the guest.
 */
import fc from 'fast-check';
import t from 'tap';
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { VCPU_RULES } from '../../aggregator/core/lint/vcpu-rules.ts';
import type { FleetSnapshot, LintFinding, VcpuStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createPrng } from '../../shared/prng.ts';
import { NOW_MS } from '../support/fleet.ts';
import { fleets, policySources } from '../support/fleet-arbitrary.ts';
import { demands, type PlannedWorld, TRUTHS, type Truth, vms } from '../support/lint-truths.ts';

const SEED = 12;
const FLEETS = 300;
const DAY_MS = 24 * 3_600_000;

const samples = fc.sample(fc.tuple(fleets, policySources), { numRuns: FLEETS, seed: SEED });
const planned = new Map<number, PlannedWorld>();

/** Labelled, with an agent that can put vCPUs back, all or most of them online, and long at rest; every other one wants little. */
function labelled(vm: VmSnapshot, index: number): VmSnapshot {
  const vcpus = 4 + (index % 5);
  const online = index % 3 === 0 ? Math.ceil(vcpus / 2) : vcpus;
  const { cpu } = vm.demand;
  const { now, forecast } = cpu;
  const little = {
    ...cpu,
    now: now && 0.2 + (now % 1),
    forecast: forecast && { ...forecast, values: forecast.values.map((value) => value % 1) },
  };
  const demand = index % 2 === 0 ? { ...vm.demand, cpu: little } : vm.demand;
  return { ...vm, vcpus, demand, labels: { ...vm.labels, vcpus: 'allow' }, vcpusOnline: { online, sinceMs: NOW_MS - DAY_MS } };
}

function worldOf(index: number): PlannedWorld {
  const known = planned.get(index);
  if (known) return known;
  const [drawn, source] = samples[index]!;
  const snapshot: FleetSnapshot = { ...drawn, vms: drawn.vms.map(labelled) };
  const { policy } = parsePolicyFile(source, { version: 1, forecasters: FORECASTERS });
  const world = { snapshot, policy, made: plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan };
  planned.set(index, world);
  return world;
}

const slip =
  (change: (step: VcpuStep) => Partial<VcpuStep>): Truth =>
  ({ made }) => ({ made: { ...made, vcpuSteps: (made.vcpuSteps ?? []).map((step) => ({ ...step, ...change(step) })) } });

/** Those of any change of CPU are as they are for its other steps. */
const OWN: Readonly<Record<string, Truth>> = {
  'vcpus-labelled': vms(({ labels: { vcpus: _allowed, ...labels } }) => ({ labels })),
  'vcpus-known': vms(() => ({ vcpusOnline: undefined as never })),
  'vcpus-sound': slip(() => ({ reason: ' ' })),
  'vcpus-enough': vms((vm) => demands(vm, () => ({ now: vm.vcpus }))),
  'vcpus-under-cap': vms((vm) => ({
    current: { ...vm.current, cpu: { resource: 'cpu', weight: 100, capCores: (vm.demand.cpu.now ?? 1) * 1.05 } },
  })),
  'vcpus-rested': vms(({ vcpusOnline }) => ({ vcpusOnline: { online: vcpusOnline!.online, sinceMs: NOW_MS - 60_000 } })),
  'vcpus-cooled': vms(({ vcpusOnline }) => ({ vcpusOnline: { ...vcpusOnline!, coolUntilMs: NOW_MS + 1 } })),
  'vcpus-reached': vms(({ vcpusOnline }) => ({
    vcpusOnline: { ...vcpusOnline!, infeasible: { target: vcpusOnline!.online, reason: 'the guest refused', untilMs: NOW_MS + 1 } },
  })),
  'grow-only': vms((vm) => ({ labels: { ...vm.labels, class: 'cluster' } })),
  // Told in another form than for its other steps.
  pressure: vms((vm) => demands(vm, () => ({ suppressed: true }))),
  anomaly: vms(() => ({ incident: { kind: 'leak', vouched: true, resource: 'cpu' } as unknown as NonNullable<VmSnapshot['incident']> })),
};

/** Strikes an order with no other rule's help. */
function alone(findings: readonly LintFinding[], rule: string): boolean {
  return findings.some(
    ({ vcpuStep, rule: by }) =>
      by === rule && vcpuStep !== undefined && findings.every((other) => other.rule === rule || other.vcpuStep !== vcpuStep),
  );
}

t.test('the planner takes some and brings some back, and the lint strikes nothing of it', (t) => {
  const steps: VcpuStep[] = [];
  for (let index = 0; index < FLEETS; index++) {
    const { snapshot, policy, made } = worldOf(index);
    steps.push(...(made.vcpuSteps ?? []));
    const found = lintPlan(made, snapshot, policy).filter(({ vcpuStep }) => vcpuStep !== undefined);
    if (found.length > 0) t.same(found, [], `fleet ${index}`);
  }
  t.ok(steps.filter(({ from, to }) => to < from).length > 20, `${steps.length} orders`);
  t.ok(steps.filter(({ from, to }) => to > from).length > 20);
  t.end();
});

for (const rule of Object.keys(VCPU_RULES)) {
  t.test(rule, (t) => {
    const truth = OWN[rule] ?? TRUTHS[rule]!;
    let tried = 0;
    for (; tried < FLEETS; tried++) {
      const world = worldOf(tried);
      if ((world.made.vcpuSteps ?? []).length === 0) continue;
      const { snapshot, policy, made } = { ...world, ...truth(world) };
      if (alone(lintPlan(made, snapshot, policy), rule)) break;
    }
    t.ok(tried < FLEETS, `alone it stands between a bad order and the guest in fleet ${tried} of seed ${SEED}`);
    t.end();
  });
}
