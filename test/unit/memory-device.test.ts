/**
 * Goal: a virtio-mem device is told apart from what only resembles one, its numbers are read as libvirt means them, and its XML asks
 * for another size and nothing else; sizes come from balloon and device, never from libvirt's own sum; a foreign write to one half
 * leaves the original of the other to be restored.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { eligibility } from '../../agent/core/eligibility.ts';
import { emptyRecord, withForeign, withIntent, withWritten } from '../../agent/core/journal.ts';
import { believedParts } from '../../agent/hypervisor/libvirt/believed-balloon.ts';
import { createBootingVms } from '../../agent/hypervisor/libvirt/booting-vms.ts';
import { settingsFromXml } from '../../agent/hypervisor/libvirt/definition.ts';
import { factsFromXml } from '../../agent/hypervisor/libvirt/domain-xml.ts';
import { type PluggableDomain, pluggableDomainOf } from '../../agent/hypervisor/libvirt/memory-device.ts';
import { vmId } from '../../shared/ids.ts';
import type { MemorySetting } from '../../shared/resources.ts';

const VM = vmId('6f1b0000-0000-4000-8000-0000000000f1');
const GIB = 1024 ** 2;
const plugged = readFileSync(join(import.meta.dirname, '../fixtures/domains/virtio-mem-plugged.xml'), 'utf8');
const facts = (xml: string) => factsFromXml(xml, { id: VM, name: 'vm', persistent: true });
const memoryOf = (xml: string) => eligibility(facts(xml), { balloonManager: null }, null).memory;

t.test('what the guest boots with and what may be plugged', async (t) => {
  t.match(facts(plugged), { bootMemoryMiB: 4096, memoryDevices: 1, plugged: { sizeMiB: 8192, blockMiB: 2, requestedMiB: 4096 } });
  t.match(pluggableDomainOf(plugged), { bootKib: 4 * GIB, sizeKib: 8 * GIB, blockKib: 2048, requestedKib: 4 * GIB, pluggedKib: 4 * GIB });
  const plain = readFileSync(join(import.meta.dirname, '../fixtures/domains/plain.xml'), 'utf8');
  t.equal(pluggableDomainOf(plain), null);
  t.notOk('plugged' in facts(plain), 'facts of a VM without a device are what they were');
});

t.test('anything that is not understood is no such device, and memory is never touched', async (t) => {
  const replaced = (from: string, to: string): string => {
    t.ok(plugged.includes(from), from);
    return plugged.replace(from, to);
  };
  const device = /<memory model[\s\S]*?<\/memory>/.exec(plugged)![0];
  for (const [what, xml] of [
    [
      'memory in huge pages',
      replaced("<memory model='virtio-mem'>", "<memory model='virtio-mem'><source><pagesize unit='KiB'>2048</pagesize></source>"),
    ],
    [
      'memory of one host node',
      replaced("<memory model='virtio-mem'>", "<memory model='virtio-mem'><source><nodemask>0</nodemask></source>"),
    ],
    ['another kind', replaced("model='virtio-mem'", "model='virtio-pmem'")],
    ['two devices', replaced(device, device + device)],
    ['no request', replaced("<requested unit='GiB'>4</requested>", '')],
    ['a request beyond its size', replaced("<requested unit='GiB'>4</requested>", "<requested unit='GiB'>9</requested>")],
    ['a request in parts of blocks', replaced("<requested unit='GiB'>4</requested>", "<requested unit='KiB'>4194303</requested>")],
    ['an unknown unit', replaced("<block unit='MiB'>2</block>", "<block unit='pages'>2</block>")],
    ['no block', replaced("<block unit='MiB'>2</block>", "<block unit='MiB'>0</block>")],
    [
      'a definition that holds less than its device',
      replaced("<memory unit='KiB'>12582912</memory>", "<memory unit='KiB'>4194304</memory>"),
    ],
  ] as const) {
    t.equal(facts(xml).plugged, undefined, what);
    t.equal(pluggableDomainOf(xml), null, what);
    t.match(memoryOf(xml), { allowed: false, reason: /memory device\(s\) that the balloon does not cover/ }, what);
  }
});

t.test('the device asks for another size, and for nothing else', async (t) => {
  const asked = pluggableDomainOf(plugged)!.xmlWith(123 * 2048);
  const device = /<memory model[\s\S]*?<\/memory>/.exec(plugged)![0];
  t.equal(
    asked,
    device.replace("<requested unit='GiB'>4</requested><current unit='GiB'>4</current>", `<requested unit='KiB'>${123 * 2048}</requested>`),
  );
});

t.test('a definition grants its balloon and what it requests', async (t) => {
  const granted = (xml: string) => settingsFromXml(xml, 2).find(({ resource }) => resource === 'memory');
  t.same(granted(plugged), { resource: 'memory', memoryMiB: 8192 }, 'a balloon of 4 GiB and 4 GiB requested');
  const all = plugged.replace("<currentMemory unit='KiB'>4194304<", "<currentMemory unit='KiB'>12582912<");
  t.same(granted(all), { resource: 'memory', memoryMiB: 8192 }, "libvirt's default counts what may be plugged, which nobody granted");
  const less = plugged.replace("<currentMemory unit='KiB'>4194304<", "<currentMemory unit='KiB'>1048576<");
  t.same(granted(less), { resource: 'memory', memoryMiB: 1024 + 4096 });
});

t.test("sizes are balloon and device, whatever libvirt's sum says", async (t) => {
  const domain: PluggableDomain = { ...pluggableDomainOf(plugged)!, bootKib: 256 * 1024, pluggedKib: 128 * 1024 };
  // The sum as libvirt 9.0 told it after two resets of the guest.
  const told = { actualMiB: 640, maximumMiB: 512, availableMiB: 282, usableMiB: 250, lastUpdateSeconds: 1000 };
  const stats = { id: VM, monotonicMs: 0, balloon: told };
  const booting = createBootingVms();
  const size = (balloonMiB: number): number | undefined =>
    believedParts(stats, booting, { domain, balloonKib: balloonMiB * 1024 }).balloon?.actualMiB;
  t.equal(size(256), 384);
  t.equal(size(200), 328, 'a total that counts what is plugged does not say that the balloon is empty');
  booting.reset(VM, 2_000_000);
  t.equal(size(200), 384, 'from a reset on the balloon is empty, whatever its driver told before');
  const { balloon } = believedParts(stats, booting, null);
  t.notOk('actualMiB' in balloon!, 'what could not be read is unknown');
  t.equal(balloon?.usableMiB, 250);
});

t.test('a foreign write to one half leaves the original of the other', async (t) => {
  const native = (balloonKib: number, requestedKib: number) => ({ adapter: 'libvirt', values: { balloonKib, requestedKib } });
  const at = (memoryMiB: number): MemorySetting => ({ resource: 'memory', memoryMiB });
  const hold = { reason: 'test', atBootMs: 0, bootId: 'b', forMs: 1000 } as never;
  const ours = withWritten(
    withIntent(emptyRecord(VM, 'vm', 1), at(384), at(256), native(256 * 1024, 0)),
    at(384),
    native(256 * 1024, 128 * 1024),
  );
  const balloon = withForeign(ours, at(328), native(200 * 1024, 128 * 1024), hold);
  t.same(
    balloon.entries.memory?.original.values,
    { balloonKib: 200 * 1024, requestedKib: 0 },
    'their balloon stays, our request is undone',
  );
  const request = withForeign(ours, at(512), native(256 * 1024, 256 * 1024), hold);
  t.equal(request.entries.memory, undefined, 'their request over ours: nothing of ours is left');
});
