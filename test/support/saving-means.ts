/**
 * What suspends VMs of a simulated host: by its hypervisor's own saving, all in memory but the agent's look for what earlier ones left.
 * Input: the hypervisor; output: means for a host agent, and switches to let saving and restoring fail.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SuspendRecord } from '../../agent/core/suspend-record.ts';
import type { SimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import type { SimulatedVm } from '../../agent/hypervisor/simulated-vm.ts';
import type { VmSnapshotter } from '../../agent/hypervisor/snapshotter.ts';
import type { SuspendMeans } from '../../agent/loops/create-suspension.ts';
import type { SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import type { VmId } from '../../shared/ids.ts';

export interface SavingMeans {
  means: SuspendMeans;
  /** Why the next ones fail; null = they do not. */
  fails: { save: string | null; restore: string | null };
  /** VMs of which something is saved. */
  saved(): VmId[];
  /** Of the agent's journal: VMs that are suspended. */
  records(): SuspendRecord[];
}

export function savingMeans(hypervisor: SimulatedHypervisor): SavingMeans {
  const images = new Map<VmId, SimulatedVm>();
  const journal = new Map<VmId, SuspendRecord>();
  const fails: SavingMeans['fails'] = { save: null, restore: null };
  const never = (): Promise<never> => Promise.reject(new Error('not by this way'));
  const snapshotter: VmSnapshotter = {
    inspect: async () => ({ recipe: 'managed-save', reason: 'its memory lies in no file' }),
    power: async (id) => (hypervisor.truth(id).power === 'running' ? 'running' : 'off'),
    cpuMs: async () => 0,
    hasSaved: async (id) => images.has(id),
    async save(id) {
      if (fails.save !== null) throw new Error(fails.save);
      images.set(id, { ...hypervisor.truth(id) });
      hypervisor.setPower(id, 'shutoff');
    },
    async restore(id) {
      if (fails.restore !== null) throw new Error(fails.restore);
      const image = images.get(id);
      if (image === undefined) throw new Error('nothing is saved of it');
      images.delete(id);
      hypervisor.takeIn(image);
    },
    ...{
      definition: async () => '<domain/>',
      define: never,
      undefine: never,
      calmDown: async () => undefined,
      setClock: async () => undefined,
    },
    ...{ pause: never, goOn: never, deviceState: never, end: never, prepare: never, loadState: never, close: async () => undefined },
  };
  return {
    ...{ fails, saved: () => [...images.keys()], records: () => [...journal.values()] },
    means: {
      snapshotter,
      stores: {
        ...{
          open: async () => ({ storedBytes: 0 }) as SnapshotStore,
          keyOf: async () => Buffer.alloc(32),
          adoptKey: async (tenant) => tenant,
        },
        ...{ tenants: async () => [], close: async () => undefined },
      },
      journal: {
        load: () => ({ records: [...journal.values()], problems: [] }),
        save: (record) => void journal.set(record.vm, record),
        remove: (vm) => void journal.delete(vm),
      },
      ...{ lendAt: null, folder: join(tmpdir(), 'headroom-nobodys-places'), tenantLabel: 'tenant', learnMs: 1000, aliveMs: 1000 },
    },
  };
}
