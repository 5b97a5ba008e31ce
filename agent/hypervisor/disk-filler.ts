/**
 * The seam to whatever fills a running VM's disk image with what it still reads from below it. Adapter: libvirt/disk-filler.ts. Rejects as
 * `Hypervisor` does.
 */
import type { VmId } from '../../shared/ids.ts';

export interface DiskFiller {
  /** In words that no other run of it has on this boot of the host; null = it is off, or not known here. */
  runOf(id: VmId): Promise<string | null>;
  /** It stands still because one of its disks could not be read or written. */
  stoppedByDisk(id: VmId): Promise<boolean>;
  /**
   * Copies what the image reads from below it into it, while the VM is up; resolves when the image stands alone. One that is under way is
   * waited for. Throws CANCELLED, and leaves it under way.
   */
  fill(id: VmId, target: string, path: string, cancelled: () => boolean): Promise<void>;
  /** What QEMU has of the image in its own memory is written; the file still has to be synced. */
  flush(id: VmId, target: string, path: string): Promise<void>;
  close(): void;
}
