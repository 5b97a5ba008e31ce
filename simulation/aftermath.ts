/**
 * What must be true once faults have healed: what the aggregator believes is what is in force, and after `restore` every VM
 * has the values it had before, except where somebody else has changed them since. Input: hosts, the service; output:
 * differences, in words.
 */
import { SILENT_HOST_MS } from '../agent/loops/cpu-keeper.ts';
import { restore } from '../agent/restore.ts';
import type { AggregatorService } from '../aggregator/http/service.ts';
import type { VmId } from '../shared/ids.ts';
import { type RESOURCES, type Setting, sameSetting } from '../shared/resources.ts';
import type { SimulatedTime } from './clock.ts';
import type { HostNode } from './host-node.ts';
import type { Invariants } from './invariants.ts';

/** Balloons move on, so memory under way may differ for a moment: CPU is compared. */
export function differencesFrom(service: AggregatorService, hosts: readonly HostNode[]): string[] {
  const differences: string[] = [];
  const connected = new Set(service.hosts().flatMap((host) => (host.connected ? [host.id] : [])));
  for (const host of hosts) {
    if (!connected.has(host.id)) differences.push(`host ${host.id} is not connected`);
    if (!host.agentRuns || host.leaseOut) differences.push(`host ${host.id} has no lease`);
    for (const id of host.vmIds) {
      const view = service.vm(id);
      const { cpu, options } = host.hypervisor.truth(id);
      const believed = view?.resources.cpu.setting;
      if (view && view.host !== host.id) differences.push(`${options.name}: believed on ${view.host}, runs on ${host.id}`);
      if (!believed || !sameSetting(believed, cpu))
        differences.push(`${options.name}: believed ${JSON.stringify(believed)}, in force ${JSON.stringify(cpu)}`);
    }
  }
  return differences;
}

/** Longer than a guest waits for a host that has fallen silent, and its link for a word. */
const GUESTS_NOTICE_MS = SILENT_HOST_MS + 60_000;

/** `restore --all` on every host at once, nobody else running. Reports what is not as it was. */
export async function restoreAll(
  hosts: readonly HostNode[],
  time: SimulatedTime,
  withinMs: number,
  invariants: Invariants,
): Promise<boolean> {
  const runs = hosts.map((host) => restore(host.hypervisor, host.files, null));
  await time.runUntil(time.nowMs + withinMs);
  let restored = true;
  const broken = (message: string): void => {
    restored = false;
    invariants.report('restore', time.nowMs, message);
  };
  for (const lines of await Promise.all(runs)) {
    for (const { ok, name, what, detail } of lines) if (!ok) broken(`${name} ${what}: ${detail}`);
  }
  // Nobody is there to tell guests: each puts its own vCPUs back.
  if (hosts.some((host) => host.vmIds.some((id) => hasVcpusOffline(host, id)))) await time.runUntil(time.nowMs + GUESTS_NOTICE_MS);
  for (const host of hosts) for (const id of host.vmIds) for (const difference of notAsBefore(host, id, invariants)) broken(difference);
  return restored;
}

function hasVcpusOffline(host: HostNode, id: VmId): boolean {
  const { vcpusOnline, options, power } = host.hypervisor.truth(id);
  return power === 'running' && vcpusOnline < options.vcpus;
}

function notAsBefore(host: HostNode, id: VmId, invariants: Invariants): string[] {
  const { cpu, balloonTargetMiB, options } = host.hypervisor.truth(id);
  const baseline: Partial<Record<(typeof RESOURCES)[number], Setting>> = {
    cpu: { resource: 'cpu', weight: 100, capCores: null },
    memory: options.baseline?.find(({ resource }) => resource === 'memory') as Setting,
  };
  if (hasVcpusOffline(host, id)) return [`${options.name}: not all its vCPUs are online`];
  const now: Setting[] = [cpu, { resource: 'memory', memoryMiB: balloonTargetMiB }];
  return now.flatMap((setting) => {
    const expected = invariants.foreignOf(id, setting.resource) ?? baseline[setting.resource]!;
    return sameSetting(setting, expected) ? [] : [`${options.name}: ${JSON.stringify(setting)} instead of ${JSON.stringify(expected)}`];
  });
}
