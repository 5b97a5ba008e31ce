/**
 * The seam to whatever runs the VMs. Adapters: libvirt/ (real), simulated.ts (tests, simulation). Nothing outside the
 * adapter knows its units, formats or quirks. Every call may reject with HYPERVISOR_UNAVAILABLE (no connection, timeout),
 * HYPERVISOR_REFUSED (it said no) or HYPERVISOR_UNSUPPORTED; no call waits longer than its deadline, and one stuck VM
 * never delays calls for the others. Writes are live-only, never to the persistent definition.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Resource, Setting, SettingOf } from '../../shared/resources.ts';
import type { InterfaceFilter, Link } from '../core/isolation.ts';
import type { VmFacts } from '../core/vm-facts.ts';

export type { Link, VmFacts };

/** Run state as the hypervisor sees it; `launching`/`ready` are decided above, from this and the guest agent. */
export type PowerState = 'running' | 'paused' | 'shutdown' | 'shutoff' | 'crashed' | 'suspended' | 'unknown';

export interface HostCapacity {
  cpuCores: number;
  memoryMiB: number;
  numaNodes: { id: number; memoryMiB: number; cpus: number[] }[];
  hypervisorVersion: string;
  /** Machine architecture, e.g. x86_64. */
  architecture: string;
}

/**
 * The exact enforced values, in the hypervisor's own resolution, opaque to everyone else: what the journal keeps and
 * `restore` writes back. JSON-serialisable.
 */
export interface NativeSettings {
  adapter: string;
  values: Record<string, unknown>;
}

export type StatsGroup = 'state' | 'cpu' | 'balloon' | 'vcpu' | 'interface' | 'block';

/** Cumulative counters and levels of one VM, as the hypervisor reports them; absent = not told. */
export interface VmStats {
  id: VmId;
  /** Host monotonic time of the reading. */
  monotonicMs: number;
  power?: PowerState;
  cpuTimeNs?: number;
  vcpus?: { id: number; online: boolean; timeNs?: number; waitNs?: number }[];
  balloon?: {
    actualMiB?: number;
    maximumMiB?: number;
    availableMiB?: number; // MemTotal
    usableMiB?: number; // MemAvailable
    unusedMiB?: number;
    rssMiB?: number;
    swapInMiB?: number;
    swapOutMiB?: number;
    majorFaults?: number;
    /** UTC seconds when the guest driver last updated its statistics. */
    lastUpdateSeconds?: number;
  };
  interfaces?: { name: string; rxBytes: number; txBytes: number; rxDrops?: number; txDrops?: number }[];
  blocks?: { name: string; readBytes: number; writeBytes: number; readRequests: number; writeRequests: number }[];
}

export type HypervisorEvent =
  | { kind: 'lifecycle'; id: VmId; name: string; power: PowerState; detail: string }
  | { kind: 'defined' | 'undefined'; id: VmId; name: string }
  | { kind: 'balloon'; id: VmId; actualMiB: number }
  | { kind: 'tunable'; id: VmId; values: Record<string, number | string> }
  | { kind: 'channel'; id: VmId; channel: string; connected: boolean }
  | { kind: 'connection'; connected: boolean; reason: string };

export interface VmSummary {
  id: VmId;
  name: string;
  power: PowerState;
}

export interface Hypervisor {
  /** e.g. `libvirt qemu:///system`. */
  readonly name: string;
  /** Connects, and keeps reconnecting with back-off until closed; rejects only if the first attempt fails. */
  connect(): Promise<void>;
  close(): Promise<void>;
  readonly connected: boolean;
  /** Returns the unsubscribe function. Listeners must not throw. */
  onEvent(listener: (event: HypervisorEvent) => void): () => void;
  capacity(): Promise<HostCapacity>;
  /** All VMs, running or not. */
  list(): Promise<VmSummary[]>;
  facts(id: VmId): Promise<VmFacts>;
  /** Process id of the VM's hypervisor process, for cgroup and /proc collectors; null when it does not run. */
  processId(id: VmId): Promise<number | null>;
  /** How long that process has been there, ms; null when it does not run, or not on this machine. */
  processAgeMs(id: VmId): Promise<number | null>;
  /**
   * Statistics of all running VMs (or of `ids`). VMs that do not answer by the deadline are named in `stuck`, the others
   * are returned.
   */
  stats(groups: readonly StatsGroup[], ids?: readonly VmId[]): Promise<{ stats: VmStats[]; stuck: VmId[] }>;
  /** Asks the guest's balloon driver for statistics every so many seconds (live only; journalled by the caller). */
  setStatsPeriod(id: VmId, seconds: number): Promise<void>;
  /** Live value in force now. */
  readSetting<R extends Resource>(id: VmId, resource: R): Promise<SettingOf<R>>;
  /** Writes the live value and returns what was read back, which may differ (a balloon takes its time). */
  writeSetting<S extends Setting>(id: VmId, setting: S): Promise<SettingOf<S['resource']>>;
  /** The exact live values behind `resource`, for the journal. */
  readNative(id: VmId, resource: Resource): Promise<NativeSettings>;
  /**
   * What these exact values become once the setting is written over them; nothing is written. Several where the hypervisor tells the same
   * thing in several ways; memory's, which move by themselves, stay as they are.
   */
  nativesWith(id: VmId, native: NativeSettings, setting: Setting): Promise<NativeSettings[]>;
  /** Puts the exact values back, then verifies; rejects with HYPERVISOR_REFUSED when the read-back differs. */
  writeNative(id: VmId, resource: Resource, native: NativeSettings): Promise<void>;
  /** The VM's network interfaces as they are live, those that can be cut off. */
  readLinks(id: VmId): Promise<Link[]>;
  /** Brings these links up or takes them down, live only, and returns what was read back. One that is gone is left out. */
  setLinks(id: VmId, macs: readonly string[], up: boolean): Promise<Link[]>;
  /** Makes sure that the host knows the quarantine filter. Rejects where it has no packet filters, saying so. */
  prepareQuarantine(): Promise<void>;
  /** Puts these filters in force, live only, and returns what was read back. An interface that is gone is left out. */
  setFilters(id: VmId, filters: readonly InterfaceFilter[]): Promise<Link[]>;
  /** Resets the machine, as its button would: no word to the guest, which may be the one that hangs. */
  restart(id: VmId): Promise<void>;
  /** What the VM's persistent definition grants: the baseline. Falls back to the live definition for transient VMs. */
  baseline(id: VmId): Promise<Setting[]>;
  /** A migration, backup or save is running: no writes now. */
  jobActive(id: VmId): Promise<boolean>;
  /**
   * The guest was alive before this process of its began: it migrated here, or was restored from saved memory. Its live definition came
   * along, and what was written to it elsewhere is in force. False also where nobody can tell any more.
   */
  cameAlive(id: VmId): Promise<boolean>;
  /** Headroom's own live metadata element of the domain, null when absent. */
  readMetadata(id: VmId): Promise<string | null>;
  writeMetadata(id: VmId, xml: string | null): Promise<void>;
}
