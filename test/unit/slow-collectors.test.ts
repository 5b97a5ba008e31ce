/**
 * Goal: what runs every 15 s reads captured processes and the files kernels, drivers and log-in services write, tells "no
 * data" from failure, and names that vary are bounded.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { type Collector, runCollectors } from '../../agent/collectors/collector.ts';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { createGpu } from '../../agent/collectors/gpu.ts';
import { openIdlePages } from '../../agent/collectors/idle-pages.ts';
import { createKsm } from '../../agent/collectors/ksm.ts';
import { createNuma } from '../../agent/collectors/numa.ts';
import { createProcesses } from '../../agent/collectors/processes.ts';
import { createUsers } from '../../agent/collectors/users.ts';
import { ExtraRows } from '../../agent/core/extra-rows.ts';
import { createWorkingSet } from '../../agent/core/working-set.ts';
import { GuestFieldGate } from '../../shared/guest-fields.ts';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '../fixtures/procfs');

interface Tree {
  root: string;
  put(path: string, content: string | Buffer): void;
}

function tree(t: { teardown(run: () => void): void }): Tree {
  const root = mkdtempSync(join(tmpdir(), 'headroom-slow-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return {
    root,
    put(path, content) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    },
  };
}

function run(collector: Collector, nowMs: number) {
  const values: Record<string, number> = {};
  const [report] = runCollectors([collector], () => nowMs, values);
  return { values, report: report! };
}

t.test('processes: those of a name together, by CPU and by memory', async (t) => {
  const { root } = tree(t);
  cpSync(join(FIXTURES, 'processes/t0'), root, { recursive: true });
  const collector = createProcesses(openKernelFiles(root), 4096, 75_000);
  const first = run(collector, 1000);
  t.equal(first.report.outcome, 'ok');
  t.ok(first.values['vm_process.rssMiB.node']! > 60, 'its own name, not that of its main thread');
  t.ok(Number.isNaN(first.values['vm_process.cpuCores.node'] ?? Number.NaN), 'a rate needs two readings');
  cpSync(join(FIXTURES, 'processes/t1'), root, { recursive: true });
  const { values } = run(collector, 5000);
  t.equal(values['vm_process.cpuCores.node'], 0.05, '20 ticks in 4 s');
  t.ok(values['vm_process.rssMiB.sh']! > 0.5);
  t.notOk(
    Object.keys(values).some((field) => field.includes('kworker/')),
    'kernel threads by what they are',
  );
});

t.test('processes: names are bounded, hostile ones made plain, numbers used again', async (t) => {
  const { root, put } = tree(t);
  const stat = (pid: number, name: string, ticks: number, start: number, rss: number): void =>
    put(`proc/${pid}/stat`, `${pid} (${name}) S 1 1 1 0 -1 0 0 0 0 0 ${ticks} 0 0 0 20 0 1 0 ${start} 1000000 ${rss} 0\n`);
  const collector = createProcesses(openKernelFiles(root), 4096, 75_000);
  stat(7, 'a) R (b c/../é', 100, 50, 256);
  run(collector, 0);
  stat(7, 'other program', 30, 900, 256);
  t.same(run(collector, 15_000).values, { 'vm_process.cpuCores.other_program': 0.02, 'vm_process.rssMiB.other_program': 1 });
  put('proc/8/stat', 'cut');
  for (let n = 0; n < 200; n++) {
    stat(7, `batch-${n}`, n * 100, 1000 + n, 2560);
    run(collector, 30_000 + n * 15_000);
  }
  t.equal(collector.fields.length, 80);
  t.ok(new GuestFieldGate().accepts([...collector.fields]), 'the gate takes all of them');
  t.equal(run(collector, 31_000 + 200 * 15_000).values['vm_process.rssMiB.other'], 10, 'later names are counted together');
});

t.test('users: sessions of systemd-logind, of utmp, and the last input', async (t) => {
  const { root, put } = tree(t);
  const collector = createUsers(openKernelFiles(root), () => 1_700_000_000_000);
  t.equal(run(collector, 0).report.outcome, 'no-data');
  const record = (type: number, line: string): Buffer => {
    const bytes = Buffer.alloc(process.arch === 'arm64' ? 400 : 384);
    bytes.writeInt16LE(type);
    bytes.write(line, 8, 'latin1');
    return bytes;
  };
  put('run/utmp', Buffer.concat([record(2, '~'), record(7, 'tty1'), record(8, 'pts/0'), record(7, '../etc/shadow')]));
  put('dev/tty1', '');
  utimesSync(join(root, 'dev/tty1'), 1_700_000_000 - 90, 1_700_000_000 - 90);
  t.same(run(collector, 0).values, { 'vm_user.sessions': 2, 'vm_user.idleSeconds': 90 });
  put('run/systemd/sessions/1', 'UID=1000\nUSER=ann\nACTIVE=1\nSTATE=active\nCLASS=user\nTTY=pts/3\n');
  put('run/systemd/sessions/2', 'UID=110\nUSER=gdm\nSTATE=online\nCLASS=greeter\n');
  put('run/systemd/sessions/3', 'UID=1000\nUSER=ann\nSTATE=closing\nCLASS=user\n');
  put('dev/pts/3', '');
  utimesSync(join(root, 'dev/pts/3'), 1_700_000_000 - 5, 1_700_000_000 - 900);
  t.same(run(collector, 0).values, { 'vm_user.sessions': 1, 'vm_user.idleSeconds': 5 });
  utimesSync(join(root, 'dev/pts/3'), 1_700_000_000 - 500, 1_700_000_000 - 900);
  put('proc/interrupts', '           CPU0       CPU1\n  1:  10  5  IO-APIC   1-edge      i8042\n 24: 1 1 PCI-MSI virtio0-config\n');
  t.equal(run(collector, 10_000).values['vm_user.idleSeconds'], 500);
  put('proc/interrupts', '           CPU0       CPU1\n  1:  10  6  IO-APIC   1-edge      i8042\n 24: 1 1 PCI-MSI virtio0-config\n');
  t.equal(run(collector, 25_000).values['vm_user.idleSeconds'], 0, 'a key was pressed at the console');
  t.equal(run(collector, 40_000).values['vm_user.idleSeconds'], 15);
});

t.test("GPUs: AMD's files, NVIDIA's program, neither", async (t) => {
  const { root, put } = tree(t);
  let answer: Promise<string> = Promise.resolve('37, 2048, 15360\n[N/A], 1024, 15360\n');
  let asked = 0;
  const collector = createGpu(openKernelFiles(root), () => {
    asked++;
    return answer;
  });
  t.equal(run(collector, 0).report.outcome, 'no-data');
  t.equal(asked, 0, 'nobody is asked where the driver lists no device');
  put('sys/class/drm/card0/device/vendor', '0x1002\n');
  put('sys/class/drm/card0/device/gpu_busy_percent', '25\n');
  put('sys/class/drm/card0/device/mem_info_vram_used', `${512 * 1024 * 1024}\n`);
  put('sys/class/drm/card0/device/mem_info_vram_total', `${8192 * 1024 * 1024}\n`);
  put('sys/class/drm/card1/device/vendor', '0x1234\n');
  put('sys/class/drm/card0-HDMI-A-1/status', 'connected\n');
  const amd = { 'vm_gpu.devices': 1, 'vm_gpu.utilisationFraction': 0.25, 'vm_gpu.memoryUsedMiB': 512, 'vm_gpu.memoryTotalMiB': 8192 };
  t.same(run(collector, 0).values, amd);
  rmSync(join(root, 'sys/class/drm'), { recursive: true });
  put('proc/driver/nvidia/gpus/0000:00:05.0/information', 'Model: x\n');
  t.match(run(collector, 0).report.reason, /not answered yet/);
  await answer;
  const { values } = run(collector, 0);
  t.equal(values['vm_gpu.devices'], 2);
  t.equal(values['vm_gpu.memoryUsedMiB'], 3072);
  t.ok(Number.isNaN(values['vm_gpu.utilisationFraction']), 'one does not tell: the mean is unknown');
  await answer;
  answer = Promise.reject(new Error('driver mismatch'));
  run(collector, 0);
  await answer.catch(() => {});
  t.match(run(collector, 0).report, { outcome: 'failed', reason: /driver mismatch/ });
});

t.test('NUMA nodes and same-page merging', async (t) => {
  const { root, put } = tree(t);
  const files = openKernelFiles(root);
  const numa = createNuma(files, 75_000);
  t.equal(run(createKsm(files, 4096), 0).report.outcome, 'no-data');
  const captured = join(FIXTURES, 'hybrid/t0/sys/devices/system/node/node0');
  for (const [node, foreign] of [
    ['node0', 100],
    ['node1', 0],
  ] as const) {
    put(
      `sys/devices/system/node/${node}/meminfo`,
      readFileSync(join(captured, 'meminfo'), 'utf8').replaceAll('Node 0', `Node ${node.slice(4)}`),
    );
    put(`sys/devices/system/node/${node}/numastat`, `numa_hit 5\nnuma_foreign ${foreign}\n`);
  }
  run(numa, 0);
  put('sys/devices/system/node/node0/numastat', 'numa_hit 5\nnuma_foreign 250\n');
  const { values } = run(numa, 15_000);
  t.equal(values['host_numa.missesPerSecond.node0'], 10);
  t.equal(values['host_numa.missesPerSecond.node1'], 0);
  t.equal(values['host_numa.totalMiB.node1'], 14_641_368 / 1024, 'as captured');
  rmSync(join(root, 'sys/devices/system/node/node1'), { recursive: true });
  t.equal(run(numa, 30_000).report.outcome, 'no-data');
  put('sys/kernel/mm/ksm/pages_shared', '256\n');
  put('sys/kernel/mm/ksm/pages_sharing', '1024\n');
  t.same(run(createKsm(files, 4096), 0).values, { 'host_memory.ksmSharedMiB': 1, 'host_memory.ksmSavedMiB': 4 });
});

t.test('idle pages: known after a whole round, marked again, and never without the feature', async (t) => {
  const { root, put } = tree(t);
  const without = openIdlePages(root);
  t.ok(Number.isNaN(without.next()));
  put('sys/kernel/mm/page_idle/bitmap', Buffer.alloc(320, 0));
  const pages = openIdlePages(root);
  t.teardown(() => pages.close());
  const round = (): number => [1, 2, 3, 4].map(() => pages.next()).at(-1)!;
  t.ok(Number.isNaN(round()), 'the first round only marks');
  const marked = readFileSync(join(root, 'sys/kernel/mm/page_idle/bitmap'));
  t.ok(marked.every((byte) => byte === 0xff));
  marked.fill(0, 0, 160);
  writeFileSync(join(root, 'sys/kernel/mm/page_idle/bitmap'), marked);
  t.equal(round(), 160 * 8, 'half of them were touched');
  t.equal(round(), 320 * 8, 'and then none');
});

t.test('working set: refaults of the last minute count, idle pages do not', async (t) => {
  const workingSet = createWorkingSet();
  const levels = { totalMiB: 1000, availableMiB: 600, freeMiB: 100, idleMiB: Number.NaN, refaultMiBPerSecond: Number.NaN };
  t.equal(workingSet(levels, 0), 400);
  let thrashing = 0;
  for (let second = 1; second <= 60; second++) thrashing = workingSet({ ...levels, refaultMiBPerSecond: 5 }, second * 1000);
  t.ok(thrashing > 550 && thrashing < 700, `${thrashing} MiB`);
  t.equal(workingSet({ ...levels, refaultMiBPerSecond: 1e6 }, 61_000), 900, 'never more than the cache there is');
  t.ok(workingSet(levels, 61_000 + 3_600_000) < 401, 'and it passes');
  t.equal(workingSet({ ...levels, idleMiB: 350 }, 4_000_000), 550);
});

t.test('names that vary: a row a measurement, the list stays the same array while no name is new', async (t) => {
  const extras = new ExtraRows(['vm_cpu.a']);
  const first = extras.rows({ 'vm_cpu.a': 1, 'vm_app.x': 2, 'vm_process.rssMiB.sh': 3, 'vm_app.none': Number.NaN });
  t.same(
    first.map(({ fields, values }) => [fields, [...values]]),
    [
      [['vm_app.x'], [2]],
      [['vm_process.rssMiB.sh'], [3]],
    ],
  );
  const [second] = extras.rows({ 'vm_app.y': 5 });
  t.same(
    [second?.fields, [...(second?.values ?? [])]],
    [
      ['vm_app.x', 'vm_app.y'],
      [Number.NaN, 5],
    ],
  );
  t.equal(extras.rows({ 'vm_app.x': 5 })[0]?.fields, second?.fields);
  const flood = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`vm_app.m${i}`, i]));
  t.equal(extras.rows(flood)[0]?.fields.length, 128);
});
