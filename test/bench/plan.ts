/**
 * `bench plan`: a plan and its lint for a whole fleet whose every VM has a forecast for all four resources. Output: seconds
 * on one core for 1,000 hosts and 10,000 VMs, and how it grows. Beside it, what a plan is too slow for: how long the fast
 * guard takes on a real VM, beyond its period.
 */
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { HostSnapshot, LintFinding, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { hostId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, hostOf, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';
import { type Benchmark, measured, median, rounded } from './benchmark.ts';
import { guardLatency } from './guard-latency.ts';

const VMS_PER_HOST = 10;
const HOSTS = [250, 500, 1000, 2000] as const;
const ASKED_HOSTS = 1000;
const ROUNDS = 5;

function fleetOf(hosts: number): { hosts: HostSnapshot[]; vms: VmSnapshot[] } {
  const random = createPrng(11, 'bench');
  const vms = Array.from({ length: hosts * VMS_PER_HOST }, (_, n) => {
    const flat = (value: number) => demandOf(value, forecastOf(Array.from({ length: 6 }, () => value * (0.7 + 0.6 * random.next()))));
    return vmOf(n, {
      host: hostId(`host-${Math.floor(n / VMS_PER_HOST)}`),
      demand: { cpu: flat(0.9), memory: flat(650), network: flat(1e6), disk: flat(1e6) },
    });
  });
  return { hosts: Array.from({ length: hosts }, (_, h) => hostOf({ id: hostId(`host-${h}`) })), vms };
}

export const planning: Benchmark = {
  about: 'a plan and its lint for 1,000 hosts and 10,000 VMs: seconds on one core; latency of the fast guard',
  async run(tell) {
    const policy = policyOf(AUTO_POLICY);
    const scaling: { vms: number; planSeconds: number; steps: number }[] = [];
    for (const hosts of HOSTS) {
      tell(`${hosts} hosts, ${hosts * VMS_PER_HOST} VMs`);
      const fleet = fleetOf(hosts);
      const snapshot = snapshotOf(fleet.vms, fleet.hosts);
      const seconds: number[] = [];
      let findings: readonly LintFinding[] = [];
      let steps = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const { cpuSeconds } = await measured(() => {
          const made = plan(snapshot, policy, { epoch: 1 }, createPrng(round)).plan;
          findings = lintPlan(made, snapshot, policy);
          steps = made.steps.length;
        });
        seconds.push(cpuSeconds);
      }
      if (findings[0]) throw new Error(`the lint found fault with the plan: ${findings[0].message}`);
      scaling.push({ vms: hosts * VMS_PER_HOST, planSeconds: rounded(median(seconds)), steps });
    }
    const asked = scaling.find(({ vms }) => vms === ASKED_HOSTS * VMS_PER_HOST);
    return { planSeconds: asked?.planSeconds, scaling, ...(await guardLatency(tell)) };
  },
};
