/**
 * Goal: what decides, decides. Forecasts move decisions; the time a shrink must hold, the lead, quantile and margin are read
 * as the policy says; room goes by priority; canaries come first; reboots and the fast guard's reserve are kept free; the
 * work grows no faster than the fleet.
 */
import t from 'tap';
import { highestWithin } from '../../aggregator/core/plan/estimators.ts';
import type { FleetSnapshot, PlanStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Resource } from '../../shared/resources.ts';
import { AUTO_POLICY, demandOf, forecastOf, hostOf, NOW_MS, policyOf, STEP_MS, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';

const decide = (snapshot: FleetSnapshot, policy: FleetPolicy = policyOf()) => plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
const stepOf = (steps: readonly PlanStep[], vm: VmSnapshot, resource: Resource) =>
  steps.find((step) => step.vm === vm.id && step.resource === resource);
const capOf = (step: PlanStep | undefined) => (step?.to.resource === 'cpu' ? step.to.capCores : undefined);
const memoryOf = (step: PlanStep | undefined) => (step?.to.resource === 'memory' ? step.to.memoryMiB : undefined);
const cpuVm = (now: number, peaks: readonly number[], cap = 1): VmSnapshot =>
  vmOf(1, {
    current: { cpu: { resource: 'cpu', weight: 100, capCores: cap }, memory: { resource: 'memory', memoryMiB: 756 } },
    demand: { ...vmOf(1).demand, cpu: demandOf(now, forecastOf(peaks)) },
  });

t.test('forecasts replaced by zeros change decisions', async (t) => {
  const vm = cpuVm(0.5, [0.5, 0.9, 1.3, 1.3, 1.3, 1.3]);
  const zeroed = { ...vm, demand: { ...vm.demand, cpu: demandOf(0.5, forecastOf([0, 0, 0, 0, 0, 0])) } };
  t.equal(stepOf(decide(snapshotOf([vm])).steps, vm, 'cpu')?.direction, 'grow');
  t.equal(stepOf(decide(snapshotOf([zeroed])).steps, vm, 'cpu')?.direction, 'shrink');
});

t.test('the lead is covered with quantile and margin; what comes later is not reason enough', async (t) => {
  const vm = cpuVm(0.3, [0.3, 0.5, 0.8, 1.8, 1.8, 1.8], 0.6);
  t.equal(capOf(stepOf(decide(snapshotOf([vm])).steps, vm, 'cpu')), 0.88, '15 s ahead: 0.8 and 10 %');
  const strict = policyOf(
    AUTO_POLICY.replace(
      'cpu: {mode: auto, enforcement: cap-always, violationBudget: 0.05',
      'cpu: {mode: auto, enforcement: cap-always, violationBudget: 0.01',
    ),
  );
  t.equal(capOf(stepOf(decide(snapshotOf([vm]), strict).steps, vm, 'cpu')), 0.93, 'the 0.99 quantile is 5 % higher');
  const far = policyOf(AUTO_POLICY.replace('lead: 15s', 'lead: 20s'));
  t.equal(capOf(stepOf(decide(snapshotOf([vm]), far).steps, vm, 'cpu')), 1.2, '20 s ahead, held by the step limit');
});

t.test('a shrink goes no lower than what is needed for as long as it must hold', async (t) => {
  const vm = cpuVm(0.5, [0.42, 0.42, 0.42, 0.5, 0.7, 1.9], 1);
  t.equal(capOf(stepOf(decide(snapshotOf([vm])).steps, vm, 'cpu')), 0.77, 'the fifth step (25 s) wants 0.7');
  const short = { ...vm, demand: { ...vm.demand, cpu: demandOf(0.5, forecastOf([0.42, 0.42, 0.42])) } };
  const { steps, notDone } = decide(snapshotOf([short]));
  t.equal(stepOf(steps, vm, 'cpu'), undefined, 'a forecast that ends too soon takes nothing');
  t.match(notDone.find(({ resource }) => resource === 'cpu')?.reason, /does not reach/);
});

t.test('CPU that is wanted now is not taken on the word that it is about to be wanted no more', async (t) => {
  const ends = [0.2, 0.2, 0.2, 0.2, 0.2, 0.2];
  const loose = policyOf(AUTO_POLICY.replace('cpu: {mode: auto,', 'cpu: {mode: auto, stepLimitShrinkFraction: 1,'));
  const late = stepOf(decide(snapshotOf([cpuVm(0.6, ends)]), loose).steps, vmOf(1), 'cpu');
  t.equal(capOf(late), 0.66, 'what it wants now and 10 %');
  t.equal(late?.constraint, 'in-use');
  t.match(late?.reason, /not below the 0\.60 cores that it wants now/);
  const { steps, notDone } = decide(snapshotOf([cpuVm(0.9, ends, 0.95)]), loose);
  t.equal(stepOf(steps, vmOf(1), 'cpu'), undefined, 'nothing is left to take');
  t.match(notDone.find(({ resource }) => resource === 'cpu')?.constraint, 'in-use');
  const ended = stepOf(decide(snapshotOf([cpuVm(0.2, ends)]), loose).steps, vmOf(1), 'cpu');
  t.equal(ended?.constraint, 'floor', 'once it has ended, other rules bind');
});

t.test('horizons: gaps are covered by the next one, steps gone by are left out', async (t) => {
  const sparse = forecastOf([1, 2, 5], { horizons: [1, 2, 4], fromMs: NOW_MS });
  t.equal(highestWithin(sparse, 0.95, NOW_MS, 3 * STEP_MS)?.value, 5, 'step 3 is told by horizon 4');
  t.equal(highestWithin(sparse, 0.95, NOW_MS, 2 * STEP_MS)?.value, 2);
  t.equal(highestWithin(sparse, 0.95, NOW_MS, 5 * STEP_MS), null, 'nobody tells of step 5');
  const old = forecastOf([9, 2, 3, 4], { fromMs: NOW_MS - STEP_MS });
  t.equal(highestWithin(old, 0.95, NOW_MS, 2 * STEP_MS)?.value, 3, 'the first step is over');
  t.equal(highestWithin(forecastOf([1, 1, 1], { fromMs: NOW_MS - 10 * STEP_MS }), 0.95, NOW_MS, STEP_MS), null);
  t.equal(highestWithin(forecastOf([1, 1, 1]), 0.97, NOW_MS, STEP_MS)?.value, 1.025, 'between levels, linear');
  t.equal(highestWithin(forecastOf([1, 1, 1]), 0.9999, NOW_MS, STEP_MS)?.value, 1.05, 'beyond them, held');
});

t.test('memory: never below working set and margin, nor its recent peak', async (t) => {
  const small = demandOf(100, forecastOf([100, 100, 100, 100, 100, 100]));
  const loose = policyOf(AUTO_POLICY.replace('memory: {mode: auto,', 'memory: {mode: auto, stepLimitShrinkFraction: 1,'));
  const vm = (workingSetMiB: number, workingSetPeakMiB: number) =>
    vmOf(1, {
      memory: { balloonMiB: 800, workingSetMiB, workingSetPeakMiB, rssMiB: 820, pressure: false },
      demand: { ...vmOf(1).demand, memory: small },
    });
  t.equal(memoryOf(stepOf(decide(snapshotOf([vm(400, 410)]), loose).steps, vmOf(1), 'memory')), 424);
  t.equal(memoryOf(stepOf(decide(snapshotOf([vm(400, 640)]), loose).steps, vmOf(1), 'memory')), 640);
});

const hungry = (n: number, over: Partial<VmSnapshot> = {}): VmSnapshot =>
  vmOf(n, {
    current: { cpu: { resource: 'cpu', weight: 100, capCores: 1 }, memory: { resource: 'memory', memoryMiB: 512 } },
    memory: { balloonMiB: 512, workingSetMiB: 480, workingSetPeakMiB: 490, rssMiB: 540, pressure: false },
    demand: { ...vmOf(n).demand, memory: demandOf(480, forecastOf([900, 900, 900, 900, 900, 900])) },
    ...over,
  });

t.test('short room goes to the most important first', async (t) => {
  const policy = policyOf(`${AUTO_POLICY}rules:\n  - {name: vip, match: {name: vip}, memory: {priority: 500}}\n`);
  const vms = [hungry(1), hungry(2), hungry(3, { name: 'vip' }), hungry(4)];
  // Four of 512 + 40 MiB and one reboot of 512 MiB are committed: 300 MiB are free above the reserve.
  const { steps } = decide(snapshotOf(vms, [hostOf({ memoryMiB: 512 + 4 * 552 + 512 + 300, availableMiB: 2000 })]), policy);
  const room = steps.filter(({ resource }) => resource === 'memory').map((step) => [step.vmName, memoryOf(step)]);
  t.equal(room[0]?.[0], 'vip');
  t.equal(room[0]?.[1], 812, 'all that is free');
});

t.test('a VM alone on its host may take back what is kept for its own reboot', async (t) => {
  const { steps } = decide(snapshotOf([hungry(1)], [hostOf({ memoryMiB: 512 + 1024 + 40, availableMiB: 2000 })]));
  t.equal(memoryOf(stepOf(steps, vmOf(1), 'memory')), 945);
});

t.test('what the fast guard may still use is not given away, and the next reserve fits beside it', async (t) => {
  const host = hostOf({ memoryMiB: 512 + 512 + 40 + 512 + 400, availableMiB: 4000, guardReserve: { cores: 0, memoryMiB: 300 } });
  const idle = vmOf(2, {
    bootMemoryMiB: 512,
    baseline: { ...vmOf(2).baseline, memory: { resource: 'memory', memoryMiB: 512 } },
    state: 'stopped',
  });
  const { steps, grants } = decide(
    snapshotOf([hungry(1), idle], [host]),
    policyOf(AUTO_POLICY.replace('fleet:\n', 'fleet:\n  rebootTogether: 0\n')),
  );
  const grown = memoryOf(stepOf(steps, vmOf(1), 'memory')) ?? 0;
  t.equal(grown, 945, "433 of 912 free MiB, 300 of which are the guard's");
  t.equal(grants[0]?.reserveMiB, 89, 'half of the 179 that are left');
});

t.test('a canary that was harmed holds the others back', async (t) => {
  const policy = policyOf(`${AUTO_POLICY}rules:\n  - {name: canary, match: {name: bird}, cpu: {canary: true}, memory: {canary: true}}\n`);
  const bird = vmOf(1, { name: 'bird', coolUntilMs: { memory: NOW_MS + 1000 } });
  const { steps, notDone } = decide(snapshotOf([bird, vmOf(2)]), policy);
  t.equal(steps.filter(({ resource }) => resource === 'memory').length, 0);
  t.match(
    notDone.find(({ vm, resource }) => vm === testVmId(2) && resource === 'memory'),
    { constraint: 'canary', reason: /the canary bird was harmed/ },
  );
});

t.test('limits per window count VMs, and those changed before have a place', async (t) => {
  const policy = policyOf(AUTO_POLICY.replace('fleet:\n', 'fleet:\n  blastRadius: {vmsPerWindow: 2, window: 10m}\n'));
  const changed = (n: number, agoMs: number) => ({ vm: testVmId(n), host: hostOf().id, atMs: NOW_MS - agoMs });
  const snapshot = {
    ...snapshotOf([vmOf(1), vmOf(2), vmOf(3)]),
    recentChanges: [changed(1, 60_000), changed(9, 60_000), changed(8, 700_000)],
  };
  const { steps } = decide(snapshot, policy);
  t.same([...new Set(steps.map(({ vm }) => vm))], [testVmId(1)]);
});

t.test('the work grows with the fleet, not faster', async (t) => {
  const fleet = (count: number): FleetSnapshot => {
    const hosts = Array.from({ length: count / 10 }, (_, i) => hostOf({ id: `kvm${i}` as never }));
    const vms = Array.from({ length: count }, (_, i) => ({ ...hungry(i + 1), host: hosts[i % hosts.length]!.id }));
    return snapshotOf(vms, hosts);
  };
  const timeOf = (snapshot: FleetSnapshot): number => {
    const policy = policyOf();
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 3; i++) {
      const cpu = process.cpuUsage();
      decide(snapshot, policy);
      best = Math.min(best, process.cpuUsage(cpu).user);
    }
    return best;
  };
  const small = timeOf(fleet(500));
  const large = timeOf(fleet(4000));
  t.ok(large / small < 8 * 4, `eight times the VMs took ${(large / small).toFixed(1)} times the work`);
});
