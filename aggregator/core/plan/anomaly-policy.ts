/**
 * What an administrator asks to be done about a VM that went wrong, resolved for one VM. The file's part of it is read in
 * policy-anomaly.ts; planner, lint and the anomaly desk see only this.
 */
import type { IsolationMeans } from '../../../shared/protocol/vm-action-frames.ts';
import type { IncidentKind } from '../anomaly/incident.ts';
import type { MatchedVm } from './policy-match.ts';

export interface AnomalyPolicy {
  /** People are told. */
  alert: boolean;
  /** While an incident goes on that the host itself sees, nothing is taken from the VM. */
  freezeShrinking: boolean;
  /** The resource that the incident presses on gets at least this share of its ceiling at once; 0 = only what demand asks for. */
  growToFraction: number;
  isolate: { kinds: readonly IncidentKind[]; forMs: number; means: IsolationMeans } | null;
  restart: { kinds: readonly IncidentKind[] } | null;
}

export interface AnomalyLimits {
  perHostPerHour: number;
  perHour: number;
}

export const ANOMALY_DEFAULTS: AnomalyPolicy = { alert: true, freezeShrinking: true, growToFraction: 0, isolate: null, restart: null };

/** One mistake of ours must not take down more VMs than people can put right by hand within the hour. */
export const ANOMALY_LIMITS: AnomalyLimits = { perHostPerHour: 1, perHour: 3 };

export type ResolvedAnomaly = AnomalyPolicy & { rule: string };

/** The part of a policy that knows; policies made without it answer as built in. */
export interface AnomalyPolicies {
  anomalyOf?: (vm: MatchedVm) => ResolvedAnomaly;
  anomalyLimits?: AnomalyLimits;
}

export function anomalyPolicyOf(policy: AnomalyPolicies, vm: MatchedVm): ResolvedAnomaly {
  return policy.anomalyOf?.(vm) ?? { ...ANOMALY_DEFAULTS, rule: 'built-in' };
}
