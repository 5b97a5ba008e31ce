/**
 * The seam to what gives a running VM a borrowed slice as a disk, and takes it back: live only, never in the persistent definition.
 * Rejects with HYPERVISOR_UNAVAILABLE or HYPERVISOR_REFUSED.
 */
import type { VmId } from '../../shared/ids.ts';

export interface SliceDisk {
  /** Does the VM run, paused or not. */
  running: boolean;
  /** It was paused because a disk of it failed. */
  stopped: boolean;
  /** Name of its slice's disk; null = it has none. */
  target: string | null;
  /** Where QEMU looks for it; null = it has none, or not by a Unix socket. */
  socket: string | null;
  /** A name that no disk of it has. */
  freeTarget: string;
}

export interface SliceDisks {
  look(vm: VmId): Promise<SliceDisk>;
  /** `reconnectSeconds`: so long the guest waits for a mirror that is gone before it is paused, where libvirt can tell QEMU so. */
  attach(vm: VmId, disk: { target: string; socket: string; reconnectSeconds: number }): Promise<void>;
  /** Asks the guest to let go of it; it is gone once `look` says so. */
  detach(vm: VmId, target: string): Promise<void>;
  /** Lets a VM that a failing disk paused go on: what failed is tried again. */
  goOn(vm: VmId): Promise<void>;
  close(): void;
}
