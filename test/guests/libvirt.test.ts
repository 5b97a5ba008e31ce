/**
 * Goal: the libvirt adapter on real guests when things go wrong: the daemon is killed and comes back, a hypervisor process
 * stops answering, others write, a kernel cannot limit interfaces; and after a restore the live definition and the control
 * groups are what they were. One private daemon and two small guests serve all of it.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eligibility } from '../../agent/core/eligibility.ts';
import type { Hypervisor, HypervisorEvent } from '../../agent/hypervisor/hypervisor.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { normalXml } from '../../agent/hypervisor/libvirt/normal-xml.ts';
import { runLook } from '../../aggregator/cli/look.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { RESOURCES, sameSetting } from '../../shared/resources.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'headroom-libvirt-'));
const libvirtd = await privateLibvirtd();
const TAP = `hr${process.pid}`;
const first: TinyGuestOptions = {
  name: `first-${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000d1',
  folder,
  vcpus: 2,
  disk: true,
  devices: `<interface type='ethernet'><mac address='52:54:00:00:0d:01'/><target dev='${TAP}'/><model type='virtio'/></interface>`,
  extra: `<metadata><h:labels xmlns:h='https://headroom.dev/xmlns/labels/1'><h:label name='class' value='cluster'/></h:labels></metadata>`,
};
const second: TinyGuestOptions = {
  name: `second-${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000d2',
  folder,
  memoryMiB: 128,
  balloon: false,
};
const FIRST = vmId(first.uuid);
const SECOND = vmId(second.uuid);

t.teardown(async () => {
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});
for (const options of [first, second]) {
  const file = join(folder, `${options.name}.xml`);
  writeFileSync(file, tinyGuestXml(options));
  virsh(libvirtd.socket, 'define', file);
  virsh(libvirtd.socket, 'start', options.name);
}
const guest = await tinyGuest(first);
t.teardown(() => guest.close());
await tinyGuest(second).then((other) => other.close());

const create = (): Hypervisor =>
  createLibvirtHypervisor({
    uri: `qemu:///system?socket=${libvirtd.socket}`,
    clock: systemClock,
    prng: createPrng(1),
    callDeadlineMs: 2000,
  });

async function connected(t: { teardown(run: () => unknown): void }): Promise<{ hypervisor: Hypervisor; events: HypervisorEvent[] }> {
  const hypervisor = create();
  const events: HypervisorEvent[] = [];
  hypervisor.onEvent((event) => events.push(event));
  await hypervisor.connect();
  t.teardown(() => hypervisor.close());
  return { hypervisor, events };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, condition: () => boolean | Promise<boolean>, waitMsMax = 30_000): Promise<void> {
  for (let waitedMs = 0; !(await condition()); waitedMs += 100) {
    if (waitedMs > waitMsMax) throw new Error(`waited in vain for ${what}`);
    await pause(100);
  }
}

/** Every scheduler value of a guest's control groups, by file. */
function cgroupValues(name: string): Record<string, string> {
  const files = globSync([
    `/sys/fs/cgroup/cpu*/machine*/*${name}*/{,*/}cpu.{shares,cfs_quota_us,cfs_period_us}`,
    `/sys/fs/cgroup/machine*/*${name}*/{,*/,*/*/}cpu.{weight,max}`,
  ]);
  return Object.fromEntries(files.sort().map((file) => [file, readFileSync(file, 'utf8').trim()]));
}

const liveXml = (name: string): string[] => normalXml(virsh(libvirtd.socket, 'dumpxml', name), 1);

t.test('facts of real definitions: labels, and why a guest without a balloon device is never touched', async (t) => {
  const { hypervisor } = await connected(t);
  const host = { balloonManager: null };
  const facts = await hypervisor.facts(FIRST);
  t.same(facts.labels, { class: 'cluster' });
  t.match(eligibility(facts, host, null), { cpu: { allowed: true }, memory: { allowed: true }, disk: { allowed: true } });
  t.match(facts.channels, [{ name: 'headroom.test', connected: true }]);
  const memory = eligibility(await hypervisor.facts(SECOND), host, null).memory;
  t.match(memory, { allowed: false, reason: /no balloon device/ });
});

t.test('look, by the read-only socket: tells of both guests and changes nothing', async (t) => {
  virsh(libvirtd.socket, 'schedinfo', first.name, '--live', '--set', 'vcpu_quota=50000');
  const before = [liveXml(first.name), liveXml(second.name)];
  const lines: string[] = [];
  const report = await runLook({
    connect: `qemu:///system?socket=${libvirtd.socket}-ro`,
    sampleSeconds: 2,
    json: true,
    out: (line) => lines.push(line),
  });
  t.same(JSON.parse(lines.join('\n')), JSON.parse(JSON.stringify(report)), 'one JSON object');
  const one = report.vms.find(({ name }) => name === first.name);
  t.match(one?.limits, [
    { resource: 'cpu', setBy: 'someone live', words: /cap 1.00 cores/ },
    { resource: 'memory', setBy: 'definition' },
  ]);
  t.ok(one?.cpu.usedCores !== null && (one?.memory.residentMiB ?? 0) > 50, 'its process and control groups were found');
  t.ok(one?.missingSignals.some((words) => /balloon statistics have no period/.test(words)));
  t.match(report.vms.find(({ name }) => name === second.name)?.eligibility.memory, { allowed: false, reason: /no balloon/ });
  t.same(report.problems, []);
  t.same([liveXml(first.name), liveXml(second.name)], before);
  virsh(libvirtd.socket, 'schedinfo', first.name, '--live', '--set', 'vcpu_quota=-1');
  await t.rejects(runLook({ connect: `qemu:///system?socket=${folder}/none`, out: () => {} }), { code: 'HYPERVISOR_UNAVAILABLE' });
});

t.test('after a restore, live definition and control groups are what they were', async (t) => {
  const { hypervisor } = await connected(t);
  virsh(libvirtd.socket, 'blkdeviotune', first.name, 'vda', '--live', '--read-bytes-sec', '9000000', '--read-bytes-sec-max', '12000000');
  const xml = liveXml(first.name);
  const cgroups = cgroupValues(first.name);
  t.ok(Object.keys(cgroups).length >= 3, 'control groups were found');
  t.ok(xml.some((line) => line.includes('read_bytes_sec_max')));
  const baseline = await hypervisor.baseline(FIRST);
  const natives = new Map(
    await Promise.all(RESOURCES.map(async (resource) => [resource, await hypervisor.readNative(FIRST, resource)] as const)),
  );
  await hypervisor.writeSetting(FIRST, { resource: 'cpu', weight: 250, capCores: 0.5 });
  await hypervisor.writeSetting(FIRST, { resource: 'memory', memoryMiB: 150 });
  await hypervisor.writeSetting(FIRST, { resource: 'disk', bytesPerSecond: 4_000_000, iops: 50 });
  await hypervisor.setStatsPeriod(FIRST, 1);
  await hypervisor.writeMetadata(FIRST, '<state/>');
  await until('the balloon', async () => (await hypervisor.readSetting(FIRST, 'memory')).memoryMiB < 151);
  t.notSame(liveXml(first.name), xml);
  const held = cgroupValues(first.name);
  t.notSame(held, cgroups);
  for (const [file, value] of Object.entries(held)) {
    if (/(emulator|iothread)/.test(file)) t.equal(value, cgroups[file], `${file} was left alone`);
  }
  t.same(await hypervisor.baseline(FIRST), baseline, 'the persistent definition was not touched');
  for (const [resource, native] of natives) {
    const kept = JSON.parse(JSON.stringify(native));
    await hypervisor.writeNative(FIRST, resource, kept);
  }
  await hypervisor.setStatsPeriod(FIRST, 0);
  await hypervisor.writeMetadata(FIRST, null);
  t.same(liveXml(first.name), xml, 'the live definition means the same');
  t.same(cgroupValues(first.name), cgroups, 'the control groups hold the same values');
});

/** Times the vCPUs' groups were throttled. */
function throttled(name: string): number {
  const files = globSync([
    `/sys/fs/cgroup/cpu*/machine*/*${name}*/vcpu*/cpu.stat`,
    `/sys/fs/cgroup/machine*/*${name}*/{,*/}vcpu*/cpu.stat`,
  ]);
  return files.reduce((sum, file) => sum + Number(/nr_throttled (\d+)/.exec(readFileSync(file, 'utf8'))?.[1]), 0);
}

t.test('a cap really holds the vCPUs', async (t) => {
  const { hypervisor } = await connected(t);
  const native = await hypervisor.readNative(FIRST, 'cpu');
  await guest.order('busy 2');
  const read = async () => {
    const { vcpus, monotonicMs } = (await hypervisor.stats(['vcpu'], [FIRST])).stats[0]!;
    return { ns: vcpus!.reduce((sum, vcpu) => sum + (vcpu.timeNs ?? 0), 0), monotonicMs };
  };
  // So little that a busy guest meets it on the busiest machine.
  await hypervisor.writeSetting(FIRST, { resource: 'cpu', weight: 100, capCores: 0.04 });
  const before = await read();
  const throttledBefore = throttled(first.name);
  await pause(3000);
  const after = await read();
  const used = (after.ns - before.ns) / 1e6 / (after.monotonicMs - before.monotonicMs);
  t.ok(used < 0.08, `0.04 cores allowed, ${used.toFixed(3)} used`);
  t.ok(throttled(first.name) > throttledBefore, 'the kernel held them back');
  await hypervisor.writeNative(FIRST, 'cpu', native);
  await pause(300);
  const free = throttled(first.name);
  await pause(1000);
  t.equal(throttled(first.name), free, 'without the cap it does not');
  await guest.order('idle');
});

t.test('what others write is seen', async (t) => {
  const { hypervisor, events } = await connected(t);
  virsh(libvirtd.socket, 'schedinfo', first.name, '--live', '--set', 'cpu_shares=512', 'vcpu_quota=40000');
  virsh(libvirtd.socket, 'setmem', first.name, '170M', '--live');
  t.match(await hypervisor.readSetting(FIRST, 'cpu'), { weight: 50, capCores: 0.8 });
  await until('the balloon', async () => Math.abs((await hypervisor.readSetting(FIRST, 'memory')).memoryMiB - 170) <= 1);
  t.ok(events.some(({ kind }) => kind === 'tunable') && events.some(({ kind }) => kind === 'balloon'));
  virsh(libvirtd.socket, 'schedinfo', first.name, '--live', '--set', 'cpu_shares=1024', 'vcpu_quota=-1');
  virsh(libvirtd.socket, 'setmem', first.name, '192M', '--live');
});

t.test('a limit that the kernel cannot carry is reported, and leaves no half behind', async (t) => {
  const { hypervisor } = await connected(t);
  const qdisc = (): string => spawnSync('tc', ['qdisc', 'show', 'dev', TAP], { encoding: 'utf8' }).stdout.replace(/ [0-9a-f]+: /, ' ');
  const before = qdisc();
  t.ok(before.length > 0);
  const native = await hypervisor.readNative(FIRST, 'network');
  const setting = { resource: 'network', inboundBytesPerSecond: 4 << 20, outboundBytesPerSecond: 2 << 20 } as const;
  const outcome = await hypervisor.writeSetting(FIRST, setting).catch((error) => error);
  if (outcome instanceof Error) t.match(outcome, { code: 'HYPERVISOR_UNSUPPORTED', message: /cannot limit interfaces/ });
  else t.same(outcome, setting, 'this kernel can');
  await hypervisor.writeNative(FIRST, 'network', native);
  t.equal(qdisc(), before);
});

t.test('guest reboot: the balloon is gone until its driver comes, the target is kept', async (t) => {
  const { hypervisor, events } = await connected(t);
  await hypervisor.writeSetting(FIRST, { resource: 'memory', memoryMiB: 160 });
  await until('the balloon', async () => (await hypervisor.readSetting(FIRST, 'memory')).memoryMiB <= 161);
  events.length = 0;
  // A guest that reboots answers no more.
  guest.send('reboot');
  await until('the reboot to be told', () => events.some((event) => event.kind === 'lifecycle' && event.detail === 'rebooted'));
  t.same(
    await hypervisor.readSetting(FIRST, 'memory'),
    { resource: 'memory', memoryMiB: 192 },
    'libvirt still says 160, the guest has all',
  );
  t.equal((await hypervisor.stats(['balloon'], [FIRST])).stats[0]?.balloon?.actualMiB, 192);
  await until('full boot memory to be told', () => events.some((event) => event.kind === 'balloon' && event.actualMiB === 192));
  await until('the balloon to come back', async () => (await hypervisor.readSetting(FIRST, 'memory')).memoryMiB <= 161, 180_000);

  // Given back while it boots: its driver finds nothing to do, and QEMU goes on telling the size from before.
  await hypervisor.setStatsPeriod(FIRST, 1);
  await hypervisor.writeSetting(FIRST, { resource: 'memory', memoryMiB: 112 });
  await until('the balloon again', async () => (await hypervisor.readSetting(FIRST, 'memory')).memoryMiB <= 113);
  events.length = 0;
  virsh(libvirtd.socket, 'reset', first.name);
  await until('the second reboot', () => events.some((event) => event.kind === 'lifecycle' && event.detail === 'rebooted'));
  await hypervisor.writeSetting(FIRST, { resource: 'memory', memoryMiB: 192 });
  const resetAtSeconds = Date.now() / 1000;
  const told = async () => (await hypervisor.stats(['balloon'], [FIRST])).stats[0]?.balloon;
  await until('its driver to tell', async () => ((await told())?.lastUpdateSeconds ?? 0) > resetAtSeconds + 3, 180_000);
  t.equal((await told())?.actualMiB, 192);
  t.match(await hypervisor.readSetting(FIRST, 'memory'), { memoryMiB: 192 });
  t.match(virsh(libvirtd.socket, 'dommemstat', first.name), /actual 114688/, 'as it is told');
  const late = createLibvirtHypervisor({ uri: `qemu:///system?socket=${libvirtd.socket}`, clock: systemClock, prng: createPrng(7) });
  await late.connect();
  t.teardown(() => late.close());
  t.equal((await late.stats(['balloon'], [FIRST])).stats[0]?.balloon?.actualMiB, 192, 'also to an agent that was not there');
});

t.test('a hypervisor process that hangs is named, and holds up nobody', async (t) => {
  const { hypervisor } = await connected(t);
  const pid = await hypervisor.processId(SECOND);
  t.ok(pid);
  process.kill(pid!, 'SIGSTOP');
  try {
    for (let i = 0; i < 3; i++) {
      const { stats, stuck } = await hypervisor.stats(['state', 'cpu', 'vcpu', 'balloon', 'block']);
      t.same(stuck, [SECOND]);
      t.ok(stats.find(({ id }) => id === FIRST)?.balloon?.rssMiB, 'the other VM is told of');
    }
    t.equal((await hypervisor.list()).length, 2);
    t.match(await hypervisor.facts(SECOND), { name: second.name });
    await t.rejects(hypervisor.setStatsPeriod(SECOND, 1), /./);
    const cpu = await hypervisor.readSetting(FIRST, 'cpu');
    t.ok(sameSetting(await hypervisor.writeSetting(FIRST, { ...cpu, weight: 130 }), { ...cpu, weight: 130 }), 'the other VM obeys');
    await hypervisor.writeSetting(FIRST, cpu);
  } finally {
    process.kill(pid!, 'SIGCONT');
  }
  await until('it to answer again', async () => (await hypervisor.stats(['balloon', 'block'])).stuck.length === 0);
});

t.test('the daemon is killed and comes back: told, reconnected, events registered anew', async (t) => {
  const { hypervisor, events } = await connected(t);
  const before = await hypervisor.readSetting(FIRST, 'cpu');
  await libvirtd.kill();
  await until('the loss to be told', () => events.some((event) => event.kind === 'connection' && !event.connected));
  t.equal(hypervisor.connected, false);
  await t.rejects(hypervisor.readSetting(FIRST, 'cpu'), { code: 'HYPERVISOR_UNAVAILABLE' });
  await t.rejects(hypervisor.stats(['balloon']), { code: 'HYPERVISOR_UNAVAILABLE' });
  events.length = 0;
  await libvirtd.start();
  await until('the connection', () => hypervisor.connected);
  t.match(events, [{ kind: 'connection', connected: true }]);
  t.same(
    (await hypervisor.list()).map(({ power }) => power),
    ['running', 'running'],
  );
  await until('statistics', async () => (await hypervisor.stats(['balloon'])).stats.length === 2);
  t.same(await hypervisor.readSetting(FIRST, 'cpu'), before);
  await hypervisor.writeSetting(FIRST, { ...before, weight: 140 });
  await hypervisor.writeSetting(FIRST, before);
  t.ok(
    events.some((event) => event.kind === 'tunable' && event.id === FIRST),
    'events come again',
  );
});

t.test('power changes are told, and a VM that is off refuses live writes', async (t) => {
  const { hypervisor, events } = await connected(t);
  virsh(libvirtd.socket, 'destroy', second.name);
  await until('the end to be told', () =>
    events.some((event) => event.kind === 'lifecycle' && event.id === SECOND && event.power === 'shutoff'),
  );
  t.equal(await hypervisor.processId(SECOND), null);
  await t.rejects(hypervisor.writeSetting(SECOND, { resource: 'memory', memoryMiB: 100 }), { code: 'HYPERVISOR_REFUSED' });
  t.same(
    (await hypervisor.stats(['state', 'balloon'])).stats.map(({ id }) => id),
    [FIRST],
  );
});
