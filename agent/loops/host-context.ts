/**
 * What the loops of one host agent share: their adapters, the table of VMs, and what is known of the host. One writer per
 * part: discovery fills the table, sampling the host's numbers, the command channel lease and allowances.
 */

import type { Clock } from '../../shared/clock.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { Prng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Pair, Resource, Setting } from '../../shared/resources.ts';
import type { VmQueues } from '../actuators/vm-queue.ts';
import type { GuardedHost } from '../core/command-guard.ts';
import type { ClockReading } from '../core/foreign-hold.ts';
import type { Lease } from '../core/lease.ts';
import { type FoundSlice, lentMiB } from '../core/slice-state.ts';
import type { HostCapacity, Hypervisor } from '../hypervisor/hypervisor.ts';
import type { KillSwitches, StateFiles } from './state-files.ts';
import { exposureMiB, type VmEntry } from './vm-table.ts';

/** Durations are milliseconds here; configuration says seconds. */
export interface HostAgentSettings {
  host: HostId;
  /** Names of VMs to manage, shell patterns; empty = all. */
  include: readonly string[];
  sampleMs: number;
  /** The host's own view is looked at this often for the fast guard, however seldom samples are taken for the aggregator. */
  guardMs: number;
  /** Asked pace of bulk statistics; dear groups are read more seldom by their measured cost. */
  statsMs: number;
  /** Asked pace of balloon statistics, and the period the guest's driver is asked to tell at; 0 = leave the driver alone. */
  balloonStatsMs: number;
  /** Pace at which values in force are read to find foreign writers. */
  settingsMs: number;
  inventoryMs: number;
  bootDeadlineMs: number;
  foreignHoldMs: number;
  foreignRestMs: number;
  balloonSettleMs: number;
  /** Kept free of VMs by this agent, whatever a plan says. */
  memoryReserveMiB: number;
  failSafeGrowthsPerMinute: number;
  /** How long a restarted agent that finds its own values in force waits for an aggregator. */
  startupLeaseMs: number;
}

export interface Allowance {
  cpuCeilingCores: number | null;
  memoryCeilingMiB: number | null;
}

export interface HostState {
  capacity: HostCapacity | null;
  killed: KillSwitches;
  lease: Lease | null;
  /** Set once when the lease ran out, until it is renewed. */
  leaseOut: boolean;
  allowances: ReadonlyMap<VmId, Allowance>;
  reserveCores: number;
  reserveMiB: number;
  /** Of what the fast guard had, what it is just giving. */
  givingCores: number;
  givingMiB: number;
  /** MemAvailable of the newest sample, NaN = unknown. */
  availableMiB: number;
  balloonManager: string | null;
}

export type UpFrame = FrameOf<
  'event' | 'result' | 'vm-action-result' | 'build-result' | 'suspend-result' | 'suspended' | 'credential' | 'inventory'
>;

export interface HostContext {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly hypervisor: Hypervisor;
  readonly files: StateFiles;
  readonly settings: HostAgentSettings;
  readonly log: Logger;
  readonly queues: VmQueues;
  readonly table: Map<VmId, VmEntry>;
  readonly host: HostState;
  /** Memory lent to other hosts and borrowed from them, as the programs that do it tell. */
  slices(): readonly FoundSlice[];
  /** Hands a frame to the uplink; events and results wait there while the aggregator is away. */
  send(frame: UpFrame): void;
  /** The inventory has changed: it goes out with the next tick. */
  changed(): void;
}

/** Pace of looks: the guard's, unless samples come faster. */
export function lookMs({ guardMs, sampleMs }: HostAgentSettings): number {
  return Math.min(guardMs, sampleMs);
}

/** Balloon statistics older than three of their own periods (and the pace's rounding) are unknown. */
export function statsAgeMsMax(settings: HostAgentSettings): number {
  return 3 * (settings.balloonStatsMs || settings.statsMs) + 5000;
}

/** Why nothing may be written to this VM now, read afresh: a switch works within the time of one write. */
export function killReason(context: HostContext, vm: VmId): string | null {
  const { host, vms } = context.files.kills();
  return host ?? vms.get(vm) ?? null;
}

/** The host's side of the guard's decision. */
export function guardedHost(context: HostContext): GuardedHost {
  const { host, settings, table } = context;
  let exposure = 0;
  for (const entry of table.values()) exposure += exposureMiB(entry);
  return {
    killed: host.killed.host,
    balloonManager: host.balloonManager,
    usableMiB: host.capacity === null ? null : host.capacity.memoryMiB - settings.memoryReserveMiB - lentMiB(context.slices()),
    exposureMiB: exposure,
    freeMiB: Number.isNaN(host.availableMiB) ? null : host.availableMiB - settings.memoryReserveMiB - promisedMiB(table),
  };
}

/** Granted to balloons that have not grown yet: MemAvailable does not show it. */
function promisedMiB(table: ReadonlyMap<VmId, VmEntry>): number {
  let promised = 0;
  for (const entry of table.values()) {
    const target = entry.watches.memory?.target;
    const grantedMiB = Math.max(target?.resource === 'memory' ? target.memoryMiB : 0, entry.pendingMiB);
    if (grantedMiB > entry.slow.balloonMiB) promised += grantedMiB - entry.slow.balloonMiB;
  }
  return promised;
}

/** The next local pair: what this host does on its own fences plans that did not know of it. */
export function localPair(context: HostContext, entry: VmEntry, resource: Resource): Pair {
  const highest = entry.record.pairs[resource] ?? { epoch: context.host.lease?.epoch ?? 0, generation: 0 };
  return { epoch: highest.epoch, generation: highest.generation + 1 };
}

export function clockReading({ clock }: HostContext): ClockReading {
  return { wallMs: clock.wallMs(), bootMs: clock.bootMs() };
}

/** Something happened to a VM or the host, told to log and aggregator. */
export function tell(
  context: HostContext,
  kind: FrameOf<'event'>['kind'],
  message: string,
  about: { vm?: VmId; resource?: Resource; setting?: Setting; pair?: Pair; vcpus?: FrameOf<'event'>['vcpus'] } = {},
): void {
  context.log.info(message, { event: kind, vm: about.vm, resource: about.resource });
  context.send({
    type: 'event',
    kind,
    vm: about.vm ?? null,
    resource: about.resource ?? null,
    wallMs: context.clock.wallMs(),
    message: message.slice(0, 1024),
    setting: about.setting ?? null,
    pair: about.pair ?? null,
    ...(about.vcpus === undefined ? {} : { vcpus: about.vcpus }),
  });
}
