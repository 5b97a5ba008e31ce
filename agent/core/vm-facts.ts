/**
 * What a VM's live definition says, as far as it bears on safety: filled by the hypervisor's adapter, judged by
 * eligibility. `undefined` means the definition did not tell or could not be understood: unknown means never.
 */
import type { VmId } from '../../shared/ids.ts';
import type { PluggedMemory } from './plugged-memory.ts';

export type OsFamily = 'linux' | 'windows' | 'bsd' | 'other';

export interface VmFacts {
  id: VmId;
  name: string;
  /** What of the definition could not be understood, in words. Anything here means: change nothing of this VM. */
  problems: string[];
  persistent: boolean;
  vcpusMax: number;
  vcpusOnline: number;
  /** Memory the guest boots with (and the balloon's upper end). */
  bootMemoryMiB: number;
  /** kvm, qemu (TCG), … */
  domainType: string;
  machineType: string;
  balloonModel: 'virtio' | 'none' | 'other' | undefined;
  balloonDeflateOnOom: boolean;
  /** Period of the balloon driver's statistics now in force, 0 = off. */
  statsPeriodSeconds: number;
  /** Host devices passed through (VFIO pci, mdev, …) and devices that pin guest memory (vDPA, vhost-user need shared memory). */
  passthrough: string[];
  launchSecurity: string | null;
  hugepages: boolean;
  lockedMemory: boolean;
  /** Memory allocated up front (`allocation mode=immediate`, prealloc backends). */
  preallocatedMemory: boolean;
  /** Memory bound strictly to NUMA nodes. */
  numaStrict: boolean;
  /** The host's NUMA node its definition places all its memory on, null = none or several. */
  numaNode: number | null;
  /** Memory backed by a file or shared with other processes. */
  memorySource: 'anonymous' | 'memfd' | 'file' | undefined;
  /** Hot-plugged DIMMs or virtio-mem. */
  memoryDevices: number;
  /** Its one memory device, where that is a virtio-mem device that could be understood; all others the balloon's arithmetic does not cover. */
  plugged?: PluggedMemory;
  /** vCPUs pinned to dedicated host CPUs. */
  dedicatedPinning: boolean;
  realtimeScheduling: boolean;
  /** From the definition (libosinfo metadata, direct Linux boot, Hyper-V features) or a label; undefined = not told. */
  osFamily: OsFamily | undefined;
  interfaces: { device: string; mac: string; type: string }[];
  disks: { target: string; source: string | null }[];
  /** virtio-serial channels with a Unix socket on the host, by target name. */
  channels: { name: string; path: string; connected: boolean }[];
  /** Administrator's labels, from Headroom's own metadata element. */
  labels: Record<string, string>;
}
