/**
 * Agreements on service: for VMs that match, demand must be covered in so large a share of steps. Input: per VM what was
 * kept; output: attainment of each agreement, the VMs furthest below it, and what is left of its budget. Pure.
 */
import type { VmId } from '../../../shared/ids.ts';
import type { Resource } from '../../../shared/resources.ts';
import type { FleetPolicy } from './policy.ts';

export type Sla = NonNullable<FleetPolicy['slas']>[number];

export interface SlaMember {
  vm: VmId;
  name: string;
  steps: number;
  met: number;
  sinceMs: number | null;
}

export interface SlaState {
  name: string;
  resource: Resource;
  objective: number;
  windowMs: number;
  vms: number;
  steps: number;
  /** Share of steps in which what was granted covered what was wanted, null = no step is known yet. */
  attainment: number | null;
  kept: boolean | null;
  /** Share of the steps that may fall short and have not yet; negative = overdrawn; null = unknown. */
  budgetLeft: number | null;
  /** Oldest step counted; the window may not be full yet. */
  sinceMs: number | null;
  /** Furthest below first. */
  worst: { vm: VmId; name: string; attainment: number; steps: number }[];
}

const WORST_TOLD_MAX = 10;

export function slaState({ name, resource, objective, windowMs }: Sla, members: readonly SlaMember[]): SlaState {
  const steps = members.reduce((sum, member) => sum + member.steps, 0);
  const met = members.reduce((sum, member) => sum + member.met, 0);
  const since = members.flatMap(({ sinceMs }) => (sinceMs === null ? [] : [sinceMs]));
  const attainment = steps === 0 ? null : met / steps;
  const mayMiss = (1 - objective) * steps;
  const worst = members
    .filter((member) => member.steps > 0 && member.met < member.steps)
    .map((member) => ({ vm: member.vm, name: member.name, attainment: member.met / member.steps, steps: member.steps }))
    .sort((a, b) => a.attainment - b.attainment || (a.name < b.name ? -1 : 1));
  return {
    name,
    resource,
    objective,
    windowMs,
    vms: members.length,
    steps,
    attainment,
    kept: attainment === null ? null : attainment >= objective,
    budgetLeft: steps === 0 ? null : mayMiss === 0 ? (met === steps ? 1 : -1) : 1 - (steps - met) / mayMiss,
    sinceMs: since.length === 0 ? null : Math.min(...since),
    worst: worst.slice(0, WORST_TOLD_MAX),
  };
}
