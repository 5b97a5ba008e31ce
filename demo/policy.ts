/**
 * The policy the demo runs under: CPU and memory in auto with caps always on, so that they can be seen; network and disk
 * observed. Everything is quick, because a day lasts 100 s here, in steps of 5 s. The control differs from the web guest in its
 * forecaster and in nothing else. Output: the policy file's text.
 */
import { stringify } from 'yaml';

/**
 * Lead: the rest of the step that runs, and the next. A command takes about a second to be applied and a balloon up to
 * four seconds to move, so what is asked for within this lead is there when the next step begins.
 */
const LEAD = '8s';
/** What starts at once shows in full only in the step after: one more. */
const LEAD_AT_ONCE = '10s';

const QUICK = {
  mode: 'auto',
  lead: LEAD,
  shrinkHorizon: LEAD,
  cooldownGrow: '0s',
  // Less than a plan's period, so that each plan may follow a fall.
  cooldownShrink: '2s',
  stepLimitGrowFraction: 100,
  stepLimitShrinkFraction: 1,
  deadBandFraction: 0.05,
};

const POLICY = {
  version: 1,
  fleet: {
    lease: '25s',
    staleAfter: '15s',
    rebootTogether: 1,
    reserve: { cpuCores: 0, memoryMiB: 512 },
    // Four guests may change both resources in every plan: blast radius is for fleets, and would only blur the picture here.
    blastRadius: { vmsPerPlan: 16, vmsPerHostPerPlan: 16, vmsPerWindow: 1_000_000, window: '1m' },
  },
  defaults: {
    // A guest's own housekeeping comes in bursts: a cap below this floor would stop it at each of them.
    cpu: { ...QUICK, violationBudget: 0.5, marginFraction: 0.2, floor: 0.3, enforcement: 'cap-always' },
    // A guest with less than 6 % available counts as short: the margin must leave it more.
    // The working set repeats to the MiB: the margin covers what differs.
    memory: { ...QUICK, violationBudget: 0.4, marginFraction: 0.1, workingSetWindow: '5s' },
    network: { mode: 'observe' },
    disk: { mode: 'observe' },
  },
  rules: [
    {
      name: 'rare bursts are covered, too',
      match: { labels: { role: 'idle' } },
      cpu: { violationBudget: 0.15, lead: LEAD_AT_ONCE },
      memory: { violationBudget: 0.1, lead: LEAD_AT_ONCE },
    },
    {
      name: 'jobs start at once',
      match: { labels: { role: 'batch' } },
      memory: { lead: LEAD_AT_ONCE },
    },
    {
      name: 'control: the last value for a forecast',
      match: { labels: { role: 'control' } },
      cpu: { forecaster: 'last-value' },
      memory: { forecaster: 'last-value' },
    },
  ],
};

export function demoPolicy(): string {
  return stringify(POLICY);
}
