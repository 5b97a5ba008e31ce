/**
 * What policy asks to be done to a VM for an incident, apart from what the planner makes of it. Input: the incident and the policy
 * of its VM; output: actions, the mildest first. Whether they may be done now is the lint's to say. Pure.
 */
import type { IsolationMeans, VmAction } from '../../../shared/protocol/vm-action-frames.ts';
import type { AnomalyPolicy } from '../plan/anomaly-policy.ts';
import type { Incident } from './incident.ts';

export interface AskedAction {
  vm: string;
  host: string;
  action: Exclude<VmAction, 'release'>;
  /** Of an isolation, ms; 0 otherwise. */
  forMs: number;
  /** Of an isolation; by link otherwise. */
  means: IsolationMeans;
  /** For the ledger and whoever looks at the VM. */
  reason: string;
}

/** One that was carried out or tried: counts against the limits. */
export interface ActionTaken {
  host: string;
  atMs: number;
}

export function askedActions({ vm, host, kind, cause }: Incident, policy: AnomalyPolicy): AskedAction[] {
  const asked: AskedAction[] = [];
  const reason = `${kind}: ${cause}`;
  if (policy.isolate?.kinds.includes(kind))
    asked.push({ vm, host, action: 'isolate', reason, forMs: policy.isolate.forMs, means: policy.isolate.means });
  if (policy.restart?.kinds.includes(kind)) asked.push({ vm, host, action: 'restart', forMs: 0, means: 'link', reason });
  return asked;
}
