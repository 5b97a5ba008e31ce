/**
 * Goal: a VM is made from an image and taken away again through a real libvirt, and nothing stays: a hundred times on libvirt's
 * test driver, three times as a real QEMU guest. A death at any step leaves what the same order goes on from, and what can be
 * found and removed. What the host lacks is told before anything is made. VMs that Headroom did not make are never ended.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createBuildPlaces } from '../../agent/actuators/build-places.ts';
import {
  BUILD_STAGES,
  type BuildPlaces,
  type BuildStage,
  buildVm,
  checkBuild,
  leftOvers,
  removeVm,
} from '../../agent/actuators/build-vm.ts';
import type { VmBuilder } from '../../agent/hypervisor/builder.ts';
import { createLibvirtBuilder } from '../../agent/hypervisor/libvirt/builder.ts';
import { systemClock } from '../../shared/clock.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { privateLibvirtd, virsh, virshOn } from '../support/libvirtd.ts';
import { tinyGuestImage } from '../support/tiny-guest.ts';

const CYCLES = 100;
const REAL_CYCLES = 3;
const POOL = 'default-pool';
const REAL_POOL = 'templates';
const IMAGE = 'debian.qcow2';
const MARK = { orderId: 'order-1', group: 'web', template: 'debian@1', pool: POOL };
const TEST_URI = 'test:///default';

t.setTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), 'headroom-build-'));
const seeds = join(folder, 'seeds');
const libvirtd = await privateLibvirtd();
const builderOn = (uri: string) =>
  createLibvirtBuilder({ uri: `${uri}?socket=${libvirtd.socket}`, clock: systemClock, prng: createPrng(1) });
const driver = builderOn(TEST_URI);
const real = builderOn('qemu:///system');
const places = createBuildPlaces(seeds);
const idOf = (n: number) => vmId(`6f1b0000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`);

t.teardown(async () => {
  await driver.close();
  await real.close();
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

function buildOf(change: Partial<VmBuild> = {}): VmBuild {
  return {
    name: 'web-1',
    domainType: 'auto',
    vcpus: 1,
    memoryMiB: 128,
    disk: { pool: POOL, image: IMAGE, format: 'qcow2', sha256: null, sizeMiB: null },
    boot: null,
    seed: { kind: 'cloud-init', userData: '#cloud-config\n{}\n', networkConfig: null },
    networks: [{ kind: 'network', source: 'default' }],
    labels: { tier: 'front', note: `<&"'>` },
    ...change,
  };
}

const make = (builder: VmBuilder, vm: VmId, build: VmBuild, mark = MARK) => buildVm(builder, places, { vm, build, mark }, () => undefined);

t.before(async () => {
  // The test driver's world lasts as long as somebody is connected to it.
  await driver.volumes(POOL);
  virshOn(libvirtd.socket, TEST_URI, 'vol-create-as', POOL, IMAGE, '1G', '--format', 'qcow2');
  mkdirSync(join(folder, REAL_POOL));
  virsh(libvirtd.socket, 'pool-create-as', REAL_POOL, 'dir', '--target', join(folder, REAL_POOL));
  virsh(libvirtd.socket, 'vol-create-as', REAL_POOL, IMAGE, '16M', '--format', 'qcow2');
});

async function nothingLeft(t: Test, builder: VmBuilder, vm: VmId, pool: string): Promise<void> {
  t.equal(await builder.power(vm), null, 'no definition');
  t.same(await builder.volumes(pool), [IMAGE], 'no volume but the image');
  t.same(readdirSync(seeds), [], 'no seed, and none half made');
}

t.test(`${CYCLES} times on the test driver: made, ended, and nothing stays`, async (t) => {
  const listed = () => virshOn(libvirtd.socket, TEST_URI, 'list', '--all', '--uuid');
  const before = listed();
  for (let n = 1; n <= CYCLES; n++) {
    await make(driver, idOf(n), buildOf());
    if (n === 1) {
      t.equal(await driver.power(idOf(n)), 'running');
      t.same(await driver.mark(idOf(n)), MARK);
      t.same((await driver.volumes(POOL)).toSorted(), [IMAGE, `headroom-${idOf(n)}.qcow2`]);
      t.same(await places.seeds(), [idOf(n)]);
    }
    await removeVm(driver, places, idOf(n), POOL);
  }
  await nothingLeft(t, driver, idOf(CYCLES), POOL);
  t.equal(listed(), before, 'the VMs that were there are there');
});

/** Builder and places of a process that ends when it comes to a stage: nothing it would do after that happens. */
function mortal(dead: () => boolean): { builder: VmBuilder; places: BuildPlaces } {
  const until = <T extends object>(target: T): T =>
    new Proxy(target, {
      get:
        (of, name) =>
        async (...args: unknown[]) => {
          if (dead()) throw new Error('the process has ended');
          return (Reflect.get(of, name) as (...args: unknown[]) => unknown).apply(of, args);
        },
    });
  return { builder: until(driver), places: until(places) };
}

async function dieAt(t: Test, last: BuildStage, vm: VmId): Promise<void> {
  let dead = false;
  const process = mortal(() => dead);
  const building = buildVm(process.builder, process.places, { vm, build: buildOf(), mark: MARK }, (stage) => {
    dead = stage === last;
  });
  await t.rejects(building, { message: /the process has ended; what was made could not be removed yet/ }, `it died at ${last}`);
}

t.test('a death at any step: the same order goes on, or what is left is found and removed', async (t) => {
  for (const [n, last] of BUILD_STAGES.entries()) {
    const vm = idOf(1000 + n);
    await dieAt(t, last, vm);
    await make(driver, vm, buildOf());
    t.equal(await driver.power(vm), 'running', `given again after a death at ${last}, the order is carried out`);
    await removeVm(driver, places, vm, POOL);
    await nothingLeft(t, driver, vm, POOL);

    await dieAt(t, last, vm);
    const left = await leftOvers(driver, places, POOL);
    t.same(left, last === 'seed' || last === 'define' ? [vm] : [], 'found by their names, but not what is defined');
    await removeVm(driver, places, vm, POOL);
    await nothingLeft(t, driver, vm, POOL);
  }
});

t.test('what the host lacks is told, and nothing is made', async (t) => {
  const vm = idOf(2000);
  const lacking = async (build: VmBuild, message: RegExp): Promise<void> => {
    t.match((await checkBuild(driver, places, build)).join('; '), message);
    await t.rejects(make(driver, vm, build), { code: 'HYPERVISOR_REFUSED', message });
    await nothingLeft(t, driver, vm, POOL);
  };
  const disk = buildOf().disk;
  await lacking(buildOf({ disk: { ...disk, pool: 'nowhere' } }), /no active storage pool called nowhere/);
  await lacking(buildOf({ disk: { ...disk, image: 'gone.qcow2' } }), /pool default-pool has no volume called gone.qcow2/);
  await lacking(buildOf({ disk: { ...disk, sizeMiB: 1e9 } }), /has \d+ MiB free; \d+ are needed/);
  await lacking(buildOf({ domainType: 'kvm' }), /this host runs test, not kvm/);
  await t.rejects(make(driver, vm, buildOf({ name: 'test' })), { message: /a VM called test is there already/ });
  await t.rejects(make(driver, vm, buildOf({ disk: { ...disk, sizeMiB: 1 } })), { message: /smaller than its image debian.qcow2/ });
  await nothingLeft(t, driver, vm, POOL);
});

t.test('a VM that Headroom did not make, or made by another order, is left alone', async (t) => {
  const stranger = vmId('6695eb01-f6a4-8304-79aa-97f2502e193f');
  await t.rejects(removeVm(driver, places, stranger, POOL), { message: /was not made by Headroom: it stays/ });
  await t.rejects(make(driver, stranger, buildOf()), { message: /was not made by order order-1/ });
  t.equal(await driver.power(stranger), 'running');
  t.equal(await driver.handed(stranger), null);
  await driver.hand(stranger, { orderId: 'hand-1', group: `<"web">` });
  t.same(await driver.handed(stranger), { orderId: 'hand-1', group: `<"web">` });
  await t.rejects(removeVm(driver, places, stranger, POOL), { message: /was not made by Headroom: it stays/ }, 'handed over or not');
  await driver.hand(stranger, null);
  t.equal(await driver.handed(stranger), null);
  await make(driver, idOf(3000), buildOf());
  await t.rejects(make(driver, idOf(3000), buildOf(), { ...MARK, orderId: 'order-2' }), { message: /was not made by order order-2/ });
  t.equal(await driver.power(idOf(3000)), 'running');
  await removeVm(driver, places, idOf(3000), POOL);
});

t.test(`${REAL_CYCLES} times a real guest: an image with its checksum, a seed it can read, a start, an end`, async (t) => {
  const image = tinyGuestImage();
  const path = join(folder, REAL_POOL, IMAGE);
  const sha256 = await places.digestOf(path);
  const mark = { ...MARK, pool: REAL_POOL };
  const build = buildOf({
    domainType: 'qemu',
    disk: { pool: REAL_POOL, image: IMAGE, format: 'qcow2', sha256, sizeMiB: 32 },
    boot: { ...image, commandLine: 'console=ttyS0 quiet panic=-1' },
    networks: [{ kind: 'user', source: null }],
  });
  for (let n = 1; n <= REAL_CYCLES; n++) {
    const vm = idOf(4000 + n);
    await make(real, vm, build, mark);
    t.equal(await real.power(vm), 'running');
    if (n === 1) {
      copyFileSync(join(seeds, `${vm}.iso`), join(folder, 'seed.iso'));
      t.match(
        readFileSync(join(folder, 'seed.iso')).subarray(0x8028, 0x8048).toString('latin1'),
        /^cidata /,
        'labelled as cloud-init looks for',
      );
      t.match(virsh(libvirtd.socket, 'vol-info', '--pool', REAL_POOL, `headroom-${vm}.qcow2`), /Capacity:\s+32\.00 MiB/);
    }
    await removeVm(real, places, vm, REAL_POOL);
    await nothingLeft(t, real, vm, REAL_POOL);
  }
  const other = buildOf({ disk: { ...build.disk, sha256: '0'.repeat(64) } });
  await t.rejects(make(real, idOf(5000), other, mark), {
    message: /is not the one the template names: its SHA-256 is [0-9a-f]{64}, not 0{64}/,
  });
});
