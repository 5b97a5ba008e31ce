/** The policy of simulated fleets: CPU and memory in auto, the rest observed. Input: a day's length, ms; output: the policy file's text. */
import { stringify } from 'yaml';

const POLICY = (dayMs: number) => ({
  version: 1,
  fleet: {
    reserve: { cpuCores: 0, memoryMiB: 1024 },
    // As many as a reboot storm of the simulation hits at once.
    rebootTogether: 2,
    blastRadius: { vmsPerPlan: 50, vmsPerHostPerPlan: 10, vmsPerWindow: 400, window: '10m' },
  },
  defaults: {
    cpu: { mode: 'auto', enforcement: 'cap-always', violationBudget: 0.01, cooldownShrink: '10m' },
    memory: { mode: 'auto', violationBudget: 0.001, cooldownShrink: '10m', workingSetWindow: `${dayMs / 1000}s` },
  },
});

export function simulationPolicy(dayMs: number): string {
  return stringify(POLICY(dayMs));
}
