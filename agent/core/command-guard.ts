/**
 * The last word before a write: decides whether one command may be carried out, on what this host itself knows. Input: the
 * command, the VM and host as known here, how long ago the command came; output: go on, repeat an earlier result, or an
 * outcome with its reason. It trusts nobody: a planner's mistake, a repeated, late or reordered frame ends here. Pure.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';
import {
  comparePairs,
  type EligibilityMap,
  type Outcome,
  type Pair,
  type Resource,
  type Setting,
  sameSetting,
} from '../../shared/resources.ts';
import { type HostMemory, memoryRefusal, type VouchedMemory } from './memory-guard.ts';

export type Command = FrameOf<'command'>;
export type CommandResult = FrameOf<'result'>;

export interface GuardedVm {
  running: boolean;
  vcpus: number;
  eligibility: EligibilityMap;
  /** Its administrator lets it only grow (quorum services, class "cluster"). */
  growOnly: boolean;
  /** In force as last read; absent = unknown. */
  current: Partial<Record<Resource, Setting | undefined>>;
  pairs: Partial<Record<Resource, Pair>>;
  /** Results of earlier commands, newest last, bounded by the caller. */
  results: readonly CommandResult[];
  /** Why a resource is hands off. */
  holds: Partial<Record<Resource, string>>;
  jobActive: boolean;
  /** Why nothing may be written to this VM. */
  killed: string | null;
  memory: VouchedMemory;
}

export interface GuardedHost extends HostMemory {
  killed: string | null;
  /** Another program on this host moves balloons. */
  balloonManager: string | null;
}

export type Verdict =
  | { kind: 'go'; setting: Setting }
  | { kind: 'repeat'; result: CommandResult }
  | { kind: 'no'; outcome: Extract<Outcome, 'skipped' | 'refused' | 'superseded'>; reason: string };

/** Below this share of each vCPU a guest stalls and its watchdogs fire: never capped lower, whoever asks. */
export const CAP_SHARE_PER_VCPU_MIN = 0.2;
/** Policy bounds and targets went through JSON and unit conversion. */
const BOUND_EPSILON = 1e-6;

const refuse = (reason: string): Verdict => ({ kind: 'no', outcome: 'refused', reason });
const skip = (reason: string): Verdict => ({ kind: 'no', outcome: 'skipped', reason });

/** `waitedMs`: time since receipt by the clock that leases run on. `vm` undefined = this host does not have it. */
export function guardCommand(command: Command, vm: GuardedVm | undefined, host: GuardedHost, waitedMs: number): Verdict {
  if (vm === undefined) return refuse(`VM ${command.vm} is not on this host or not managed by it`);
  return (
    orderVerdict(command, vm) ??
    standingVerdict(command, vm, host, waitedMs) ??
    valueVerdict(command, vm, host) ?? { kind: 'go', setting: command.target }
  );
}

/** Is this command's turn over, or already answered? */
function orderVerdict(command: Command, vm: GuardedVm): Verdict | null {
  const { resource, pair } = command;
  const earlier = vm.results.find((result) => result.commandId === command.commandId && comparePairs(result.pair, pair) === 0);
  if (earlier) return { kind: 'repeat', result: earlier };
  const highest = vm.pairs[resource];
  if (highest === undefined) return null;
  const order = comparePairs(pair, highest);
  if (order < 0) return refuse(`pair ${text(pair)} is below ${text(highest)}, which this host accepted already`);
  if (order === 0) return skip(`pair ${text(pair)} was used here already, by another command or by the fast guard`);
  return null;
}

/** May this VM and resource be written at all, now? */
function standingVerdict(command: Command, vm: GuardedVm, host: GuardedHost, waitedMs: number): Verdict | null {
  const { resource, target, previous } = command;
  if (target.resource !== resource || previous.resource !== resource) {
    return refuse(`a command for ${resource} with a target for ${target.resource} and a previous value for ${previous.resource}`);
  }
  if (waitedMs > command.leaseMs || command.leaseMs <= 0)
    return refuse(`its lease of ${command.leaseMs} ms ran out before it could be carried out`);
  const killed = host.killed ?? vm.killed;
  if (killed !== null) return refuse(`kill switch: ${killed}`);
  if (command.mode !== 'auto') return refuse(`mode ${command.mode} permits no change`);
  const eligible = vm.eligibility[resource];
  if (!eligible.allowed) return refuse(`not eligible: ${eligible.reason}`);
  if (resource === 'memory' && host.balloonManager !== null) return refuse(`${host.balloonManager} manages balloons on this host`);
  const hold = vm.holds[resource];
  if (hold !== undefined) return refuse(`hands off: ${hold}`);
  if (!vm.running) return skip('the VM is not running');
  if (vm.jobActive) return skip('the VM has a job (migration, backup or save) under way');
  const current = vm.current[resource];
  if (current === undefined) return skip('the value in force is unknown');
  if (!matchesPrevious(previous, current, vm))
    return skip(`the value in force is ${JSON.stringify(current)}, not ${JSON.stringify(previous)} as planned from`);
  return null;
}

/**
 * A balloon was anywhere between where our last write found it and its target, and any of that may have been reported as in
 * force since: all of it counts. Writes that the sender does not know of are fenced by their pairs.
 */
function matchesPrevious(previous: Setting, current: Setting, vm: GuardedVm): boolean {
  if (sameSetting(previous, current)) return true;
  if (previous.resource !== 'memory') return false;
  const { targetMiB, fromMiB, balloonMiB } = vm.memory;
  if (targetMiB === null || balloonMiB === null) return false;
  const places = [targetMiB, balloonMiB, fromMiB ?? balloonMiB];
  return previous.memoryMiB >= Math.min(...places) - 1 && previous.memoryMiB <= Math.max(...places) + 1;
}

/** Is the value itself within what policy, the guest's health and the host's sums allow? */
function valueVerdict(command: Command, vm: GuardedVm, host: GuardedHost): Verdict | null {
  const { target } = command;
  const current = vm.current[command.resource] ?? command.previous;
  const from = amount(current, vm.vcpus);
  const to = amount(target, vm.vcpus);
  // Moving towards the permitted range is welcome even where one step does not reach it.
  if (to < command.floor - BOUND_EPSILON && to < from) return refuse(`${show(target)} is below the policy's floor of ${command.floor}`);
  if (to > command.ceiling + BOUND_EPSILON && to > from)
    return refuse(`${show(target)} is above the policy's ceiling of ${command.ceiling}`);
  if (vm.growOnly && to < from - BOUND_EPSILON) return refuse('the VM is of a class that only grows');
  const reason =
    target.resource === 'cpu'
      ? cpuRefusal(target.capCores, vm.vcpus)
      : target.resource === 'memory'
        ? memoryRefusal(target.memoryMiB, vm.memory, host)
        : null;
  return reason === null ? null : refuse(reason);
}

function cpuRefusal(capCores: number | null, vcpus: number): string | null {
  if (capCores === null) return null;
  const least = CAP_SHARE_PER_VCPU_MIN * vcpus;
  return capCores < least - BOUND_EPSILON
    ? `a cap of ${capCores} cores is below 20 % of each of its ${vcpus} vCPUs (${least} cores)`
    : null;
}

/** Headline amount of a setting: cores, MiB, bytes/s; no limit is as much as there is. */
function amount(setting: Setting, vcpus: number): number {
  switch (setting.resource) {
    case 'cpu':
      return setting.capCores ?? vcpus;
    case 'memory':
      return setting.memoryMiB;
    case 'network':
      return (setting.inboundBytesPerSecond ?? Number.POSITIVE_INFINITY) + (setting.outboundBytesPerSecond ?? Number.POSITIVE_INFINITY);
    case 'disk':
      return setting.bytesPerSecond ?? Number.POSITIVE_INFINITY;
  }
}

const text = (pair: Pair): string => `(${pair.epoch}, ${pair.generation})`;
const show = (setting: Setting): string => JSON.stringify(setting);
