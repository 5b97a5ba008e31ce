/** Goal: the libvirt adapter keeps the contract on a real QEMU guest. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';
import { hypervisorContract } from './hypervisor-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'headroom-contract-'));
const libvirtd = await privateLibvirtd();
const options = {
  name: `contract-${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000c1',
  folder,
  vcpus: 2,
  disk: true,
  // User-mode networking: an interface that libvirt has no means to limit, on any host.
  devices: `<interface type='user'><mac address='52:54:00:00:0c:01'/><model type='virtio'/></interface>`,
};
t.teardown(async () => {
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});
writeFileSync(join(folder, 'domain.xml'), tinyGuestXml(options));
virsh(libvirtd.socket, 'define', join(folder, 'domain.xml'));
virsh(libvirtd.socket, 'start', options.name);
const guest = await tinyGuest(options);
t.teardown(() => guest.close());

hypervisorContract(t, {
  name: 'libvirt with QEMU',
  create: () => createLibvirtHypervisor({ uri: `qemu:///system?socket=${libvirtd.socket}`, clock: systemClock, prng: createPrng(1) }),
  vm: vmId(options.uuid),
  vmName: options.name,
  bootMemoryMiB: 192,
  writable: ['cpu', 'memory', 'disk'],
  real: true,
  passTime: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
});
