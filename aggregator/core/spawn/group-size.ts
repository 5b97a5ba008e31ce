/**
 * How many VMs a group should have: as many as serve its forecast demand when the ones ordered now would be ready, and none
 * fewer than what comes soon after will want back. Input: per resource the group's total demand as forecast and what one
 * member serves; output: the size, the resource that asked for it and why, in words. Total demand, not demand per member:
 * a group behind a load balancer has the same work to do with one member more.
 */
import { assert } from '../../../shared/assert.ts';
import type { Resource } from '../../../shared/resources.ts';
import type { Forecast } from '../forecast/forecaster.ts';

export interface GroupDemand {
  resource: Resource;
  /** What one member serves at most, headline unit. */
  unit: number;
  /** Of the whole group's demand; its one quantile is the level to be served. Null = unknown. */
  forecast: Forecast | null;
  /** In the newest step; null = unknown. */
  now: number | null;
}

export interface GroupSizing {
  /** Bounds of the policy. */
  least: number;
  most: number;
  /** Steps from this decision to the first whole step that a VM ordered now serves: boot to ready, p95, and the loop's period. */
  leadSteps: number;
  /** A member stays while any of so many coming steps wants it: longer than a boot, or VMs go only to come back. */
  holdSteps: number;
}

export interface GroupSize {
  size: number;
  /** What asked for it; null: the bounds, or what there is. */
  resource: Resource | null;
  reason: string;
}

interface Need {
  members: number;
  resource: Resource | null;
  /** Headline unit. */
  demand: number;
}

/** By forecast; where the forecast is below what is wanted now, by that. `members` = those there are or ordered, not those on their way out. */
export function groupSize(members: number, demands: readonly GroupDemand[], sizing: GroupSizing): GroupSize {
  const forecast = forecastSize(members, demands, sizing);
  for (const { resource, unit, now } of demands) {
    const needed = Math.min(sizing.most, Math.ceil((now ?? 0) / unit));
    if (needed <= forecast.size) continue;
    return { size: needed, resource, reason: `${Number((now ?? 0).toPrecision(3))} of ${resource} wanted now for ${needed} VMs` };
  }
  return forecast;
}

function forecastSize(members: number, demands: readonly GroupDemand[], sizing: GroupSizing): GroupSize {
  const { least, most, leadSteps, holdSteps } = sizing;
  assert(least <= most && leadSteps <= holdSteps, `bounds ${least}..${most} and steps ${leadSteps}..${holdSteps} must ascend`);
  const grow = need(demands, leadSteps, leadSteps);
  const keep = need(demands, 1, holdSteps);
  const told = (size: number, { resource }: Need, reason: string): GroupSize => {
    if (size > most) return { size: most, resource: null, reason: `${reason}; the policy allows ${most}` };
    if (size < least) return { size: least, resource: null, reason: `the policy asks for at least ${least}` };
    return { size, resource, reason };
  };
  if (demands.some(({ forecast }) => forecast === null)) {
    return told(Math.max(members, grow.members), grow, 'demand is not known for every resource: nothing is taken away');
  }
  if (grow.members > members) return told(grow.members, grow, `${words(grow)} expected in ${leadSteps} steps`);
  if (keep.members < members) return told(keep.members, keep, `no more than ${words(keep)} expected in the next ${holdSteps} steps`);
  return told(members, keep, `${words(keep)} expected in the next ${holdSteps} steps`);
}

const words = ({ resource, demand, members }: Need): string =>
  resource === null ? 'nothing' : `${Number(demand.toPrecision(3))} of ${resource} for ${members} VMs`;

/** The most members that any resource wants in steps `from`..`to` ahead. */
function need(demands: readonly GroupDemand[], from: number, to: number): Need {
  let most: Need = { members: 0, resource: null, demand: 0 };
  for (const { resource, unit, forecast } of demands) {
    assert(unit > 0, `one member must serve something, got ${unit} of ${resource}`);
    forecast?.horizons.forEach((steps, row) => {
      if (steps < from || steps > to) return;
      const demand = forecast.values[row * forecast.quantiles.length]!;
      const members = Math.ceil(demand / unit);
      if (members > most.members) most = { members, resource, demand };
    });
  }
  return most;
}
