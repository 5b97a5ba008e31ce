/**
 * Goal: a VM's control groups are found in every layout libvirt makes, and counters become the cores, shares and MiB that
 * the fixtures were captured (or written) with. What a layout does not tell is unknown.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { locateVmCgroup } from '../../agent/collectors/vm-cgroup-paths.ts';
import { createVmCounterSource } from '../../agent/collectors/vm-counters.ts';
import { createVmRates, NO_COUNTERS, type VmCounters } from '../../agent/core/vm-counters.ts';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '../fixtures/procfs');
const PID = 4242;

function rates(t: { teardown(run: () => void): void }, name: string, apartMs: number) {
  const root = mkdtempSync(join(tmpdir(), 'headroom-vm-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  cpSync(join(FIXTURES, name, 't0'), root, { recursive: true });
  const source = createVmCounterSource(openKernelFiles(root), 4096);
  const toRates = createVmRates(10_000);
  const first = toRates(source.read(PID) as VmCounters, 1000);
  t.teardown(() => source.forget(PID));
  cpSync(join(FIXTURES, name, 't1'), root, { recursive: true, force: true });
  return { first, second: toRates(source.read(PID) as VmCounters, 1000 + apartMs) };
}

t.test('hybrid host, captured: v1 throttles, the unified hierarchy counts', async (t) => {
  const { first, second } = rates(t, 'hybrid', 2000);
  t.ok(Number.isNaN(first.usageCores) && Number.isNaN(first.throttledFraction), 'one reading is no rate');
  t.ok(first.rssMiB > 150 && first.rssMiB < 400, `${first.rssMiB} MiB resident`);
  // Two busy vCPUs under 30 % each.
  t.ok(Math.abs(second.usageCores - 0.6) < 0.15, `${second.usageCores} cores`);
  t.ok(second.throttledFraction > 0.4 && second.throttledFraction < 0.75, `${second.throttledFraction} throttled`);
  t.ok(second.overheadCores >= 0 && second.overheadCores < 0.5, `${second.overheadCores} overhead`);
  t.ok(second.cpuSomeFraction > 0 && second.memorySomeFraction === 0);
});

t.test('unified hierarchy', async (t) => {
  const { second } = rates(t, 'unified', 1000);
  const rounded = Object.fromEntries(Object.entries(second).map(([key, value]) => [key, Math.round(value * 1e6) / 1e6]));
  t.same(rounded, {
    usageCores: 0.8,
    overheadCores: 0.05,
    throttledFraction: 0.2,
    waitFraction: 0.2,
    rssMiB: 512,
    cpuSomeFraction: 0.25,
    memorySomeFraction: 0.12,
    memoryFullFraction: 0.06,
    ioSomeFraction: 0.03,
  });
});

t.test('layouts', async (t) => {
  const v1 = 'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n';
  const v2 = 'cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n';
  const both = `${v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
  const cases: [string, string, string, unknown][] = [
    [
      'v1 with cpu and cpuacct together, systemd',
      '4:cpu,cpuacct:/machine.slice/machine-qemu\\x2d1\\x2da.scope/vcpu0\n1:name=systemd:/x\n',
      v1,
      {
        throttle: { directory: 'sys/fs/cgroup/cpu,cpuacct/machine.slice/machine-qemu\\x2d1\\x2da.scope', version: 1 },
        usage: { directory: 'sys/fs/cgroup/cpu,cpuacct/machine.slice/machine-qemu\\x2d1\\x2da.scope', version: 1 },
        pressure: null,
      },
    ],
    [
      'v2 without a controller of its own below the machine',
      '0::/machine.slice/machine-qemu\\x2d1\\x2da.scope/libvirt\n',
      v2,
      {
        throttle: { directory: 'sys/fs/cgroup/machine.slice/machine-qemu\\x2d1\\x2da.scope/libvirt', version: 2 },
        usage: { directory: 'sys/fs/cgroup/machine.slice/machine-qemu\\x2d1\\x2da.scope/libvirt', version: 2 },
        pressure: 'sys/fs/cgroup/machine.slice/machine-qemu\\x2d1\\x2da.scope/libvirt',
      },
    ],
    [
      'v1 cpu group, unified at its root',
      '1:cpu:/machine/qemu-1-a.libvirt-qemu/emulator\n2:cpuacct:/machine/qemu-1-a.libvirt-qemu/emulator\n0::/\n',
      both,
      {
        throttle: { directory: 'sys/fs/cgroup/cpu,cpuacct/machine/qemu-1-a.libvirt-qemu', version: 1 },
        usage: { directory: 'sys/fs/cgroup/cpu,cpuacct/machine/qemu-1-a.libvirt-qemu', version: 1 },
        pressure: null,
      },
    ],
  ];
  for (const [name, cgroup, mounts, group] of cases) t.same(locateVmCgroup(cgroup, mounts), { found: true, group }, name);
  for (const [cgroup, mounts] of [
    ['1:cpu,cpuacct:/\n0::/\n', both],
    ['0::/user.slice/user-0.slice/session-1.scope\n', v2],
    ['0::/machine.slice/x/libvirt\n', ''],
    ['', v2],
  ] as const) {
    t.equal(locateVmCgroup(cgroup, mounts).found, false, `not the machine's own: ${cgroup.trim()}`);
  }
});

t.test('a process that is gone is no data, one without groups still has memory', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-vm-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const source = createVmCounterSource(openKernelFiles(root), 4096);
  t.match(source.read(1), { kind: 'no-data', reason: /gone/ });
  cpSync(join(FIXTURES, 'unified/t0/proc'), join(root, 'proc'), { recursive: true });
  rmSync(join(root, 'proc/mounts'));
  t.same(source.read(PID), { ...NO_COUNTERS, rssMiB: 512 });
});
