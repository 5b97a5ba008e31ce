/**
 * libvirt's bulk statistics record → VmStats. Parameters by name in, counters and levels out; what is not there stays
 * absent. Also tells whether the record came from the VM itself: with NOWAIT, libvirt leaves out what it would have had to
 * ask a busy or stuck hypervisor process for, and says so in no other way.
 */
import { kibToMiB } from '../../../shared/units.ts';
import type { StatsGroup, VmStats } from '../hypervisor.ts';
import { powerOf } from './events.ts';
import type { StatsRecord } from './procedures.ts';
import { numberOf, type Params } from './typed-params.ts';

/** virDomainStatsTypes. */
const GROUP_BITS: Record<StatsGroup, number> = { state: 1, cpu: 2, balloon: 4, vcpu: 8, interface: 16, block: 32 };
/** More vCPUs, interfaces or disks than any domain has: a count beyond is not believed. */
const COUNT_MAX = 4096;

export function groupBits(groups: readonly StatsGroup[]): number {
  return groups.reduce((bits, group) => bits | GROUP_BITS[group], GROUP_BITS.state);
}

/** Did the hypervisor process itself answer, as far as the groups asked for can tell? */
export function answered(params: Params, groups: readonly StatsGroup[]): boolean {
  if (groups.includes('balloon') && params['balloon.current'] !== undefined && params['balloon.rss'] === undefined) return false;
  const disks = numberOf(params, 'block.count') ?? 0;
  return !(groups.includes('block') && disks > 0 && params['block.0.capacity'] === undefined && params['block.0.rd.reqs'] === undefined);
}

export function statsOf({ domain, params }: StatsRecord, groups: readonly StatsGroup[], monotonicMs: number): VmStats {
  const stats: VmStats = { id: domain.uuid, monotonicMs };
  const state = numberOf(params, 'state.state');
  if (state !== undefined) stats.power = powerOf(state, numberOf(params, 'state.reason') ?? null);
  const cpuTimeNs = numberOf(params, 'cpu.time');
  if (groups.includes('cpu') && cpuTimeNs !== undefined) stats.cpuTimeNs = cpuTimeNs;
  if (groups.includes('vcpu')) stats.vcpus = vcpusOf(params);
  if (groups.includes('balloon')) stats.balloon = balloonOf(params);
  if (groups.includes('interface')) stats.interfaces = interfacesOf(params);
  if (groups.includes('block')) stats.blocks = blocksOf(params);
  return stats;
}

const countOf = (params: Params, name: string): number => Math.min(COUNT_MAX, numberOf(params, name) ?? 0);

/** Copies the numbers that are there. */
function present<K extends string>(
  params: Params,
  names: Record<K, string>,
  scale = (value: number): number => value,
): { [P in K]?: number } {
  const found: { [P in K]?: number } = {};
  for (const key of Object.keys(names) as K[]) {
    const value = numberOf(params, names[key]);
    if (value !== undefined) found[key] = scale(value);
  }
  return found;
}

function vcpusOf(params: Params): NonNullable<VmStats['vcpus']> {
  const vcpus: NonNullable<VmStats['vcpus']> = [];
  for (let id = 0; id < countOf(params, 'vcpu.maximum'); id++) {
    const state = numberOf(params, `vcpu.${id}.state`);
    if (state === undefined) continue;
    // `delay` is the time spent runnable without a CPU; libvirt's `wait` is time asleep waiting for I/O.
    vcpus.push({ id, online: state !== 0, ...present(params, { timeNs: `vcpu.${id}.time`, waitNs: `vcpu.${id}.delay` }) });
  }
  return vcpus;
}

function balloonOf(params: Params): NonNullable<VmStats['balloon']> {
  const sizes = {
    actualMiB: 'balloon.current',
    maximumMiB: 'balloon.maximum',
    availableMiB: 'balloon.available',
    usableMiB: 'balloon.usable',
    unusedMiB: 'balloon.unused',
    rssMiB: 'balloon.rss',
    swapInMiB: 'balloon.swap_in',
    swapOutMiB: 'balloon.swap_out',
  };
  // A driver that has never told leaves its time at zero.
  const told = (numberOf(params, 'balloon.last-update') ?? 0) > 0;
  return {
    ...present(params, sizes, kibToMiB),
    ...present(params, { majorFaults: 'balloon.major_fault' }),
    ...(told ? present(params, { lastUpdateSeconds: 'balloon.last-update' }) : {}),
  };
}

function interfacesOf(params: Params): NonNullable<VmStats['interfaces']> {
  const interfaces: NonNullable<VmStats['interfaces']> = [];
  for (let i = 0; i < countOf(params, 'net.count'); i++) {
    const rxBytes = numberOf(params, `net.${i}.rx.bytes`);
    const txBytes = numberOf(params, `net.${i}.tx.bytes`);
    if (rxBytes === undefined || txBytes === undefined) continue;
    const drops = present(params, { rxDrops: `net.${i}.rx.drop`, txDrops: `net.${i}.tx.drop` });
    interfaces.push({ name: String(params[`net.${i}.name`] ?? i), rxBytes, txBytes, ...drops });
  }
  return interfaces;
}

function blocksOf(params: Params): NonNullable<VmStats['blocks']> {
  const blocks: NonNullable<VmStats['blocks']> = [];
  for (let i = 0; i < countOf(params, 'block.count'); i++) {
    const of = (name: string): number | undefined => numberOf(params, `block.${i}.${name}`);
    const [readBytes, writeBytes, readRequests, writeRequests] = [of('rd.bytes'), of('wr.bytes'), of('rd.reqs'), of('wr.reqs')];
    if (readBytes === undefined || writeBytes === undefined || readRequests === undefined || writeRequests === undefined) continue;
    blocks.push({ name: String(params[`block.${i}.name`] ?? i), readBytes, writeBytes, readRequests, writeRequests });
  }
  return blocks;
}
