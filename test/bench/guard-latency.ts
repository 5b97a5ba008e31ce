/**
 * How long a throttled VM waits for the fast guard: from the throttling being visible in /sys to the new quota being there,
 * beyond the guard's own period. The host agent as a process, a private libvirtd, a real QEMU that computes without end; an
 * aggregator's end in this process grants the leases and lowers the cap again for each round. Output: milliseconds.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIngest, type Ingest } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { systemClock } from '../../shared/clock.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { comparePairs, type Pair, type Setting, type SettingOf } from '../../shared/resources.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { eventually } from '../support/stack.ts';
import { rounded } from './benchmark.ts';

const root = join(import.meta.dirname, '../..');
const HOST = hostId('bench-guard');
const VM = vmId('6f1b0000-0000-4000-8000-0000000002f0');
const NAME = `bench-guard-${process.pid}`;
const EPOCH = 1;
const PERIOD_MS = 500;
const ROUNDS = 120;
/** The agent's first look is over, its first rates are there. */
const SETTLE_MS = 3000;
/** One growth of the guard, and no second one. */
const LOW_CORES = 0.25;
const CEILING_CORES = 0.38;
/** Caps are whole microseconds of a period. */
const SAME_CORES = 0.001;
const POLL_MS = 2;
/** jmp to itself, 16 bytes below the end of the firmware: a processor that computes from its first moment on. */
const BUSY = Buffer.from([0xeb, 0xfe]);
const FIRMWARE_BYTES = 64 * 1024;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function startBusyDomain(socket: string, folder: string): void {
  const firmware = Buffer.alloc(FIRMWARE_BYTES);
  BUSY.copy(firmware, FIRMWARE_BYTES - 16);
  writeFileSync(join(folder, 'busy.bin'), firmware);
  const file = join(folder, 'busy.xml');
  writeFileSync(
    file,
    `<domain type='qemu'><name>${NAME}</name><uuid>${VM}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><loader readonly='yes' type='rom'>${folder}/busy.bin</loader></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/><memballoon model='virtio'/></devices></domain>`,
  );
  virsh(socket, 'create', file);
}

/** The control group of a domain's first vCPU, either version's; throws when there is none. */
export function vcpuGroup(name: string): string {
  // Version 1 has a folder per controller, and which of them are one folder differs.
  const folders = [
    ...globSync(`/sys/fs/cgroup/cpu*/machine/*${name}*/**/vcpu0`),
    ...globSync(`/sys/fs/cgroup/machine*/*${name}*/**/vcpu0`),
  ];
  const found = folders.find((folder) => existsSync(join(folder, 'cpu.cfs_quota_us')) || existsSync(join(folder, 'cpu.max')));
  if (found === undefined) throw new Error(`no control group of a vCPU of ${name} was found below /sys/fs/cgroup`);
  return found;
}

/** Where the kernel shows the quota of a domain's first vCPU. */
export function quotaFile(name: string): string {
  const folder = vcpuGroup(name);
  return join(folder, existsSync(join(folder, 'cpu.cfs_quota_us')) ? 'cpu.cfs_quota_us' : 'cpu.max');
}

/** What /sys shows of the VM's processor: its quota, and how long it was held back so far, in the kernel's own units. */
function kernelView(): { capCores: () => number; throttled: () => number } {
  const folder = vcpuGroup(NAME);
  const v1 = existsSync(join(folder, 'cpu.cfs_quota_us'));
  const quota = quotaFile(NAME);
  const field = v1 ? /throttled_time (\d+)/ : /throttled_usec (\d+)/;
  return {
    capCores() {
      const [quotaUs, periodUs] = v1
        ? [readFileSync(quota, 'utf8'), readFileSync(join(folder, 'cpu.cfs_period_us'), 'utf8')]
        : readFileSync(quota, 'utf8').split(' ');
      return Number(quotaUs) / Number(periodUs);
    },
    throttled: () => Number(field.exec(readFileSync(join(folder, 'cpu.stat'), 'utf8'))?.[1] ?? Number.NaN),
  };
}

/** The aggregator's end: knows what is in force, and lowers it. */
class End {
  readonly ingest: Ingest;
  current: SettingOf<'cpu'> | null = null;
  #pair: Pair = { epoch: EPOCH, generation: 0 };
  #commands = 0;
  #result: FrameOf<'result'> | null = null;

  constructor() {
    const nothing = (): undefined => undefined;
    this.ingest = createIngest({
      clock: systemClock,
      store: { append: async () => undefined },
      sink: {
        ...{ onHello: nothing, onConnected: nothing, onDisconnected: nothing, onBlocks: nothing },
        onInventory: (_host, { vms }) => {
          for (const vm of vms) {
            for (const setting of vm.current) this.#see(setting, null);
            for (const { resource, pair } of vm.pairs) if (resource === 'cpu') this.#see(null, pair);
          }
        },
        onEvent: (_host, { setting, pair }) => this.#see(setting, pair),
        onResult: (_host, result) => {
          this.#see(result.readBack, result.pair);
          this.#result = result;
        },
      },
      epoch: EPOCH,
      ownsVm: () => HOST,
    });
  }

  #see(setting: Setting | null, pair: Pair | null): void {
    if (setting?.resource === 'cpu') this.current = setting;
    if (pair !== null && comparePairs(pair, this.#pair) > 0) this.#pair = pair;
  }

  lease(): void {
    const allowances = [{ vm: VM, cpuCeilingCores: CEILING_CORES, memoryCeilingMiB: null }];
    this.ingest.send(HOST, { type: 'lease', epoch: EPOCH, leaseMs: 600_000, reserveCores: 1000, reserveMiB: 0, allowances });
  }

  /** Lowers the cap; false when the agent would not. */
  async lower(): Promise<boolean> {
    const previous = this.current;
    if (previous === null) return false;
    const commandId = `lower-${++this.#commands}`;
    this.#pair = { epoch: this.#pair.epoch, generation: this.#pair.generation + 1 };
    this.#result = null;
    const target: Setting = { ...previous, capCores: LOW_CORES };
    const bounds = { floor: 0.2, ceiling: 1, mode: 'auto', leaseMs: 600_000, reason: 'benchmark' } as const;
    this.ingest.send(HOST, { type: 'command', commandId, vm: VM, resource: 'cpu', pair: this.#pair, previous, target, ...bounds });
    const ended = await eventually('an answer to the command', () => (this.#result?.commandId === commandId ? this.#result : null), 20_000);
    return ended.outcome === 'applied';
  }
}

function startAgent(folder: string, socket: string, url: string): ChildProcess {
  const options: Record<string, string> = {
    host: HOST,
    connect: `qemu:///system?socket=${socket}`,
    aggregator: url,
    'state-dir': join(folder, 'state'),
    include: NAME,
    'guard-seconds': String(PERIOD_MS / 1000),
    'boot-deadline-seconds': '1',
    'inventory-seconds': '5',
  };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'agent/main.ts'), 'host', ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

/** One round: milliseconds from the first throttling seen to the new quota seen; null = the round does not count. */
async function round(end: End, kernel: ReturnType<typeof kernelView>): Promise<number | null> {
  if (!(await end.lower())) return null;
  const before = kernel.throttled();
  // The guard's turn came between the cap and our first look.
  if (kernel.capCores() > LOW_CORES + SAME_CORES) return null;
  let visibleMs = Number.NaN;
  for (const untilMs = performance.now() + 20 * PERIOD_MS; performance.now() < untilMs; await pause(POLL_MS)) {
    const nowMs = performance.now();
    if (Number.isNaN(visibleMs) && kernel.throttled() > before) visibleMs = nowMs;
    if (kernel.capCores() <= LOW_CORES + SAME_CORES) continue;
    // Written before anything was seen: the guard acted on what it had seen of the cap before.
    return Number.isNaN(visibleMs) ? null : nowMs - visibleMs;
  }
  throw new Error(`the fast guard did not raise the cap of ${LOW_CORES} cores within ${20 * PERIOD_MS} ms`);
}

export interface GuardLatency {
  guardPeriodMs: number;
  guardRounds: number;
  /** From visible to written, less the period. */
  guardLatencyMsP99: number;
  guardLatencyMsMedian: number;
  /** From visible to written, the period included. */
  guardWaitMsP99: number;
}

export async function guardLatency(tell: (progress: string) => void): Promise<GuardLatency> {
  ensurePackages(HYPERVISOR_PACKAGES, tell);
  const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-guard-'));
  const daemon = await privateLibvirtd();
  const end = new End();
  const server = await serveAgents(end.ingest, { port: 0 });
  let agent: ChildProcess | null = null;
  const random = createPrng(1, 'guard-latency');
  try {
    startBusyDomain(daemon.socket, folder);
    agent = startAgent(folder, daemon.socket, server.url);
    await eventually('the VM to be known', () => end.current);
    await pause(SETTLE_MS);
    end.lease();
    const kernel = kernelView();
    const waits: number[] = [];
    for (let n = 0; n < ROUNDS; n++) {
      // The guard's turn may come at any point of a round.
      await pause(random.next() * PERIOD_MS);
      const waitedMs = await round(end, kernel);
      if (waitedMs !== null) waits.push(waitedMs);
      if (n % 20 === 19) tell(`guard: ${waits.length} of ${n + 1} rounds`);
    }
    waits.sort((a, b) => a - b);
    const at = (share: number): number => waits[Math.min(waits.length - 1, Math.ceil(share * waits.length) - 1)] ?? Number.NaN;
    const beyond = (share: number): number => rounded(Math.max(0, at(share) - PERIOD_MS));
    return {
      ...{ guardPeriodMs: PERIOD_MS, guardRounds: waits.length, guardLatencyMsP99: beyond(0.99), guardLatencyMsMedian: beyond(0.5) },
      guardWaitMsP99: rounded(at(0.99)),
    };
  } finally {
    agent?.kill('SIGTERM');
    await end.ingest.stop();
    await server.close();
    virsh(daemon.socket, 'destroy', NAME);
    await daemon.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
