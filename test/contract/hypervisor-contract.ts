/**
 * The contract of Hypervisor, run against every adapter: what is listed and told, settings that read back, live-only
 * writes, exact restoration, errors that are values of the catalogue, events, an end. Input: an adapter with one running
 * VM and what it can do.
 */
import type { Test } from 'tap';
import type { Hypervisor, HypervisorEvent } from '../../agent/hypervisor/hypervisor.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource, type Setting, sameSetting } from '../../shared/resources.ts';

export interface HypervisorAdapter {
  name: string;
  /** A new, unconnected adapter. */
  create(): Hypervisor;
  /** A running VM with 192 MiB at boot and two vCPUs. */
  vm: VmId;
  vmName: string;
  bootMemoryMiB: number;
  /** Resources whose writes hold; of the others reads give no limit or HYPERVISOR_UNSUPPORTED, and writes the latter. */
  writable: readonly Resource[];
  /** Resources whose writes the thing behind the adapter gets wrong itself; only reads are tried. */
  brokenThere?: readonly Resource[];
  /** Balloon statistics, live metadata and process ids exist. */
  real: boolean;
  /** Lets this much time pass in the adapter's world. */
  passTime(ms: number): Promise<void>;
}

const NOBODY = vmId('00000000-0000-4000-8000-00000000dead');
/** A balloon under emulation moves a few hundred MiB in this time. */
const BALLOON_MS_MAX = 20_000;
const STEP_MS = 200;

function changed(resource: Resource, bootMemoryMiB: number): Setting {
  switch (resource) {
    case 'cpu':
      return { resource, weight: 150, capCores: 0.7 };
    case 'memory':
      return { resource, memoryMiB: bootMemoryMiB - 32 };
    case 'network':
      return { resource, inboundBytesPerSecond: 4 << 20, outboundBytesPerSecond: 2 << 20 };
    case 'disk':
      return { resource, bytesPerSecond: 5_000_001, iops: 200 };
  }
}

/** What is restored; QEMU names a limited disk's group by itself, and libvirt tells it. */
const numbersIn = (values: unknown): string =>
  JSON.stringify(values, (_key, value: unknown) => (typeof value === 'string' ? undefined : value));

export function hypervisorContract(t: Test, adapter: HypervisorAdapter): void {
  const { vm, bootMemoryMiB, writable, passTime } = adapter;

  const connected = async (t: Test): Promise<Hypervisor> => {
    const hypervisor = adapter.create();
    await hypervisor.connect();
    t.teardown(() => hypervisor.close());
    return hypervisor;
  };

  /** Reads until the value is there or time is up; answers what was read last. */
  const settled = async (hypervisor: Hypervisor, wanted: Setting): Promise<Setting> => {
    let seen: Setting = await hypervisor.readSetting(vm, wanted.resource);
    for (let waitedMs = 0; !sameSetting(seen, wanted) && waitedMs < BALLOON_MS_MAX; waitedMs += STEP_MS) {
      await passTime(STEP_MS);
      seen = await hypervisor.readSetting(vm, wanted.resource);
    }
    return seen;
  };

  t.test(`${adapter.name}: lists the VM, tells facts and the host's capacity`, async (t) => {
    const hypervisor = await connected(t);
    t.equal(hypervisor.connected, true);
    t.match(
      (await hypervisor.list()).find(({ id }) => id === vm),
      { id: vm, name: adapter.vmName, power: 'running' },
    );
    const facts = await hypervisor.facts(vm);
    t.match(facts, { id: vm, name: adapter.vmName, problems: [], vcpusMax: 2, vcpusOnline: 2, bootMemoryMiB, balloonModel: 'virtio' });
    const capacity = await hypervisor.capacity();
    t.ok(capacity.cpuCores >= 1 && capacity.memoryMiB > bootMemoryMiB / 4);
    t.ok(capacity.architecture.length > 0 && capacity.hypervisorVersion.length > 0);
    t.equal(await hypervisor.jobActive(vm), false);
    const pid = await hypervisor.processId(vm);
    t.ok(adapter.real ? Number(pid) > 1 : pid === null);
    const ageMs = await hypervisor.processAgeMs(vm);
    t.equal(ageMs === null, pid === null);
    await passTime(STEP_MS);
    if (ageMs !== null) t.ok(Number(await hypervisor.processAgeMs(vm)) > ageMs, 'it grows older');
  });

  for (const resource of RESOURCES) {
    const wanted = changed(resource, bootMemoryMiB);
    if (writable.includes(resource)) {
      t.test(`${adapter.name}: ${resource} is written live, reads back, and is restored exactly`, async (t) => {
        const hypervisor = await connected(t);
        const baseline = await hypervisor.baseline(vm);
        const before = await hypervisor.readSetting(vm, resource);
        const native = JSON.parse(JSON.stringify(await hypervisor.readNative(vm, resource)));
        t.equal(sameSetting(before, wanted), false, 'the change is one');
        await hypervisor.writeSetting(vm, wanted);
        t.ok(sameSetting(await settled(hypervisor, wanted), wanted), 'what was written is read back');
        if (resource !== 'memory') {
          const now = await hypervisor.readNative(vm, resource);
          const foretold = (await hypervisor.nativesWith(vm, native, wanted)).map(numbersIn);
          t.ok(foretold.includes(numbersIn(now)), `the exact values are those foretold: ${numbersIn(now)} of ${foretold}`);
          const back = (await hypervisor.nativesWith(vm, now, before)).map(numbersIn);
          t.ok(back.includes(numbersIn(native)), `and back: ${numbersIn(native)} of ${back}`);
        }
        await hypervisor.writeSetting(vm, wanted);
        t.ok(sameSetting(await settled(hypervisor, wanted), wanted), 'writing it again changes nothing');
        t.same(await hypervisor.baseline(vm), baseline, 'the persistent definition was not touched');
        await hypervisor.writeNative(vm, resource, native);
        await settled(hypervisor, before);
        t.same(await hypervisor.readNative(vm, resource), native, 'the exact values are back');
        await t.rejects(hypervisor.writeNative(vm, resource, { adapter: 'other', values: {} }), { code: 'HYPERVISOR_REFUSED' });
      });
    } else if (!adapter.brokenThere?.includes(resource)) {
      t.test(`${adapter.name}: ${resource} cannot be limited here, and it says so`, async (t) => {
        const hypervisor = await connected(t);
        await t.rejects(hypervisor.writeSetting(vm, wanted), { code: 'HYPERVISOR_UNSUPPORTED' });
      });
    }
  }

  t.test(`${adapter.name}: refuses what cannot be, with words`, async (t) => {
    const hypervisor = await connected(t);
    await t.rejects(hypervisor.writeSetting(vm, { resource: 'memory', memoryMiB: bootMemoryMiB * 4 }), {
      code: 'HYPERVISOR_REFUSED',
      message: /\w+/,
    });
    await t.rejects(hypervisor.facts(NOBODY), { code: 'HYPERVISOR_REFUSED' });
    await t.rejects(hypervisor.readSetting(NOBODY, 'memory'), { code: 'HYPERVISOR_REFUSED' });
    await t.rejects(hypervisor.baseline(NOBODY), { code: 'HYPERVISOR_REFUSED' });
  });

  t.test(`${adapter.name}: statistics only grow, and tell nothing that was not told`, async (t) => {
    const hypervisor = await connected(t);
    const first = (await hypervisor.stats(['state', 'cpu', 'vcpu'], [vm])).stats[0];
    await passTime(500);
    const { stats, stuck } = await hypervisor.stats(['state', 'cpu', 'vcpu', 'balloon', 'interface', 'block']);
    const second = stats.find(({ id }) => id === vm);
    t.same(stuck, []);
    t.equal(second?.power, 'running');
    t.ok((second?.monotonicMs ?? 0) > (first?.monotonicMs ?? 0));
    t.equal(first?.balloon, undefined, 'a group not asked for is absent');
    if (!adapter.real) return;
    t.ok((second?.cpuTimeNs ?? -1) >= (first?.cpuTimeNs ?? 0) && (first?.cpuTimeNs ?? -1) >= 0);
    t.equal(second?.vcpus?.length, 2);
    t.equal(second?.balloon?.maximumMiB, bootMemoryMiB);
    t.ok((second?.balloon?.rssMiB ?? 0) > 0);
    const balloon = async () => (await hypervisor.stats(['balloon'], [vm])).stats[0]?.balloon;
    const toldBefore = (await balloon())?.lastUpdateSeconds ?? 0;
    await passTime(2000);
    t.equal((await balloon())?.lastUpdateSeconds ?? 0, toldBefore, 'without a period the guest tells no new memory statistics');
    await hypervisor.setStatsPeriod(vm, 1);
    for (let waitedMs = 0; ((await balloon())?.lastUpdateSeconds ?? 0) <= toldBefore && waitedMs < BALLOON_MS_MAX; waitedMs += STEP_MS) {
      await passTime(STEP_MS);
    }
    const told = await balloon();
    t.ok((told?.lastUpdateSeconds ?? 0) > toldBefore && Number(told?.usableMiB) > 0, 'with a period it tells them');
    t.equal((await hypervisor.facts(vm)).statsPeriodSeconds, 1);
    await hypervisor.setStatsPeriod(vm, 0);
    t.equal((await hypervisor.facts(vm)).statsPeriodSeconds, 0);
  });

  if (adapter.real) {
    t.test(`${adapter.name}: keeps Headroom's metadata, and leaves none behind`, async (t) => {
      const hypervisor = await connected(t);
      t.equal(await hypervisor.readMetadata(vm), null);
      await hypervisor.writeMetadata(vm, '<state><journal>AbC+/=</journal></state>');
      t.match(await hypervisor.readMetadata(vm), /AbC\+\/=/);
      await hypervisor.writeMetadata(vm, null);
      await hypervisor.writeMetadata(vm, null);
      t.equal(await hypervisor.readMetadata(vm), null);
    });
  }

  t.test(`${adapter.name}: tells of changes to those who listen`, async (t) => {
    const hypervisor = adapter.create();
    t.teardown(() => hypervisor.close());
    const seen: HypervisorEvent[] = [];
    const deaf: HypervisorEvent[] = [];
    hypervisor.onEvent((event) => seen.push(event));
    hypervisor.onEvent((event) => deaf.push(event))();
    await hypervisor.connect();
    t.match(seen, [{ kind: 'connection', connected: true }]);
    if (adapter.real) {
      const cpu = await hypervisor.readSetting(vm, 'cpu');
      await hypervisor.writeSetting(vm, { ...cpu, weight: 120 });
      await hypervisor.writeSetting(vm, cpu);
      await hypervisor.writeSetting(vm, { resource: 'memory', memoryMiB: bootMemoryMiB - 16 });
      for (let waitedMs = 0; !seen.some(({ kind }) => kind === 'balloon') && waitedMs < BALLOON_MS_MAX; waitedMs += STEP_MS) {
        await passTime(STEP_MS);
      }
      t.ok(seen.some((event) => event.kind === 'tunable' && event.id === vm));
      t.ok(seen.some((event) => event.kind === 'balloon' && event.id === vm && event.actualMiB < bootMemoryMiB));
      await hypervisor.writeSetting(vm, { resource: 'memory', memoryMiB: bootMemoryMiB });
      await settled(hypervisor, { resource: 'memory', memoryMiB: bootMemoryMiB });
    }
    t.same(deaf, []);
  });

  t.test(`${adapter.name}: a closed adapter answers no call`, async (t) => {
    const hypervisor = adapter.create();
    await t.rejects(hypervisor.list(), { code: 'HYPERVISOR_UNAVAILABLE' });
    await hypervisor.connect();
    await hypervisor.close();
    t.equal(hypervisor.connected, false);
    await t.rejects(hypervisor.list(), { code: 'HYPERVISOR_UNAVAILABLE' });
    await t.rejects(hypervisor.readSetting(vm, 'cpu'), { code: 'HYPERVISOR_UNAVAILABLE' });
    await t.rejects(hypervisor.stats(['state']), { code: 'HYPERVISOR_UNAVAILABLE' });
  });
}
