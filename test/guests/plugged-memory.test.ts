/**
 * Goal: the libvirt adapter on a real guest with a virtio-mem device: one figure grows beyond what the guest booted with and shrinks
 * below it, is read back from balloon and device also after a reset, when libvirt's own sum is wrong, and both halves are restored.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eligibility } from '../../agent/core/eligibility.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

const BOOT_MIB = 192;
const SIZE_MIB = 256;
const folder = mkdtempSync(join(tmpdir(), 'headroom-plugged-'));
const libvirtd = await privateLibvirtd();
const options = {
  name: `hrp${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000d3',
  folder,
  memoryMiB: BOOT_MIB,
  pluggableMiB: SIZE_MIB,
  statsPeriodSeconds: 1,
};
const VM = vmId(options.uuid);
const hypervisor = createLibvirtHypervisor({
  uri: `qemu:///system?socket=${libvirtd.socket}`,
  clock: systemClock,
  prng: createPrng(1),
});
t.teardown(async () => {
  await hypervisor.close();
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});
const domainXml = join(folder, 'domain.xml');
writeFileSync(domainXml, tinyGuestXml(options));
virsh(libvirtd.socket, 'define', domainXml);
virsh(libvirtd.socket, 'start', options.name);
const definition = virsh(libvirtd.socket, 'dumpxml', '--inactive', options.name);
(await tinyGuest(options)).close();
await hypervisor.connect();

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += 200) {
    if (waitedMs > 60_000) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
const sizeMiB = async (): Promise<number> => (await hypervisor.readSetting(VM, 'memory')).memoryMiB;
const arrives = (memoryMiB: number): Promise<void> => until(`${memoryMiB} MiB`, async () => (await sizeMiB()) === memoryMiB);
const write = (memoryMiB: number) => hypervisor.writeSetting(VM, { resource: 'memory', memoryMiB });
const balloonStats = async () => (await hypervisor.stats(['balloon'], [VM])).stats[0]?.balloon;
const parts = (balloonMiB: number, requestedMiB: number) => ({ balloonKib: balloonMiB * 1024, requestedKib: requestedMiB * 1024 });

t.test('grows beyond its boot size, shrinks below it, is restored', async (t) => {
  const facts = await hypervisor.facts(VM);
  t.match(facts, { bootMemoryMiB: BOOT_MIB, plugged: { sizeMiB: SIZE_MIB, blockMiB: 2, requestedMiB: 0 } });
  t.match(eligibility(facts, { balloonManager: null }, null).memory, { allowed: true });
  t.match((await hypervisor.baseline(VM))[1], { memoryMiB: BOOT_MIB });
  const original = await hypervisor.readNative(VM, 'memory');
  t.same(original.values, parts(BOOT_MIB, 0));
  const told = async (): Promise<number> => (await balloonStats())?.availableMiB ?? Number.NaN;
  await until('the guest to tell its total', async () => Number.isFinite(await told()));
  const totalMiB = await told();

  await write(384);
  await arrives(384);
  t.same((await hypervisor.readNative(VM, 'memory')).values, parts(BOOT_MIB, 192));
  await until('the guest to tell it', async () => (await told()) === totalMiB + 192);
  t.equal((await balloonStats())?.actualMiB, 384);
  await t.rejects(write(BOOT_MIB + SIZE_MIB + 1), { code: 'HYPERVISOR_REFUSED', message: /cannot be given 449 MiB/ });

  await write(150);
  await arrives(150);
  t.same((await hypervisor.readNative(VM, 'memory')).values, parts(150, 0));
  await write(300);
  await arrives(300);
  await hypervisor.writeNative(VM, 'memory', original);
  t.same((await hypervisor.readNative(VM, 'memory')).values, original.values);
  t.equal(await sizeMiB(), BOOT_MIB);
});

t.test("after a reset its size is what it has, whatever libvirt's own sum is", async (t) => {
  await write(320);
  await arrives(320);
  await hypervisor.restart(VM);
  await until('nothing to be plugged', async () => (await sizeMiB()) === BOOT_MIB);
  await arrives(320);
  t.equal((await balloonStats())?.actualMiB, 320);
  t.equal(virsh(libvirtd.socket, 'dumpxml', '--inactive', options.name), definition, 'nothing of it is in the persistent definition');
});
