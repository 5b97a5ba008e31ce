/**
 * What holds where a policy says nothing: observe only, and numbers that are safe on a stranger's host. Step, plan period
 * and horizons are the file's to change; nothing else in the core knows these figures.
 */
import type { Resource } from '../../../shared/resources.ts';
import type { FleetPolicy, ResourcePolicy, WhenShort } from './policy.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const CPU: ResourcePolicy = {
  mode: 'observe',
  floor: null,
  ceiling: null,
  violationBudget: 0.01,
  marginFraction: 0.1,
  // At most doubling in one plan: the fast guard answers what is faster.
  stepLimitGrowFraction: 1,
  stepLimitShrinkFraction: 0.25,
  cooldownGrowMs: 0,
  cooldownShrinkMs: 10 * MINUTE_MS,
  // 15 % cost one point of slack and saved 60 % of the resizes on the Bitbrains and Azure traces.
  deadBandFraction: 0.15,
  leadMs: 5 * MINUTE_MS,
  shrinkHorizonMs: 30 * MINUTE_MS,
  growOnly: false,
  workingSetWindowMs: 24 * HOUR_MS,
  cpuEnforcement: 'weight',
  forecaster: 'aggregate',
  priority: 100,
  guaranteedFraction: 1,
  oversubscribedFraction: 1,
  startupBoostFraction: 0,
  startup: 'fixed',
  canary: false,
};

export const RESOURCE_DEFAULTS: Readonly<Record<Resource, ResourcePolicy>> = {
  cpu: CPU,
  memory: {
    ...CPU,
    // Memory that is short kills processes, CPU that is short only delays them.
    violationBudget: 0.0001,
    marginFraction: 0.05,
    stepLimitShrinkFraction: 0.1,
    cooldownShrinkMs: 15 * MINUTE_MS,
    deadBandFraction: 0.05,
    shrinkHorizonMs: HOUR_MS,
  },
  network: { ...CPU, marginFraction: 0.25 },
  disk: { ...CPU, marginFraction: 0.25 },
};

type FleetDefaults = Omit<FleetPolicy, 'version' | 'resolve'>;

export const FLEET_DEFAULTS: FleetDefaults = {
  // A tenth of a usual fleet of hundreds, in ten minutes: an error shows before it has spread.
  blastRadius: { vmsPerPlan: 50, vmsPerHostPerPlan: 10, vmsPerWindow: 200, windowMs: 10 * MINUTE_MS },
  reserve: { cpuCores: 0, memoryMiB: 512 },
  // Independent peaks add up to about half of the sum of their high quantiles; weights divide the rest fairly.
  cpuOvercommit: 2,
  rebootTogether: 1,
  // Two of the slowest sampling periods (bulk statistics every 60 s on large hosts).
  staleAfterMs: 2 * MINUTE_MS,
  leaseMs: 5 * MINUTE_MS,
  freezeWindows: [],
  killSwitch: false,
};

/** Priorities are an administrator's word: where they differ, the more important goes first. Nothing is moved unasked. */
export const WHEN_SHORT_DEFAULTS: WhenShort = { borrow: true, loanTermMs: 30 * MINUTE_MS, migrate: false, throttle: true };

export function whenShort({ whenShort: own }: Pick<FleetPolicy, 'whenShort'>): WhenShort {
  return own ?? WHEN_SHORT_DEFAULTS;
}
