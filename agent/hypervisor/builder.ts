/**
 * The seam to whatever makes VMs and takes them away: storage volumes, definitions, power. Adapters: libvirt/builder.ts. Apart
 * from `Hypervisor`, which never makes or ends anything: an agent that was not given a builder cannot. Every call is safe to
 * repeat: what is there already is left, what is gone already is no error. Rejects as `Hypervisor` does.
 */
import type { VmId } from '../../shared/ids.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import type { PowerState } from './hypervisor.ts';

export interface Volume {
  pool: string;
  name: string;
  path: string;
}

/** Files on this host that a VM is given besides its disk; null = none. */
export interface BuildFiles {
  disk: Volume;
  /** ISO image with a cloud-init seed, or a file with an Ignition configuration. */
  seed: string | null;
}

export interface VmBuilder {
  /** Null: there is no such pool, or it is not active. */
  poolFreeBytes(pool: string): Promise<number | null>;
  /** Volumes of an active pool, by name, as they are now. Throws HYPERVISOR_REFUSED for one that is not there. */
  volumes(pool: string): Promise<string[]>;
  volume(pool: string, name: string): Promise<Volume | null>;
  /** A thin qcow2 volume over an image, `sizeMiB` null = as large as it. */
  createOverlay(pool: string, name: string, image: Volume, format: VmBuild['disk']['format'], sizeMiB: number | null): Promise<Volume>;
  deleteVolume(pool: string, name: string): Promise<void>;
  /** Null: no domain of that id. */
  power(id: VmId): Promise<PowerState | null>;
  /** Kinds of domain the host runs, best first. */
  domainTypes(): Promise<string[]>;
  /** Defines it, marked as made by Headroom for this order; a domain of another mark under the same name or id is refused. */
  define(id: VmId, build: VmBuild, files: BuildFiles, mark: BuildMark): Promise<void>;
  /** Marks what others made as handed over to Headroom, in its persistent definition; null takes the mark off. Throws where there is none. */
  hand(id: VmId, mark: HandMark | null): Promise<void>;
  /** Null: it was not handed over, or is not there. */
  handed(id: VmId): Promise<HandMark | null>;
  /** Who made it; null: not Headroom. */
  mark(id: VmId): Promise<BuildMark | null>;
  start(id: VmId): Promise<void>;
  /**
   * Addresses of the guest's interfaces as the host has them: leases of its own DHCP servers, else its neighbour table. Never what
   * the guest says of itself: it could name any address that this host reaches.
   */
  addresses(id: VmId): Promise<string[]>;
  /** Asks the guest to shut down, by its agent where it has one, by ACPI else. Answers at once. */
  shutdown(id: VmId): Promise<void>;
  /** Ends it as the power button held down would. */
  powerOff(id: VmId): Promise<void>;
  /** Removes the definition, with what libvirt keeps beside it. */
  undefine(id: VmId): Promise<void>;
  close(): Promise<void>;
}

/** Of a VM that Headroom did not make. */
export interface HandMark {
  orderId: string;
  group: string;
}

/** Written into the definition's metadata. */
export interface BuildMark {
  orderId: string;
  /** Group it was made for. */
  group: string;
  /** `name@version`. */
  template: string;
  pool: string;
}
