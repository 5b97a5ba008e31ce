/**
 * May a VM be isolated or restarted now? Looks at the incident, the policy and the fleet anew and knows nothing of how the action
 * came to be asked for. Input: the action and what it rests on; output: why not, or null. Rules in the order a person would want
 * to hear them.
 */
import { QUARANTINE_CAPABILITY, VM_ACTION_CAPABILITY } from '../../../shared/protocol/vm-action-frames.ts';
import type { Incident } from '../anomaly/incident.ts';
import type { ActionTaken, AskedAction } from '../anomaly/incident-actions.ts';
import { ANOMALY_LIMITS } from '../plan/anomaly-policy.ts';
import type { FleetSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';

export interface ActionGround {
  incident: Incident;
  /** So many VMs at once that none of them is the cause. */
  storm: boolean;
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  /** Isolations and restarts of before, newest last. */
  taken: readonly ActionTaken[];
  /** The host's agent takes such actions. */
  understands: boolean;
}

const HOUR_MS = 3_600_000;

/** What a host's agent must know to do it. */
export function capabilityFor({ action, means }: Pick<AskedAction, 'action' | 'means'>): string {
  return action === 'isolate' && means === 'quarantine' ? QUARANTINE_CAPABILITY : VM_ACTION_CAPABILITY;
}

export function lintAction(asked: AskedAction, ground: ActionGround): string | null {
  return incidentProblem(ground) ?? policyProblem(asked, ground) ?? fleetProblem(asked, ground) ?? limitProblem(asked, ground);
}

function incidentProblem({ incident, storm }: ActionGround): string | null {
  if (storm) return 'a storm over the fleet: so many VMs at once are a collector, a clock or the network, and nobody acts on them';
  if (incident.explainedBy !== null) return `it is explained: ${incident.explainedBy}`;
  if (incident.endMs !== null) return 'the incident is over';
  if (!incident.vouched) return "it rests on the guest's own word: nobody is isolated or restarted on that";
  return incident.severity === 'info' ? 'the incident is for the record only' : null;
}

function policyProblem({ vm: id, action, forMs, means }: AskedAction, { incident, snapshot, policy }: ActionGround): string | null {
  const vm = snapshot.vms.find((each) => each.id === id);
  if (vm === undefined) return 'the VM is not known';
  const asked = policy.anomalyOf?.(vm)[action];
  if (!asked?.kinds.includes(incident.kind)) return `the policy does not ask to ${action} it for "${incident.kind}"`;
  if (action === 'isolate' && (forMs <= 0 || !('forMs' in asked) || forMs > asked.forMs))
    return `${forMs} ms are not what the policy allows`;
  if ('means' in asked && asked.means !== means) return `the policy asks for an isolation by ${asked.means}, not by ${means}`;
  if (vm.labels.class === 'cluster') return 'VMs of class "cluster" are neither isolated nor restarted';
  const suspended = policy.suspensions?.find((each) => each.fromMs <= snapshot.nowMs && snapshot.nowMs < each.toMs && each.matches(vm));
  return suspended ? `it is suspended for maintenance: ${suspended.reason}` : null;
}

function fleetProblem({ vm: id, host: hostId }: AskedAction, { snapshot, policy, understands }: ActionGround): string | null {
  if (snapshot.killSwitch || policy.killSwitch) return 'the kill switch of the fleet is on';
  const host = snapshot.hosts.find((each) => each.id === hostId);
  if (host === undefined || !host.connected) return `host ${hostId} is not connected`;
  if (host.killSwitch) return `the kill switch of host ${hostId} is on`;
  if (!understands) return `the agent of host ${hostId} is too old to do it`;
  const vm = snapshot.vms.find((each) => each.id === id);
  if (vm?.host !== hostId) return `the VM is no longer on ${hostId}`;
  if (vm.state !== 'ready') return `the VM is ${vm.state}`;
  if (vm.jobActive) return 'the VM has a job (migration, backup or save) under way';
  return vm.holds.some(({ reason }) => reason.startsWith('kill switch')) ? 'the kill switch of the VM is on' : null;
}

function limitProblem({ host }: AskedAction, { snapshot: { nowMs }, policy, taken }: ActionGround): string | null {
  const { perHostPerHour, perHour } = policy.anomalyLimits ?? ANOMALY_LIMITS;
  const lately = taken.filter(({ atMs }) => nowMs - atMs < HOUR_MS);
  if (lately.length >= perHour) return `${lately.length} VMs were isolated or restarted within the hour, which is the limit`;
  const here = lately.filter((each) => each.host === host).length;
  return here >= perHostPerHour ? `${here} VMs of ${host} were isolated or restarted within the hour, which is the limit` : null;
}
