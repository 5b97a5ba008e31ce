/** Goal: what the demo's guests are made of is well formed: archive, module order, definition, load pattern, base. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XMLParser } from 'fast-xml-parser';
import t from 'tap';
import { AGENT_CHANNEL, domainXml } from '../../demo/guests/domain-xml.ts';
import { cpioArchive, MODE_DIRECTORY, MODE_FILE, MODE_PROGRAM } from '../../demo/image/cpio.ts';
import { dependenciesOf, loadOrder } from '../../demo/image/kernel-modules.ts';
import { obstacle } from '../../demo/machine/requirements.ts';
import { baseOf } from '../../demo/workload/base.ts';
import { createCpuLoad } from '../../demo/workload/cpu-load.ts';
import { bootOption, busySeconds, guestMemory } from '../../demo/workload/guest-figures.ts';
import { createMemoryLoad } from '../../demo/workload/memory-load.ts';
import { DAY_MS, offerAt, ROLES } from '../../demo/workload/pattern.ts';

t.test('the archive unpacks to what went in', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-cpio-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const input = cpioArchive([
    { path: 'bin', mode: MODE_DIRECTORY },
    { path: 'bin/run', mode: MODE_PROGRAM, content: Buffer.from('#!/bin/sh\n') },
    { path: 'odd', mode: MODE_FILE, content: Buffer.from('abcde') },
    { path: 'empty', mode: MODE_FILE },
  ]);
  execFileSync('cpio', ['-id', '--quiet'], { cwd: directory, input });
  t.equal(readFileSync(join(directory, 'bin/run'), 'utf8'), '#!/bin/sh\n');
  t.equal(readFileSync(join(directory, 'odd'), 'utf8'), 'abcde');
  t.equal(readFileSync(join(directory, 'empty'), 'utf8'), '');
});

t.test('modules load after what they depend on, each once', async (t) => {
  const modinfo = (depends: string): Buffer => Buffer.from(`\x7fELF\0license=GPL\0depends=${depends}\0name=x\0`, 'latin1');
  const modules: Record<string, Buffer> = {
    virtio_pci: modinfo('virtio-ring,virtio'),
    virtio_blk: modinfo('virtio'),
    virtio: modinfo(''),
    virtio_ring: modinfo(''),
  };
  t.same(dependenciesOf(modinfo('a-b,c')), ['a_b', 'c']);
  const order = loadOrder(['virtio_blk', 'virtio_pci', 'ext4'], (name) => modules[name] ?? null).map(({ name }) => name);
  t.same(order, ['virtio', 'virtio_blk', 'virtio_ring', 'virtio_pci']);
});

t.test('the definition is XML with the parts that Headroom needs', async (t) => {
  const xml = domainXml({
    name: 'headroom-demo-web',
    uuid: '6f1b0000-0000-4000-8000-0000000000a1',
    role: 'web',
    domainType: 'qemu',
    memoryMiB: 640,
    kernel: '/run/<odd>&path',
    initrd: '/initrd',
    disk: '/disk',
    consoleLog: '/log',
    firstDayMs: 1_800_000_000_000,
    labels: { role: 'web' },
  });
  const { domain } = new XMLParser({ ignoreAttributes: false }).parse(xml);
  t.equal(domain['@_type'], 'qemu');
  t.equal(domain.memory['#text'], 655360);
  t.equal(domain.os.kernel, '/run/<odd>&path');
  t.match(domain.os.cmdline, /psi=1 .*headroom\.role=web headroom\.memory=640 headroom\.first-day=1800000000000/);
  t.equal(domain.devices.channel.target['@_name'], AGENT_CHANNEL);
  t.equal(domain.devices.memballoon.stats['@_period'], '1');
});

t.test('loads repeat daily, stay well below two cores together, and the control is web half a day later', async (t) => {
  for (let second = 0; second < DAY_MS / 1000; second++) {
    const nowMs = 3 * DAY_MS + second * 1000;
    const total = ROLES.reduce((sum, role) => sum + offerAt(role, nowMs).cores, 0);
    t.ok(total < 1.4, `${total} cores in second ${second}`);
    t.same(offerAt('control', nowMs + DAY_MS / 2), offerAt('web', nowMs));
    for (const role of ROLES) {
      const [today, tomorrow] = [offerAt(role, nowMs), offerAt(role, nowMs + DAY_MS)];
      t.ok(Math.abs(today.cores - tomorrow.cores) <= 0.1 * Math.max(today.cores, tomorrow.cores), `${role} repeats`);
    }
  }
});

t.test('CPU load works for its share and drops what it could not do', async (t) => {
  let clockMs = 0;
  // Each look at the clock costs a tenth of a millisecond: the busy loop ends.
  const load = createCpuLoad(() => (clockMs += 0.1));
  let busyMs = 0;
  for (let slice = 0; slice < 50; slice++) {
    clockMs = slice * 20 + 20;
    load.work(0.5, 0);
    busyMs += clockMs - (slice * 20 + 20);
  }
  t.ok(Math.abs(busyMs - 500) < 25, `${busyMs} ms of 1000`);
  clockMs = 61_020;
  load.work(0.5, 0);
  t.ok(clockMs - 61_020 < 35, 'a minute of standstill leaves no minute of backlog');
});

t.test('memory load grows in small steps, waits when little is left, and gives back at once', async (t) => {
  const load = createMemoryLoad(16);
  for (let i = 0; i < 20; i++) load.step(8, () => 1000);
  t.equal(load.heldMiB, 8);
  load.step(16, () => 10);
  t.equal(load.heldMiB, 8, 'short: waits');
  load.step(2, () => 10);
  t.equal(load.heldMiB, 2);
});

t.test('the base is what the resting guest takes', async (t) => {
  const readings = [0, 1, 2, 3].map((second) => ({
    monotonicMs: second * 1000,
    busySeconds: second * 0.02,
    // A balloon takes 100 MiB a second meanwhile.
    memory: { totalMiB: 600 - second * 100, availableMiB: 540 - second * 100 },
  }));
  const base = baseOf(readings, 40);
  t.ok(Math.abs(base.cores - 0.02) < 1e-9);
  t.equal(base.memoryMiB, 100);
  t.same(guestMemory('MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable:     2048 kB\n'), { totalMiB: 4, availableMiB: 2 });
  t.equal(busySeconds('cpu  100 10 40 900 5 1 2 0 0 0\ncpu0 1\n'), 1.53);
  t.equal(bootOption('role', 'quiet headroom.role=web x=1\n'), 'web');
  t.equal(bootOption('memory', 'quiet headroom.role=web'), undefined);
});

t.test('a machine that cannot run real guests is told what to do', async (t) => {
  const able = { platform: 'linux', architecture: 'x64', isRoot: true, hasApt: true };
  t.equal(obstacle(able), null);
  for (const lack of [{ platform: 'darwin' }, { architecture: 'arm64' }, { isRoot: false }, { hasApt: false }]) {
    t.match(obstacle({ ...able, ...lack }), /npm run demo -- --simulated/);
  }
});
