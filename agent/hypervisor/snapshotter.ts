/**
 * The seam to whatever stops a guest, takes its devices' state and brings it back over memory that lies in a file. Adapters:
 * libvirt/snapshotter.ts. Apart from `Hypervisor`, which never starts or ends anything: an agent that was not given a snapshotter
 * cannot. Rejects as `Hypervisor` does. Memory itself never passes through here.
 */
import type { VmId } from '../../shared/ids.ts';

export interface GuestMachine {
  qemuVersion: string;
  machineType: string;
  /** The running VM's definition, with its secrets. */
  domainXml: string;
}

/** How a VM can be suspended: over its memory's file, or, for the reason given, by the hypervisor's own saving only. */
export type SnapshotSupport =
  | { recipe: 'memory-file'; memoryPath: string; memoryBytes: number; machine: GuestMachine }
  | { recipe: 'managed-save'; reason: string };

export interface VmSnapshotter {
  inspect(id: VmId): Promise<SnapshotSupport>;
  /** Its persistent definition, with its secrets; null = this hypervisor does not know the VM. */
  definition(id: VmId): Promise<string | null>;
  /** From now on this hypervisor knows the VM. One that is known already is defined anew. */
  define(id: VmId, xml: string): Promise<void>;
  /** It forgets one that is off; what is saved beside the definition for its firmware stays. */
  undefine(id: VmId): Promise<void>;
  /** `off`: there is no process of it. */
  power(id: VmId): Promise<'running' | 'paused' | 'off'>;
  /** CPU time of its process so far, ms; 0 when it is off. */
  cpuMs(id: VmId): Promise<number>;
  /** The hypervisor's own saving has something of it. */
  hasSaved(id: VmId): Promise<boolean>;
  /** Ends what an agent that died may have left under way in it. */
  calmDown(id: VmId): Promise<void>;
  /** Stops its vCPUs; returns once they stand. */
  pause(id: VmId): Promise<void>;
  goOn(id: VmId): Promise<void>;
  /** State of a paused VM's devices without its memory. It stays as it is, and may go on. */
  deviceState(id: VmId): Promise<Buffer>;
  /** Ends it as the power button held down would; its definition stays. */
  end(id: VmId): Promise<void>;
  /** Starts it paused, over the memory in a file, waiting for its devices' state. The persistent definition is not touched. */
  prepare(id: VmId, machine: GuestMachine, memoryPath: string): Promise<void>;
  /** Gives a prepared VM its devices' state; it stays paused. */
  loadState(id: VmId, state: Buffer): Promise<void>;
  /** Has a running guest set its clock. Rejects when nobody in it does that. */
  setClock(id: VmId, wallMs: number): Promise<void>;
  /** The hypervisor's own way, memory and all. */
  save(id: VmId): Promise<void>;
  /** Starts it from what `save` wrote. */
  restore(id: VmId): Promise<void>;
  close(): Promise<void>;
}

/** Of one that was told to have ended. Who ended it may have made the hypervisor forget it as well. */
export async function hasEnded(snapshotter: Pick<VmSnapshotter, 'definition' | 'power'>, id: VmId): Promise<boolean> {
  return (await snapshotter.definition(id)) === null || (await snapshotter.power(id)) === 'off';
}
