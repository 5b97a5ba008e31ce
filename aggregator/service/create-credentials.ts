/**
 * Logins, wired to live state: whether a VM can be asked, what its host saw it wait for, what is done about a lack. Input: the
 * aggregator's parts; output: Credentials.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import { CREDENTIAL_CAPABILITY, type FrameOf } from '../../shared/protocol/frames.ts';
import type { Resource } from '../../shared/resources.ts';
import type { Wait, WaitedFor } from '../core/credential/delay.ts';
import type { VmView } from '../http/service.ts';
import { Credentials } from './credentials.ts';
import type { Parts } from './parts.ts';

export interface CredentialParts extends Pick<Parts, 'clock' | 'epoch' | 'time' | 'state' | 'notifications' | 'queue'> {
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'guest-command'>) => boolean;
  understands: (host: HostId, capability: string) => boolean;
  view: (vm: VmId) => VmView | null;
}

export function createCredentials(parts: CredentialParts): Credentials {
  const { clock, epoch, epochOf, time, notifications, queue, send } = parts;
  return new Credentials({
    ...{ clock, epoch, epochOf, send },
    nowMs: () => time.nowMs(),
    host: (vm) => hostOf(parts, vm),
    waits: (vm) => waitsOf(parts, vm),
    doing: (vm, resource) => doing(parts.view(vm), resource),
    tell: (told) => notifications.add(told),
    record: (timeMs, body) => queue.append(timeMs, body),
  });
}

function hostOf({ state, understands }: CredentialParts, vm: VmId): { host: HostId; refusal: string | null } {
  const record = state.vm(vm);
  if (record === undefined) return { host: '' as HostId, refusal: 'nothing is known of this VM any more' };
  const { host, inventory } = record;
  const refusal =
    state.host(host)?.connected !== true
      ? `host ${host} is not connected`
      : !understands(host, CREDENTIAL_CAPABILITY)
        ? `the host agent of ${host} is of a release that makes no logins; put a newer one there`
        : !inventory.guestAgent
          ? `no guest agent is connected in ${inventory.name}; logins are made by one`
          : null;
  return { host, refusal };
}

function waitsOf({ state, time, clock }: CredentialParts, vm: VmId): Record<WaitedFor, Wait> {
  const record = state.vm(vm);
  const nowMs = time.nowMs();
  const parts = record?.contention(nowMs)?.parts;
  const points = record?.latestStep?.points;
  return {
    memory: {
      share: largest(parts?.memoryPressure, parts?.swap),
      short: record?.memoryPressure(nowMs, clock.monotonicMs(), state.policy.staleAfterMs) === true,
    },
    cpu: { share: largest(parts?.cpuWait, parts?.steal), short: points?.cpu.suppressed === true },
    io: { share: largest(parts?.ioPressure), short: points?.disk.suppressed === true },
  };
}

function largest(...shares: (number | null | undefined)[]): number | null {
  const known = shares.filter((share) => typeof share === 'number');
  return known.length === 0 ? null : Math.max(...known);
}

const NAMES: Readonly<Record<Resource, string>> = { cpu: 'CPU', memory: 'memory', network: 'network', disk: 'disk' };

/** What is done about a lack: the planner's last word on it. */
function doing(vm: VmView | null, resource: Resource): string {
  const view = vm?.resources[resource];
  if (!view) return `nothing is known of its ${NAMES[resource]}`;
  const { eligible, mode, lastDecision } = view;
  if (!eligible.allowed) return `nothing is done: ${NAMES[resource]} of this VM is never changed (${eligible.reason})`;
  if (mode !== 'auto') return `nothing is done: its policy has ${NAMES[resource]} in mode ${mode}`;
  if (lastDecision === null) return `its ${NAMES[resource]} is looked at with the next plan`;
  const time = new Date(lastDecision.atMs).toISOString().slice(11, 19);
  return lastDecision.done
    ? `at ${time} ${lastDecision.reason}`
    : `at ${time} its ${NAMES[resource]} was left as it is: ${lastDecision.reason}`;
}
