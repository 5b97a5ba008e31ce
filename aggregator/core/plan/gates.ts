/**
 * May this VM and resource be changed at all, now? One gate, one rule; the first that is shut gives the reason. Input: VM,
 * resource, policy, context; output: a refusal or null. Values come later: these gates look at none.
 */
import type { Resource } from '../../../shared/resources.ts';
import { spokenDuration } from './durations.ts';
import type { VmSnapshot } from './plan.ts';
import type { PlanContext, Refusal } from './planning.ts';
import type { ResourcePolicy } from './policy.ts';
import { suspensionOf } from './suspension.ts';
import { localWords, RESOURCE_WORDS } from './words.ts';

type Gate = (vm: VmSnapshot, resource: Resource, policy: ResourcePolicy, context: PlanContext) => Refusal | null;

const no = (constraint: Refusal['constraint'], reason: string): Refusal => ({ constraint, reason });

const eligibility: Gate = (vm, resource) => {
  const eligible = vm.eligibility[resource];
  return eligible.allowed ? null : no('eligibility', `${RESOURCE_WORDS[resource]} is never changed here: ${eligible.reason}`);
};

const balloonManager: Gate = (vm, resource, _policy, { hosts }) => {
  const manager = resource === 'memory' ? hosts.get(vm.host)?.balloonManager : null;
  return manager ? no('eligibility', `${manager} manages balloons on ${vm.host}: memory is left to it`) : null;
};

const observing: Gate = (_vm, _resource, { mode }) =>
  mode === 'auto' || mode === 'recommend' ? null : no('mode', `mode ${mode}: watched, not changed`);

const killSwitch: Gate = (vm, _resource, _policy, { snapshot, policy, hosts }) => {
  if (snapshot.killSwitch) return no('kill-switch', 'the kill switch of the fleet is on');
  if (policy.killSwitch) return no('kill-switch', 'the policy file has the kill switch of the fleet on');
  return hosts.get(vm.host)?.killSwitch ? no('kill-switch', `the kill switch of host ${vm.host} is on`) : null;
};

const maintenance: Gate = (vm, _resource, _policy, { snapshot, policy }) => {
  const suspension = suspensionOf(vm, policy, snapshot.nowMs);
  if (suspension === null) return null;
  return no('maintenance', `suspended until ${localWords(suspension.toMs, suspension.timeZone)}: ${suspension.reason}`);
};

const STATE_WORDS: Partial<Record<VmSnapshot['state'], string>> = {
  paused: 'it is paused: its memory stays its own, nothing is changed',
  stopped: 'it is stopped: nothing is allocated',
  error: 'it has failed: what it held is released',
  unknown: 'its state is unknown',
};

const state: Gate = (vm) => {
  const words = STATE_WORDS[vm.state];
  return words === undefined ? null : no('state', words);
};

const hostHere: Gate = (vm, _resource, _policy, { hosts, policy }) => {
  const host = hosts.get(vm.host);
  if (host === undefined) return no('unknown', `nothing is known of its host ${vm.host}`);
  if (!host.connected) return no('stale', `host ${vm.host} is not connected`);
  if (host.ageMs > policy.staleAfterMs) return no('stale', `nothing was heard of host ${vm.host} for ${spokenDuration(host.ageMs)}`);
  return null;
};

const holds: Gate = (vm, resource) => {
  const hold = vm.holds.find((each) => each.resource === resource);
  if (hold === undefined) return null;
  const until = hold.forMs === null ? 'until it is lifted' : `for another ${spokenDuration(hold.forMs)}`;
  return no(hold.reason.startsWith('kill switch') ? 'kill-switch' : 'hold', `hands off ${until}: ${hold.reason}`);
};

const job: Gate = (vm) => (vm.jobActive ? no('job', 'a job (migration, backup or save) is under way') : null);

const stale: Gate = (vm, resource, _policy, { policy }) => {
  const { ageMs } = vm.demand[resource];
  if (ageMs <= policy.staleAfterMs) return null;
  const told = Number.isFinite(ageMs) ? `the newest sample is ${spokenDuration(ageMs)} old` : 'no sample has come yet';
  return no('stale', `${told}; after ${spokenDuration(policy.staleAfterMs)} nothing is changed`);
};

const current: Gate = (vm, resource) => (vm.current[resource] === undefined ? no('unknown', 'what is in force now is unknown') : null);

const pending: Gate = (vm, resource) =>
  vm.pending[resource] === undefined ? null : no('pending', 'a command is under way; its result comes first');

/** In the order in which a person would want to hear it. */
const GATES: readonly Gate[] = [
  eligibility,
  balloonManager,
  observing,
  killSwitch,
  maintenance,
  state,
  hostHere,
  holds,
  job,
  stale,
  current,
  pending,
];

/** Shut even for what only puts back what was there before, whatever the policy says of it now. */
const GATES_OF_RETURN: readonly Gate[] = [killSwitch, state, hostHere, holds, job];

export const gate: Gate = (...about) => firstShut(GATES, about);

export const gateOfReturn: Gate = (...about) => firstShut(GATES_OF_RETURN, about);

function firstShut(gates: readonly Gate[], about: Parameters<Gate>): Refusal | null {
  for (const check of gates) {
    const refusal = check(...about);
    if (refusal !== null) return refusal;
  }
  return null;
}
