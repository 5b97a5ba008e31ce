/**
 * What a forecast of one resource hears of the VM's other resources: which, in which order, and how two directions are one. The one
 * definition for live steps, traces, imported history and the series store, so that a backtest hears what the live forecast would have heard.
 */
import { RESOURCES, type Resource } from '../../../shared/resources.ts';

/** So many others there are. */
export const OTHERS_COUNT = RESOURCES.length - 1;

/** The others of a resource, in the order in which a forecaster is told of them. */
export function othersOf(resource: Resource): Resource[] {
  return RESOURCES.filter((other) => other !== resource);
}

/** Demand of the others in one step, NaN where it is not known. */
export function othersHeard(resource: Resource, demandOf: (other: Resource) => number | null | undefined): number[] {
  return othersOf(resource).map((other) => demandOf(other) ?? Number.NaN);
}

/** A network's or a disk's demand is that of both directions together, as it is allocated; unknown while one of them is. */
export function bothWays(one: number, other: number): number {
  return one + other;
}
