/**
 * Goal: every collector reads what real kernels write (captured trees) into the fields everyone else names, tells "no data"
 * from failure, and one that fails takes nothing from the others.
 */
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createAppMetrics } from '../../agent/collectors/app-metrics.ts';
import { findBalloonManager } from '../../agent/collectors/balloon-manager.ts';
import { type Collector, noData, reading, runCollectors } from '../../agent/collectors/collector.ts';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { createGuestCollectors, createHostCollectors } from '../../agent/collectors/machine.ts';
import { pageSizeBytes } from '../../agent/collectors/page-size.ts';
import { AppNames } from '../../agent/core/app-names.ts';
import { HOST_FIELDS, VM_GUEST_FIELDS } from '../../shared/telemetry.ts';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '../fixtures/procfs');
const OPTIONS = { self: () => ({ cpuUs: 1000, rssBytes: 40 * 1024 * 1024 }), gapMsMax: 10_000, idlePages: () => Number.NaN };

/** A tree that can be moved from one moment to the next: what kept descriptors read must follow. */
function tree(t: { teardown(run: () => void): void }, ...moments: string[]): { root: string; show(index: number): void } {
  const root = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const show = (index: number): void => cpSync(join(FIXTURES, moments[index]!), root, { recursive: true, force: true });
  show(0);
  return { root, show };
}

/** Two samples `apartMs` apart, the second one's values. */
function second(collectors: Collector[], show: (index: number) => void, apartMs: number) {
  let nowMs = 1000;
  runCollectors(collectors, () => nowMs, {});
  show(1);
  nowMs += apartMs;
  const values: Record<string, number> = {};
  const reports = runCollectors(collectors, () => nowMs, values);
  return { values, reports };
}

t.test('host fields from a captured machine', async (t) => {
  const { root, show } = tree(t, 'hybrid/t0', 'hybrid/t1');
  const collectors = createHostCollectors(openKernelFiles(root), OPTIONS);
  const { values, reports } = second(collectors, show, 2000);
  t.same(
    reports.filter(({ outcome }) => outcome !== 'ok').map(({ name, reason }) => `${name}: ${reason}`),
    [],
  );
  // What the agent itself adds to the row: its buffer and its collectors.
  const own = /^agent_health\.(dropped|waiting|disk|collect)/;
  for (const field of HOST_FIELDS.filter((name) => !own.test(name))) {
    t.ok(Number.isFinite(values[field]), `${field} = ${values[field]}`);
  }
  t.ok(values['host_cpu.usageCores']! > 0.3 && values['host_cpu.usageCores']! <= 2.1, 'a guest under a quota keeps the host partly busy');
  t.ok(values['host_memory.availableMiB']! < values['host_memory.totalMiB']!);
});

t.test('guest fields from the same kernel', async (t) => {
  const { root, show } = tree(t, 'hybrid/t0', 'hybrid/t1');
  const { values } = second(createGuestCollectors(openKernelFiles(root), OPTIONS), show, 2000);
  // The captured machine's root cgroup tells no throttling; everything else a guest can tell is there.
  const missing = VM_GUEST_FIELDS.filter((field) => !Number.isFinite(values[field]) && field !== 'agent_health.guestCollectorsFailed');
  t.same(missing, ['vm_cpu.guestThrottledFraction', 'vm_memory.guestIdleMiB'], 'nor does its kernel track idle pages');
  const shares = ['User', 'System', 'Iowait', 'Steal'].map((part) => values[`vm_cpu.guest${part}Fraction`]!);
  t.ok(shares.every((share) => share >= 0 && share <= 1) && shares.reduce((a, b) => a + b, 0) <= 1);
  t.equal(values['vm_cpu.guestVcpusOnline'], 2);
});

t.test('known numbers', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const files = openKernelFiles(root);
  const write = (k: number): void => {
    put('proc/stat', `cpu  ${1000 + 50 * k} 0 ${500 + 20 * k} ${9000 + 100 * k} ${10 + 10 * k} 0 0 ${20 * k} 0 0\ncpu0 1 2 3\n`);
    put('proc/loadavg', '0.10 0.20 0.30 4/120 777\n');
    put('proc/uptime', '1234.50 999.00\n');
    put('sys/devices/system/cpu/online', '0,2-3\n');
    put('proc/meminfo', 'MemTotal:        1048576 kB\nMemFree: 1 kB\nMemAvailable:     524288 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\n');
    put(
      'proc/vmstat',
      `pswpin ${256 * k}\npswpout 0\npgmajfault ${8 * k}\npgfault ${90 * k}\nworkingset_refault ${30 * k}\nballoon_inflate 51200\nballoon_deflate 25600\n`,
    );
    put(
      'proc/diskstats',
      [
        '7 0 loop0 1 1 9999 1 1 1 9999 1 0 1 1',
        '253 0 dm-0 1 1 9999 1 1 1 9999 1 0 1 1',
        `8 0 sda 1 1 ${100 + 2000 * k} 1 1 1 ${50 + 1000 * k} 1 0 1 1`,
        `8 1 sda1 1 1 ${2000 * k} 1 1 1 9 1 0 1 1`,
      ].join('\n'),
    );
    for (const name of ['loop0', 'dm-0', 'sda']) put(`sys/block/${name}/size`, '1');
    put(
      'proc/net/dev',
      `Inter-| Receive\n face |bytes\n    lo: ${9999 * k} 0 0 0 0 0 0 0 ${9999 * k} 0\n  eth0:${1000 + 4000 * k} 0 0 0 0 0 0 0 ${200 + 800 * k} 0\n vnet0: ${77 * k} 0 0 0 0 0 0 0 7 0\n`,
    );
    put('sys/class/net/eth0/device/vendor', '1');
    put('sys/class/net/vnet0/mtu', '1500');
    put('sys/fs/cgroup/cpu.stat', `usage_usec 5\nthrottled_usec ${600_000 * k}\n`);
    put('proc/pressure/memory', `some avg10=0 avg60=0 avg300=0 total=${100_000 * k}\nfull avg10=0 avg60=0 avg300=0 total=${50_000 * k}\n`);
  };
  write(0);
  const guest = second(createGuestCollectors(files, OPTIONS), () => write(1), 1000).values;
  t.equal(guest['vm_cpu.guestUserFraction'], 0.25);
  t.equal(guest['vm_cpu.guestSystemFraction'], 0.1);
  t.equal(guest['vm_cpu.guestIowaitFraction'], 0.05);
  t.equal(guest['vm_cpu.guestStealFraction'], 0.1);
  t.equal(guest['vm_cpu.guestRunQueue'], 3, 'the reader itself is not counted');
  t.equal(guest['vm_cpu.guestVcpusOnline'], 3);
  t.ok(Math.abs(guest['vm_cpu.guestThrottledFraction']! - 0.2) < 1e-9);
  t.equal(guest['vm_memory.guestTotalMiB'], 1024);
  t.equal(guest['vm_memory.guestAvailableMiB'], 512);
  t.equal(guest['vm_memory.guestBalloonMiB'], 100);
  t.equal(guest['vm_memory.guestSwapUsedMiB'], 1);
  t.equal(guest['vm_memory.guestSwapInMiBPerSecond'], 1);
  t.equal(guest['vm_memory.guestRefaultsPerSecond'], 30, 'kernels before 5.9 count refaults in one number');
  t.equal(guest['vm_memory.guestMajorFaultsPerSecond'], 8);
  t.equal(guest['vm_memory.guestPageFaultsPerSecond'], 90);
  t.ok(Math.abs(guest['vm_memory.guestWorkingSetMiB']! - (512 + (30 * 4096) / 1024 / 1024)) < 1e-9, 'not available, or fetched back');
  t.equal(guest['vm_pressure.guestMemorySomeFraction'], 0.1);
  t.equal(guest['vm_pressure.guestMemoryFullFraction'], 0.05);
  t.ok(Number.isNaN(guest['vm_pressure.guestCpuSomeFraction']), 'a pressure file that is not there is unknown, not zero');
  t.equal(guest['vm_disk.guestReadBytesPerSecond'], 2000 * 512, 'whole disks only, stacked ones left out');
  t.equal(guest['vm_network.guestReceiveBytesPerSecond'], 4077, 'all but loopback');
  t.equal(guest['agent_health.guestUptimeSeconds'], 1234.5);
  write(0);
  const host = second(createHostCollectors(openKernelFiles(root), OPTIONS), () => write(1), 1000).values;
  t.equal(host['host_cpu.usageCores'], 0.7);
  t.equal(host['host_network.receiveBytesPerSecond'], 4000, 'a host counts interfaces with a device behind them');
  t.equal(host['host_disk.writeBytesPerSecond'], 1000 * 512);
});

t.test('no data is not a failure, and a failure is not no data', async (t) => {
  const empty = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(empty, { recursive: true, force: true }));
  const files = openKernelFiles(empty);
  const reports = runCollectors(createHostCollectors(files, OPTIONS), () => 1, {});
  t.same(Object.fromEntries(reports.map(({ name, outcome }) => [name, outcome])), {
    cpu: 'no-data',
    memory: 'no-data',
    pressure: 'no-data',
    disk: 'no-data',
    network: 'no-data',
    ksm: 'no-data',
    health: 'failed',
  });
  mkdirSync(join(empty, 'proc'), { recursive: true });
  writeFileSync(join(empty, 'proc/meminfo'), 'garbage\n');
  const memory = runCollectors(createHostCollectors(files, OPTIONS), () => 2, {}).find(({ name }) => name === 'memory');
  t.equal(memory?.outcome, 'failed');
  t.match(memory?.reason, /host_memory.totalMiB/);
});

t.test('one that throws takes nothing from the others, and values outside its fields are dropped', async (t) => {
  const broken: Collector = {
    name: 'broken',
    fields: ['a.x'],
    required: [],
    update: () => {
      throw new Error('boom');
    },
  };
  const absent: Collector = { name: 'absent', fields: ['a.y'], required: ['a.y'], update: () => noData('not here') };
  const good: Collector = { name: 'good', fields: ['a.z'], required: ['a.z'], update: () => reading({ 'a.z': 3, 'b.stray': 1 }) };
  const values: Record<string, number> = {};
  let nowMs = 0;
  const reports = runCollectors([broken, absent, good], () => nowMs++, values);
  t.same(
    reports.map(({ outcome, reason }) => [outcome, reason]),
    [
      ['failed', 'boom'],
      ['no-data', 'not here'],
      ['ok', ''],
    ],
  );
  t.ok(reports.every(({ durationMs }) => durationMs > 0));
  t.same(values, { 'a.z': 3 });
});

t.test("an application's metrics: read as they are now, bounded, bad lines left out", async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'proc'));
  const files = openKernelFiles(root);
  const path = join(root, 'metrics');
  const collector = createAppMetrics(files, 'metrics', new AppNames());
  const sample = (): Record<string, number> => {
    const values: Record<string, number> = {};
    runCollectors([collector], () => 1, values);
    return Object.fromEntries(Object.entries(values).filter(([field]) => field.startsWith('vm_app.')));
  };
  t.same(sample(), {});
  writeFileSync(path, 'offeredCores 1.25\nbad line here\n9x 1\nworkingSetMiB 300\nevil.name 5\n');
  t.same(sample(), { 'vm_app.offeredCores': 1.25, 'vm_app.workingSetMiB': 300 });
  writeFileSync(`${path}.new`, 'offeredCores 2e-1\n');
  renameSync(`${path}.new`, path);
  t.same(sample(), { 'vm_app.offeredCores': 0.2 }, 'a file replaced by renaming is read anew');
  writeFileSync(path, Array.from({ length: 500 }, (_, i) => `m${i} 1`).join('\n'));
  t.equal(Object.keys(sample()).length, 64 - 2, 'the two names from before keep their places');
});

t.test('kernel files: a file longer than the buffer, one that goes away and comes back', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const files = openKernelFiles(root);
  const path = join(root, 'file');
  t.equal(files.read('file'), null);
  const long = 'x'.repeat(200_000);
  writeFileSync(path, long);
  t.equal(files.read('file'), long);
  rmSync(path);
  t.equal(files.read('file'), long, 'what is open stays readable');
  files.release();
  t.equal(files.read('file'), null);
  t.equal(files.list('nowhere'), null);
});

t.test('page size and other balloon managers', async (t) => {
  t.ok([4096, 16384, 65536].includes(pageSizeBytes(openKernelFiles('/'))));
  const root = mkdtempSync(join(tmpdir(), 'headroom-collectors-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const files = openKernelFiles(root);
  t.equal(pageSizeBytes(files), 4096);
  mkdirSync(join(root, 'proc/12'), { recursive: true });
  writeFileSync(join(root, 'proc/12/comm'), 'bash\n');
  t.equal(findBalloonManager(files), null);
  mkdirSync(join(root, 'proc/13'));
  writeFileSync(join(root, 'proc/13/comm'), 'momd\n');
  t.equal(findBalloonManager(files), 'oVirt MOM');
});
