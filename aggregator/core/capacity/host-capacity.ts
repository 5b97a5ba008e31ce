/**
 * What a host can be sold beyond what its VMs will want: capacity less reserve less a high quantile of their joint demand over
 * the day to come. Input: the host's facts, sizes of its VMs, what was learnt of their demand; output: figures and words, for
 * people and schedulers. It advises and changes nothing.
 */
import type { Forecast } from '../forecast/forecaster.ts';
import { type HostDemand, SOLD_RESOURCES, type SoldResource } from './host-demand.ts';
import { sellable } from './sellable.ts';

/** Sold is what is free 99 times in 100, in the worst step of the day to come. */
export const SOLD_QUANTILE = 0.99;
const QUANTILES = [0.5, 0.9, SOLD_QUANTILE] as const;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** Steps of the day to come that are looked at, at most: demand an hour apart is as good as all of it. */
const LOOKED_AT_MAX = 24;
/** Under this confidence nothing is sold, as the planner takes nothing away under it. */
const CONFIDENCE_MIN = 0.2;
/** Joint demand of fewer VMs is no average of many: one more may be unlike them. */
const VMS_TO_AVERAGE_MIN = 3;
/**
 * Nova's own defaults of old (16 and 1.5): more than these is not advised, whatever the VMs want; less than what there is would
 * be strange advice.
 */
const RATIO_MAX: Readonly<Record<SoldResource, number>> = { cpu: 16, memory: 1.5 };

export interface HostFacts {
  id: string;
  /** Cores and MiB. */
  capacity: Readonly<Record<SoldResource, number>>;
  /** Kept free by policy. */
  reserve: Readonly<Record<SoldResource, number>>;
  /** Sizes of the VMs that run there, summed: vCPUs and MiB. */
  sold: Readonly<Record<SoldResource, number>>;
  vms: number;
}

export interface ResourceCapacity {
  unit: 'cores' | 'MiB';
  capacity: number;
  reserve: number;
  sold: number;
  /** Newest step; null = unknown. */
  demand: number | null;
  usual: number;
  /** Highest quantiles over the hour and over the day to come; null = nothing is known yet. */
  nextHour: Quantiles | null;
  nextDay: Quantiles | null;
  /** 0 while too little is known. */
  sellable: number;
  /** Sold per unit of capacity less reserve at which the joint demand would just fit; null = too little is known. */
  allocationRatio: number | null;
  confidence: number;
}

export interface Quantiles {
  q50: number;
  q90: number;
  q99: number;
}

export interface CapacityView {
  host: string;
  vms: number;
  /** More VMs like those there that fit; null = too little is known. */
  moreVms: number | null;
  /** What runs out first. */
  tightest: SoldResource;
  /** For people. */
  advice: string;
  resources: Record<SoldResource, ResourceCapacity>;
}

/** Steps ahead, by the length of a step: the first hour's, then about one an hour to the end of the day. */
export function horizonsOfDay(stepMs: number): number[] {
  const hour = Math.max(1, Math.round(HOUR_MS / stepMs));
  const day = Math.max(hour, Math.round(DAY_MS / stepMs));
  const first = [1, Math.ceil(hour / 3), Math.ceil(hour / 2), hour];
  const later = Array.from({ length: LOOKED_AT_MAX }, (_, i) => Math.ceil((day * (i + 1)) / LOOKED_AT_MAX));
  return [...new Set([...first, ...later])].sort((a, b) => a - b);
}

export function capacityOf(facts: HostFacts, learnt: HostDemand | null, stepMs: number): CapacityView {
  const resources = Object.fromEntries(
    SOLD_RESOURCES.map((one) => [one, resourceOf(one, facts, learnt, stepMs)]),
  ) as CapacityView['resources'];
  const room = SOLD_RESOURCES.map((resource) => ({ resource, more: moreVms(resources[resource], facts.vms) }));
  const [first] = room.sort((a, b) => (a.more ?? -1) - (b.more ?? -1)) as [(typeof room)[number]];
  const tight = resources[first.resource];
  return {
    host: facts.id,
    vms: facts.vms,
    moreVms: first.more,
    tightest: first.resource,
    advice: adviceOf(first.more, tight, facts.vms),
    resources,
  };
}

function resourceOf(resource: SoldResource, facts: HostFacts, learnt: HostDemand | null, stepMs: number): ResourceCapacity {
  const [capacity, reserve, sold] = [facts.capacity[resource], facts.reserve[resource], facts.sold[resource]];
  const horizons = horizonsOfDay(stepMs);
  const forecast = learnt?.forecast(resource, horizons, QUANTILES) ?? null;
  const confidence = forecast?.confidence ?? 0;
  const trusted = forecast !== null && confidence >= CONFIDENCE_MIN;
  const hour = horizons.filter((ahead) => ahead * stepMs <= HOUR_MS).length;
  const nextDay = forecast === null ? null : highest(forecast, horizons.length);
  const high = nextDay?.q99 ?? 0;
  const ratio = trusted && high > 0 && facts.vms >= VMS_TO_AVERAGE_MIN ? sold / high : null;
  return {
    unit: resource === 'cpu' ? 'cores' : 'MiB',
    ...{ capacity, reserve, sold, confidence, nextDay },
    demand: learnt?.now(resource) ?? null,
    usual: learnt?.usual(resource) ?? 0,
    nextHour: forecast === null ? null : highest(forecast, Math.max(1, hour)),
    sellable: trusted ? sellable(capacity, reserve, forecast, SOLD_QUANTILE) : 0,
    allocationRatio: ratio === null ? null : Math.min(RATIO_MAX[resource], Math.max(1, ratio)),
  };
}

/** The highest of each quantile over the first `rows` horizons. */
function highest({ values, quantiles }: Forecast, rows: number): Quantiles {
  const at = (j: number): number => {
    let most = 0;
    for (let row = 0; row < rows; row++) most = Math.max(most, values[row * quantiles.length + j]!);
    return most;
  };
  return { q50: at(0), q90: at(1), q99: at(2) };
}

function moreVms({ allocationRatio, nextDay, sellable: free }: ResourceCapacity, vms: number): number | null {
  if (allocationRatio === null || nextDay === null) return null;
  return Math.floor(free / (nextDay.q99 / vms));
}

function adviceOf(more: number | null, { unit, nextDay, sellable: free, capacity, reserve }: ResourceCapacity, vms: number): string {
  if (more === null || nextDay === null) return 'too little is known of its VMs yet: place by their sizes';
  const high = `${amount(nextDay.q99)} of ${amount(capacity - reserve)} ${unit}`;
  if (more === 0) return `full: its VMs will want up to ${high} together`;
  const each = `${amount(nextDay.q99 / vms)} ${unit} each of what they want together`;
  return `takes about ${more} more VMs like its ${vms} (${each}); they will want up to ${high}, ${amount(free)} can be sold`;
}

const amount = (value: number): string => (value < 100 ? value.toFixed(1) : value.toFixed(0));
