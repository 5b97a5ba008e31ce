/** Goal: the libvirt adapter keeps the contract on libvirt's test driver, through a real daemon's socket, as far as that driver goes. */
import t from 'tap';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { privateLibvirtd } from '../support/libvirtd.ts';
import { hypervisorContract } from './hypervisor-contract.ts';

const libvirtd = await privateLibvirtd();
t.teardown(() => libvirtd.stop());

hypervisorContract(t, {
  name: "libvirt's test driver",
  create: () => createLibvirtHypervisor({ uri: `test:///default?socket=${libvirtd.socket}`, clock: systemClock, prng: createPrng(1) }),
  vm: vmId('6695eb01-f6a4-8304-79aa-97f2502e193f'),
  vmName: 'test',
  bootMemoryMiB: 8192,
  // Its scheduler has no shares; memory and interface limits it keeps.
  writable: ['memory', 'network'],
  // It compares every disk limit with a burst of 0 and so refuses them all.
  brokenThere: ['disk'],
  real: false,
  passTime: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
});
