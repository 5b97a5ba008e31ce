/** Goal: the simulated hypervisor keeps the Hypervisor contract. */
import t from 'tap';
import { createSimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { RESOURCES } from '../../shared/resources.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { hypervisorContract } from './hypervisor-contract.ts';

const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 1));
const clock = new NodeClock(time);
const vm = vmId('6f1b0000-0000-4000-8000-000000000001');

hypervisorContract(t, {
  name: 'simulated',
  create: () =>
    createSimulatedHypervisor({
      clock,
      cpuCores: 2,
      memoryMiB: 4096,
      vms: [{ id: vm, name: 'web', vcpus: 2, bootMemoryMiB: 192, cpuDemandCores: () => 0.5, workingSetMiB: () => 60 }],
    }),
  vm,
  vmName: 'web',
  bootMemoryMiB: 192,
  writable: RESOURCES,
  real: true,
  passTime: (ms) => time.runUntil(time.nowMs + ms),
});
