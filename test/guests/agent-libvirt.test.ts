/**
 * Goal: the agent's program on a real guest: what it reports, commands seen through virsh, someone else's `virsh setmem`
 * and `schedinfo` adopted, held and told, kill -9 in the middle and `restore --all` with nothing else running, the kill
 * switch. The aggregator is only its end of the wire.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { normalXml } from '../../agent/hypervisor/libvirt/normal-xml.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { aggregatorEnd, runAgent, startAgent } from '../support/agent-process.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'headroom-agent-'));
const libvirtd = await privateLibvirtd();
const aggregator = await aggregatorEnd();
const options = {
  name: `hra${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000c1',
  folder,
  memoryMiB: 320,
  vcpus: 2,
  disk: true,
  extra: '<cputune><shares>2048</shares></cputune>',
};
const connect = `qemu:///system?socket=${libvirtd.socket}`;
const stateDir = join(folder, 'state');
const place = ['--connect', connect, '--state-dir', stateDir];
const hostArguments = [
  ...['host', '--host', 'test-host', '--aggregator', aggregator.url, ...place],
  ...['--include', options.name, '--balloon-stats-seconds', '1', '--stats-seconds', '2', '--settings-seconds', '1'],
  ...['--boot-deadline-seconds', '5', '--foreign-rest-seconds', '3', '--startup-lease-seconds', '600'],
];
let agent = startAgent(['version'], join(folder, 'agent.log'));

t.teardown(async () => {
  await agent.end('SIGKILL');
  await aggregator.close();
  spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, 'destroy', options.name]);
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

const domainXml = join(folder, 'domain.xml');
writeFileSync(domainXml, tinyGuestXml(options));
virsh(libvirtd.socket, 'create', domainXml);
(await tinyGuest(options)).close();

const scheduler = (): Record<string, number> =>
  Object.fromEntries(
    [...virsh(libvirtd.socket, 'schedinfo', options.name).matchAll(/^(\w+)\s*:\s*(-?\d+)$/gm)].map(([, key, value]) => [
      key,
      Number(value),
    ]),
  );
const balloonMiB = (): number => Number(/actual (\d+)/.exec(virsh(libvirtd.socket, 'dommemstat', options.name))?.[1]) / 1024;
const ioLimits = (): string => virsh(libvirtd.socket, 'blkdeviotune', options.name, 'vda');
/** All that an agent could have left behind: control groups, balloon, disk limits, and the live definition as libvirt tells it. */
function groundTruth(): Record<string, unknown> {
  const files = globSync(`/sys/fs/cgroup/{cpu,cpu,cpuacct}/machine/*${options.name}*/**/{cpu.shares,cpu.cfs_quota_us,cpu.cfs_period_us}`);
  const groups = Object.fromEntries(files.sort().map((file) => [file, readFileSync(file, 'utf8').trim()]));
  const xml = normalXml(virsh(libvirtd.socket, 'dumpxml', options.name), existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1);
  // Whether the guest has its end of the channel open is the guest's doing.
  const definition = xml.map((line) => line.replace(/ state="(dis)?connected"/, ''));
  return { groups, balloonMiB: balloonMiB(), ioLimits: ioLimits(), scheduler: scheduler(), definition };
}

let generation = 0;
const current = (resource: Resource): Setting | undefined =>
  aggregator.inventory(options.uuid)?.current.find((setting) => setting.resource === resource);
async function command(target: Setting, over: Partial<FrameOf<'command'>> = {}): Promise<FrameOf<'result'>> {
  const commandId = `c${++generation}`;
  const previous = await aggregator.until(`a ${target.resource} setting in the inventory`, () => current(target.resource));
  const pair = { epoch: 5, generation };
  const bounds = { floor: 0.1, ceiling: target.resource === 'cpu' ? 2 : 1e12 };
  aggregator.send({
    type: 'command',
    commandId,
    vm: options.uuid,
    resource: target.resource,
    pair,
    leaseMs: 600_000,
    previous,
    target,
    ...bounds,
    mode: 'auto',
    reason: 'test',
    ...over,
  });
  return aggregator.until(`the result of ${JSON.stringify(target)}`, () =>
    aggregator.of('result').find((result) => result.commandId === commandId),
  );
}

/** A new process of the agent; resolves once it has told of its VM. */
async function start(): Promise<void> {
  const seen = aggregator.frames.length;
  agent = startAgent(hostArguments, join(folder, 'agent.log'));
  const tells = (frame: (typeof aggregator.frames)[number]): boolean =>
    frame.type === 'inventory' && frame.vms.some(({ vm, current }) => vm === options.uuid && current.length > 0);
  await aggregator.until('the agent to tell of its VM', () => aggregator.frames.slice(seen).some(tells));
}

let before: ReturnType<typeof groundTruth>;

t.test('telemetry and inventory of a real guest', async (t) => {
  before = groundTruth();
  t.ok(Object.keys(before.groups as object).length > 3, 'control groups were found');
  await start();
  await aggregator.until('the VM to be ready', () => aggregator.inventory(options.uuid)?.state === 'ready');
  t.match(aggregator.inventory(options.uuid), {
    name: options.name,
    vcpus: 2,
    bootMemoryMiB: 320,
    osFamily: 'linux',
    eligibility: { cpu: { allowed: true }, memory: { allowed: true }, disk: { allowed: true }, network: { allowed: false } },
    current: [{ resource: 'cpu', weight: 200, capCores: null }, { resource: 'memory', memoryMiB: 320 }, {}, {}],
  });
  const latest = (field: string): number => {
    for (const block of aggregator.blocks.toReversed()) {
      const column = block.subject.id === options.uuid ? block.fields.indexOf(field) : -1;
      for (let row = block.timesMs.length - 1; column >= 0 && row >= 0; row--) {
        const value = block.values[row * block.fields.length + column]!;
        if (!Number.isNaN(value)) return value;
      }
    }
    return Number.NaN;
  };
  for (const field of [
    'vm_cpu.usageCores',
    'vm_cpu.overheadCores',
    'vm_cpu.throttledFraction',
    'vm_memory.rssMiB',
    'vm_memory.balloonMiB',
    'vm_memory.availableMiB',
    'vm_disk.readBytesPerSecond',
  ]) {
    await aggregator.until(field, () => Number.isFinite(latest(field)));
  }
  t.ok(latest('vm_memory.availableMiB') > 100 && latest('vm_memory.rssMiB') > 50);
  // Whether there is pressure to read depends on the host's control groups; a rate takes two looks.
  const lacks = (): string[] =>
    (aggregator.inventory(options.uuid)?.missingSignals ?? ['all']).filter(
      (signal) => signal !== 'pressure' && signal !== 'guest-agent' && signal !== 'cpu-throttling',
    );
  await aggregator.until('all signals to be there', () => lacks().length === 0);
  t.ok(aggregator.blocks.some((block) => block.subject.kind === 'host' && block.subject.id === 'test-host'));
});

t.test('commands are applied, and virsh sees them', async (t) => {
  t.match(await command({ resource: 'cpu', weight: 50, capCores: 1 }), {
    outcome: 'applied',
    readBack: { resource: 'cpu', weight: 50, capCores: 1 },
  });
  const { cpu_shares: shares, vcpu_quota: quota, vcpu_period: period, emulator_quota: emulator } = scheduler();
  t.equal(shares, 512);
  t.equal((quota! / period!) * 2, 1, 'a core over two vCPUs');
  t.ok(emulator! < 0 || emulator! > 1e12, 'the emulator is never capped');
  const memory = await command({ resource: 'memory', memoryMiB: 220 });
  t.equal(memory.outcome, 'applied', memory.reason);
  await aggregator.until('the balloon to arrive', () => Math.abs(balloonMiB() - 220) < 2);
  t.match(await command({ resource: 'disk', bytesPerSecond: 5_000_000, iops: null }), { outcome: 'applied' });
  t.match(ioLimits(), /total_bytes_sec\s*:\s*5000000/);
  t.match(await command({ resource: 'cpu', weight: 50, capCores: 0.2 }), { outcome: 'refused', reason: /20 %/ });
  t.match(await command({ resource: 'memory', memoryMiB: 40 }), { outcome: 'refused', reason: /working set/ });
  t.match(
    await command(
      { resource: 'network', inboundBytesPerSecond: 1e6, outboundBytesPerSecond: null },
      { previous: { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: null } },
    ),
    { outcome: 'refused', reason: /no network interface/ },
  );
});

t.test('kill -9, then restore: everything as before, by the program alone', async (t) => {
  await agent.end('SIGKILL');
  const restored = runAgent(['restore', '--all', ...place]);
  t.equal(restored.code, 0, restored.stdout + restored.stderr);
  t.match(restored.stdout, /ok {3}hra\d+ .* cpu: /);
  t.same(groundTruth(), before);
  t.match(runAgent(['restore', '--all', ...place]).stdout, /nothing to restore/);
});

t.test('kill -9 right after a command was sent: whatever had been done is undone', async (t) => {
  for (const delayMs of [0, 10, 40]) {
    await start();
    const pair = { epoch: 6, generation: ++generation };
    const previous = { resource: 'cpu' as const, weight: 200, capCores: null };
    aggregator.send({
      type: 'command',
      commandId: `k${generation}`,
      vm: options.uuid,
      resource: 'cpu',
      pair,
      leaseMs: 600_000,
      previous,
      target: { resource: 'cpu', weight: 70, capCores: 1.2 },
      floor: 0.1,
      ceiling: 2,
      mode: 'auto',
      reason: 'test',
    });
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await agent.end('SIGKILL');
    const restored = runAgent(['restore', '--all', ...place]);
    t.equal(restored.code, 0, restored.stdout + restored.stderr);
    t.same(groundTruth(), before, `killed ${delayMs} ms after the command`);
  }
});

t.test('foreign writers are adopted, held and told', async (t) => {
  rmSync(stateDir, { recursive: true, force: true });
  await start();
  generation = 1000;
  t.equal((await command({ resource: 'cpu', weight: 50, capCores: 1 })).outcome, 'applied');
  let memory = await command({ resource: 'memory', memoryMiB: 260 });
  // An agent that has just begun takes nothing before the guest has told it how it fares.
  for (let tries = 0; tries < 20 && /no fresh memory statistics/.test(memory.reason); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    memory = await command({ resource: 'memory', memoryMiB: 260 });
  }
  t.equal(memory.outcome, 'applied', memory.reason);
  await aggregator.until('the balloon to arrive', () => Math.abs(balloonMiB() - 260) < 2);
  const told = (resource: string) => aggregator.of('event').find((event) => event.kind === 'foreign-writer' && event.resource === resource);
  await new Promise((resolve) => setTimeout(resolve, 5000));
  t.same([told('cpu'), told('memory')], [undefined, undefined], 'our own writes are ours');

  virsh(libvirtd.socket, 'schedinfo', options.name, '--live', '--set', 'cpu_shares=3000');
  virsh(libvirtd.socket, 'setmem', options.name, '300M', '--live');
  await aggregator.until('the foreign CPU write to be told', () => told('cpu'));
  await aggregator.until('the foreign balloon to be told', () => told('memory'));
  const vm = await aggregator.until('both holds', () => {
    const now = aggregator.inventory(options.uuid);
    return now?.holds.length === 2 ? now : null;
  });
  t.same(
    vm.holds.map(({ resource }) => resource),
    ['cpu', 'memory'],
  );
  t.match(
    vm.baseline.find(({ resource }) => resource === 'memory'),
    { memoryMiB: 300 },
  );
  t.match(await command({ resource: 'cpu', weight: 60, capCores: 1 }), { outcome: 'refused', reason: /hands off/ });
  t.equal(scheduler().cpu_shares, 3000);
  await agent.end('SIGKILL');
  t.equal(runAgent(['restore', '--all', ...place]).code, 0);
  t.equal(scheduler().cpu_shares, 3000, 'what someone else wrote stays');
  t.ok(scheduler().vcpu_quota! < 0 || scheduler().vcpu_quota! > 1e12, 'what was left of ours is gone');
  t.ok(Math.abs(balloonMiB() - 300) < 2);
});

t.test('kill switch from the command line; a clean stop', async (t) => {
  virsh(libvirtd.socket, 'setmem', options.name, '320M', '--live');
  rmSync(stateDir, { recursive: true, force: true });
  await start();
  generation = 2000;
  t.equal(runAgent(['kill', '--state-dir', stateDir, '--reason', 'drill']).code, 0);
  t.match(await command({ resource: 'cpu', weight: 100, capCores: 1 }), { outcome: 'refused', reason: /kill switch: drill/ });
  await aggregator.until('the host to say so', () => aggregator.of('inventory').at(-1)?.host.killSwitch);
  t.equal(runAgent(['unkill', '--state-dir', stateDir]).code, 0);
  await aggregator.until('the switch to be off', () => aggregator.of('inventory').at(-1)?.host.killSwitch === false);
  t.equal(await agent.end('SIGTERM'), 0);
  t.ok(aggregator.of('goodbye').length > 0, 'it says goodbye');
});
