/**
 * `bench undo`: how fast what Headroom did is stopped and taken back, on a hundred real domains: from the host's kill switch,
 * thrown while each of them is written to without a pause, to the last write that reaches a control group; and `restore --all` with no
 * agent running, from its start to its end, each domain read back from the kernel. An aggregator's end in this process sends
 * the commands. Output: milliseconds, seconds, and how many were written, refused and put back.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStateDir } from '../../agent/state-dir.ts';
import { createIngest, type Ingest } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { systemClock } from '../../shared/clock.ts';
import { hostId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { CpuSetting } from '../../shared/resources.ts';
import { privateLibvirtd } from '../support/libvirtd.ts';
import { eventually } from '../support/stack.ts';
import { type Benchmark, rounded } from './benchmark.ts';
import { quotaFile } from './guard-latency.ts';
import { haltedName, startHaltedDomains, tellHaltedDomains } from './halted-domains.ts';

const DOMAINS = 100;
const HOST = hostId('bench-undo');
const EPOCH = 1;
/** Every domain gets one and the other in turn: nothing but the switch ends that. */
const CAPS = { first: 0.5, second: 0.6 };
/** The switch is thrown once so many of those writes were seen: by then they follow each other. */
const UNDER_WAY = 150;
const POLL_MS = 5;
/** After a switch nothing more comes; this long is waited to see it. */
const QUIET_MS = 5000;
const LEASE_MS = 600_000;
const root = join(import.meta.dirname, '../..');

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The aggregator's end: what each VM has, and what became of commands. */
class End {
  readonly ingest: Ingest;
  readonly current = new Map<string, CpuSetting>();
  readonly results: FrameOf<'result'>[] = [];
  #generation = 0;
  /** Each cap that was applied is followed by the other. */
  #alternating = false;

  constructor() {
    const nothing = (): undefined => undefined;
    this.ingest = createIngest({
      clock: systemClock,
      store: { append: async () => undefined },
      sink: {
        ...{ onHello: nothing, onConnected: nothing, onDisconnected: nothing, onBlocks: nothing, onEvent: nothing },
        onInventory: (_host, { vms }) => {
          for (const { vm, current } of vms) for (const setting of current) if (setting.resource === 'cpu') this.current.set(vm, setting);
        },
        onResult: (_host, result) => {
          this.results.push(result);
          if (result.readBack?.resource !== 'cpu') return;
          this.current.set(result.vm, result.readBack);
          if (this.#alternating && result.outcome === 'applied') this.#cap(result.vm, otherCap(result.readBack.capCores));
        },
      },
      epoch: EPOCH,
      ownsVm: () => HOST,
    });
  }

  capAll(capCores: number): void {
    this.results.length = 0;
    for (const vm of this.current.keys()) this.#cap(vm, capCores);
  }

  alternate(): void {
    this.#alternating = true;
    this.capAll(CAPS.second);
  }

  #cap(vm: string, capCores: number): void {
    const previous = this.current.get(vm)!;
    const pair = { epoch: EPOCH, generation: ++this.#generation };
    const bounds = { floor: 0.2, ceiling: 1, mode: 'auto', leaseMs: LEASE_MS, reason: 'benchmark' } as const;
    const commandId = `${pair.generation}/${vm}`;
    const target = { ...previous, capCores };
    this.ingest.send(HOST, { type: 'command', commandId, vm, resource: 'cpu', pair, previous, target, ...bounds });
  }

  count(outcome: FrameOf<'result'>['outcome']): number {
    return this.results.filter((result) => result.outcome === outcome).length;
  }
}

const otherCap = (capCores: number | null): number => (capCores === CAPS.first ? CAPS.second : CAPS.first);

function agent(command: string, ...flags: string[]): ChildProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'agent/main.ts'), command, ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(child.exitCode)));

/** Throws the switch while caps are being written: milliseconds from then to the last that was seen to change. */
async function stopMs(end: End, files: readonly string[], stateDir: string): Promise<number> {
  const quotas = (): string[] => files.map((file) => readFileSync(file, 'utf8'));
  let seen = quotas();
  let changed = 0;
  const look = (): boolean => {
    const now = quotas();
    const moved = now.filter((quota, i) => quota !== seen[i]).length;
    seen = now;
    changed += moved;
    return moved > 0;
  };
  end.alternate();
  for (const untilMs = performance.now() + 60_000; changed < UNDER_WAY; await pause(POLL_MS)) {
    look();
    if (performance.now() > untilMs) throw new Error(`only ${changed} caps were written within a minute`);
  }
  const thrownMs = performance.now();
  openStateDir(stateDir).setKill(null, 'benchmark');
  let lastMs = thrownMs;
  for (; performance.now() - lastMs < QUIET_MS; await pause(POLL_MS)) if (look()) lastMs = performance.now();
  return lastMs - thrownMs;
}

export const undo: Benchmark = {
  about: `how fast the kill switch stops writes, and \`restore --all\` undoes them, on ${DOMAINS} real domains`,
  async run(tell) {
    ensurePackages(HYPERVISOR_PACKAGES, tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-undo-'));
    const daemon = await privateLibvirtd();
    const end = new End();
    const server = await serveAgents(end.ingest, { port: 0 });
    const place = ['--connect', `qemu:///system?socket=${daemon.socket}`, '--state-dir', join(folder, 'state')];
    let host: ChildProcess | null = null;
    let qemus: number[] = [];
    try {
      tell(`starting ${DOMAINS} domains`);
      qemus = startHaltedDomains(daemon.socket, daemon.runFolder, folder, DOMAINS);
      tellHaltedDomains(daemon.socket, DOMAINS, 'resume');
      const files = Array.from({ length: DOMAINS }, (_, index) => quotaFile(haltedName(index)));
      const before = files.map((file) => readFileSync(file, 'utf8'));
      host = agent('host', '--host', HOST, '--aggregator', server.url, '--boot-deadline-seconds', '1', ...place);
      await eventually('all domains to be known', () => end.current.size === DOMAINS, 180_000);
      end.capAll(CAPS.first);
      await eventually('all caps to be in force', () => end.count('applied') === DOMAINS, 180_000);
      tell('caps are in force; the kill switch is thrown while others are written');
      const killToLastWriteMs = await stopMs(end, files, join(folder, 'state'));
      const [written, refused] = [end.count('applied'), end.count('refused')];
      if (refused < DOMAINS) throw new Error(`${refused} of ${DOMAINS} domains had a write refused: it was not the switch that ended them`);
      host.kill('SIGTERM');
      await ended(host);
      tell(`last write ${rounded(killToLastWriteMs)} ms after the switch, ${written} written, ${refused} refused; restore --all`);
      const startedMs = performance.now();
      const code = await ended(agent('restore', '--all', ...place));
      const restoreSeconds = (performance.now() - startedMs) / 1000;
      const restored = files.filter((file, i) => readFileSync(file, 'utf8') === before[i]).length;
      tell(`${restored} of ${DOMAINS} domains restored in ${rounded(restoreSeconds)} s`);
      if (code !== 0) throw new Error(`restore ended with ${code}, ${restored} of ${DOMAINS} domains are as before`);
      return {
        ...{ domains: DOMAINS, killToLastWriteMs: rounded(killToLastWriteMs), writtenBeforeKill: written, refusedAfterKill: refused },
        ...{ restoreSeconds: rounded(restoreSeconds), restored },
      };
    } finally {
      host?.kill('SIGTERM');
      await end.ingest.stop();
      await server.close();
      // Quicker than to have each destroyed in turn.
      for (const qemu of qemus) if (existsSync(`/proc/${qemu}`)) process.kill(qemu, 'SIGKILL');
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
