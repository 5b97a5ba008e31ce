/**
 * What the fleet or a group will want together, for people and other scalers: its demand now and at every five minutes to two days
 * ahead, beside what serves and what soon will. Input: a way to forecast, amounts; output: plain data. Pure.
 */
import type { Forecast } from '../forecast/forecaster.ts';
import { GROUP_RESOURCES } from '../plan/group-policy.ts';

/** GPUs are seen and not sized by: a guest's word alone makes no VM. */
export const DEMAND_RESOURCES = [...GROUP_RESOURCES, 'gpu'] as const;
export type DemandResource = (typeof DEMAND_RESOURCES)[number];

export interface ResourceDemand {
  resource: DemandResource;
  unit: 'cores' | 'MiB' | 'bytes/s' | 'devices';
  /** Of all together in the newest step; null = unknown. */
  now: number | null;
  quantiles: readonly number[];
  /** Ahead, ms. */
  aheadMs: readonly number[];
  /** [ahead × quantiles], row-major; empty = nothing is known yet. */
  values: readonly number[];
  /** What is there for it beyond what is wanted now; null = unknown. */
  available: number | null;
  /** The same, once what boots serves and what goes is gone. */
  soon: number | null;
}

export interface DemandView {
  /** Null: the fleet. */
  group: string | null;
  resources: ResourceDemand[];
}

/** There now and soon, headline unit; null = unknown. */
export interface Supply {
  now: number | null;
  soon: number | null;
}

const UNITS: Readonly<Record<DemandResource, ResourceDemand['unit']>> = {
  ...{ cpu: 'cores', memory: 'MiB', network: 'bytes/s', gpu: 'devices' },
};
const EVERY_MS = 300_000;
const AHEAD_MS = 48 * 3_600_000;
export const DEMAND_QUANTILES = [0.5, 0.9, 0.96] as const;

/** Steps ahead, five minutes apart or a step where that is longer, to two days. */
export function demandHorizons(stepMs: number): number[] {
  const every = Math.max(1, Math.round(EVERY_MS / stepMs));
  return Array.from({ length: Math.floor(AHEAD_MS / (every * stepMs)) }, (_, i) => (i + 1) * every);
}

export function resourceDemand(
  resource: DemandResource,
  stepMs: number,
  now: number | null,
  forecast: Forecast | null,
  supply: Supply,
): ResourceDemand {
  const beyond = (there: number | null): number | null => (there === null || now === null ? null : there - now);
  return {
    ...{ resource, unit: UNITS[resource], now },
    quantiles: forecast?.quantiles ?? [],
    aheadMs: forecast?.horizons.map((steps) => steps * stepMs) ?? [],
    values: forecast === null ? [] : [...forecast.values],
    available: beyond(supply.now),
    soon: beyond(supply.soon),
  };
}
