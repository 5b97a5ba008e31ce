/**
 * Goal: whatever the fleet and the policy, the planner breaks no safety rule: the independent lint finds nothing, memory
 * sums hold at every instant whichever commands are lost, late or reordered and whatever the fast guard does meanwhile,
 * observe changes nothing, and the same inputs give the same plan.
 */
import fc from 'fast-check';
import t from 'tap';
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { gives } from '../../aggregator/core/lint/lint-rule.ts';
import type { FleetSnapshot, Plan } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createPrng } from '../../shared/prng.ts';
import { fleets, policySources } from '../support/fleet-arbitrary.ts';
import { worstExcessMiB } from '../support/physical-memory.ts';

const parse = (source: string) => parsePolicyFile(source, { version: 1, forecasters: FORECASTERS }).policy;
const decide = (snapshot: FleetSnapshot, policy: FleetPolicy, seed = 1) => plan(snapshot, policy, { epoch: 1 }, createPrng(seed)).plan;

t.test('the lint finds nothing in what the planner makes', async (t) => {
  let steps = 0;
  fc.assert(
    fc.property(fleets, policySources, (snapshot, source) => {
      const policy = parse(source);
      const made = decide(snapshot, policy);
      steps += made.steps.length;
      const findings = lintPlan(made, snapshot, policy);
      if (findings.length > 0) throw new Error(findings.map(({ rule, message }) => `${rule}: ${message}`).join('; '));
    }),
    { numRuns: 600 },
  );
  t.ok(steps > 200, `${steps} steps were looked at`);
});

t.test('memory sums hold at every instant, in any order, with any commands lost', async (t) => {
  let growths = 0;
  fc.assert(
    fc.property(fleets, policySources, fc.array(fc.nat(40), { maxLength: 40 }), (snapshot, source, order) => {
      const policy = parse(source);
      const made = decide(snapshot, policy);
      growths += made.steps.filter((step) => step.resource === 'memory' && step.direction === 'grow').length;
      for (const host of snapshot.hosts) {
        const excess = worstExcessMiB(snapshot, policy, made, order, host.id);
        if (excess > 1.5) throw new Error(`${host.id} is ${excess} MiB above what it was or may be`);
      }
    }),
    { numRuns: 600 },
  );
  t.ok(growths > 5, `${growths} growths were looked at`);
});

t.test('observe and off never yield a step, whatever happens; recommend only gives back what did harm', async (t) => {
  let givenBack = 0;
  fc.assert(
    fc.property(fleets, fc.constantFrom('observe', 'off', 'recommend'), (snapshot, mode) => {
      const all = ['cpu', 'memory', 'network', 'disk'].map((resource) => `  ${resource}: {mode: ${mode}, lead: 10s, shrinkHorizon: 15s}`);
      const { steps } = decide(snapshot, parse(`version: 1\ndefaults:\n${all.join('\n')}\n`));
      if (mode !== 'recommend') return steps.length === 0;
      givenBack += steps.length;
      const harmed = new Map(snapshot.vms.map((vm) => [vm.id, vm.rollback]));
      return steps.every(({ vm, resource, direction, to }) => {
        const back = harmed.get(vm)?.[resource];
        return back !== undefined && direction === 'grow' && !gives(back.to, to);
      });
    }),
    { numRuns: 2000 },
  );
  t.ok(givenBack > 0, `${givenBack} were given back`);
});

t.test('the same inputs give the same plan; the order of VMs in the snapshot decides nothing', async () => {
  fc.assert(
    fc.property(fleets, policySources, fc.nat(1000), (snapshot, source, seed) => {
      const policy = parse(source);
      const one = decide(snapshot, policy, seed);
      const again = decide(structuredClone(snapshot), parse(source), seed);
      const reversed = decide({ ...snapshot, vms: [...snapshot.vms].reverse() }, policy, seed);
      const steps = (made: Plan) => JSON.stringify(made.steps);
      return JSON.stringify(one) === JSON.stringify(again) && steps(one) === steps(reversed);
    }),
    { numRuns: 200 },
  );
});

t.test('every VM and resource that is not off is decided or explained exactly once', async () => {
  fc.assert(
    fc.property(fleets, policySources, (snapshot, source) => {
      const policy = parse(source);
      const made = decide(snapshot, policy);
      const told = [...made.steps, ...made.notDone].map(({ vm, resource }) => `${vm}/${resource}`);
      const expected = snapshot.vms.flatMap((vm) =>
        (['cpu', 'memory', 'network', 'disk'] as const)
          .filter((resource) => policy.resolve(vm, resource).mode !== 'off')
          .map((resource) => `${vm.id}/${resource}`),
      );
      return JSON.stringify(told.sort()) === JSON.stringify(expected.sort()) && made.notDone.every(({ reason }) => reason.length > 10);
    }),
    { numRuns: 200 },
  );
});
