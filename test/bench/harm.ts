/**
 * `bench harm`: what being managed costs three real guests, and what it brings. One answers requests that come whether it
 * is ready or not, one computes in bursts, one fills and touches memory; the same seed in every mode: never capped, a static
 * grant, a reactive control (the last value for a forecast) and Headroom. Output per mode: request latency, throttling, major
 * faults, OOM kills, how long a burst waited for its CPU and a ramp for its memory, and the memory the host has back.
 * Headroom and the control enforce as policies do unless they say otherwise: the server by weight, the batch guest by cap.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { createPrng } from '../../shared/prng.ts';
import { freePort } from '../support/free-port.ts';
import { type PrivateLibvirtd, privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { eventually, Stack } from '../support/stack.ts';
import { type TinyGuest, type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';
import { type Benchmark, median, rounded } from './benchmark.ts';
import { vcpuGroup } from './guard-latency.ts';
import { type Played, type Players, play, type Schedule, scheduleOf } from './harm-load.ts';
import { memoryOf } from './process-cost.ts';

const SEED = 7;
const MODES = ['neverCap', 'static', 'reactive', 'headroom'] as const;
type Mode = (typeof MODES)[number];
const PLAYED_MS = 70_000;
/** Load that does not count, until models are trusted to shrink (some ninety steps) and have; the control trusts the last value at once. */
const LEARNT_MS = { reactive: 20_000, headroom: 150_000 } as const;
const GUEST_MIB = 320;
const STEP_MS = 1000;
/** One request at full speed. */
const REQUEST_MS = 20;
/** A burst has its CPU when its cap allows so much. */
const BURST_CORES = 0.9;
const WATCH_MS = 100;
/** What a guest's kernel tells of its memory before it kills. */
const KILL_LINES = 60;

const NAMES = ['web', 'burst', 'memory'] as const;
type Guests = Record<(typeof NAMES)[number], TinyGuest>;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface World {
  daemon: PrivateLibvirtd;
  folder: string;
  options: Record<(typeof NAMES)[number], TinyGuestOptions>;
  guests: Guests;
}

function policyOf(mode: 'reactive' | 'headroom'): string {
  const forecaster = mode === 'reactive' ? 'last-value' : 'aggregate';
  const auto = {
    ...{ mode: 'auto', forecaster, lead: '3s', shrinkHorizon: '6s', cooldownGrow: '0s', cooldownShrink: '3s' },
    ...{ stepLimitGrowFraction: 100, stepLimitShrinkFraction: 0.5, violationBudget: 0.02 },
  };
  return JSON.stringify({
    version: 1,
    fleet: { lease: '10s', staleAfter: '30s', reserve: { cpuCores: 0, memoryMiB: 256 } },
    defaults: {
      cpu: { ...auto },
      memory: { ...auto, stepLimitShrinkFraction: 0.15, floor: 96, marginFraction: 0.15, workingSetWindow: '1m' },
    },
    rules: [{ name: 'batch by cap', match: { name: '*-burst' }, cpu: { enforcement: 'cap-always', marginFraction: 0.3 } }],
  });
}

/** What the host's own tools show of the guests while a mode is played. */
class HostView {
  readonly #world: World;
  readonly #folders: string[];
  readonly caps: { atMs: number; cores: number | null }[] = [];
  readonly #rssMiB: number[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #before: { throttledSeconds: number; majorFaults: number };
  readonly #killedBefore: number;

  constructor(world: World) {
    this.#world = world;
    this.#folders = NAMES.map((name) => vcpuGroup(world.options[name].name));
    this.#before = this.#counts();
    this.#killedBefore = this.#killed().length;
    this.#timer = setInterval(() => this.#look(), WATCH_MS);
  }

  #look(): void {
    this.caps.push({ atMs: Date.now(), cores: capIn(this.#folders[1]!) });
    this.#rssMiB.push(rssOf(this.#world));
  }

  #counts(): { throttledSeconds: number; majorFaults: number } {
    const { daemon, options } = this.#world;
    let [throttledSeconds, majorFaults] = [0, 0];
    for (const path of this.#folders) {
      const stat = readFileSync(join(path, 'cpu.stat'), 'utf8');
      throttledSeconds +=
        Number(/throttled_time (\d+)/.exec(stat)?.[1] ?? 0) / 1e9 + Number(/throttled_usec (\d+)/.exec(stat)?.[1] ?? 0) / 1e6;
    }
    for (const name of NAMES) {
      majorFaults += Number(/major_fault (\d+)/.exec(virsh(daemon.socket, 'dommemstat', options[name].name))?.[1] ?? 0);
    }
    return { throttledSeconds, majorFaults };
  }

  /** Of each kill by a guest's own OOM killer, what its console said before and of it. */
  #killed(): string[] {
    const { options, folder } = this.#world;
    return NAMES.flatMap((name) => {
      const lines = readFileSync(join(folder, `${options[name].name}.console`), 'utf8').split('\n');
      return lines.flatMap((line, at) =>
        line.includes('Out of memory: Killed') ? [`${name}:\n${lines.slice(Math.max(0, at - KILL_LINES), at + 1).join('\n')}`] : [],
      );
    });
  }

  end(): { throttledSeconds: number; majorFaults: number; killed: string[]; rssMiB: number } {
    clearInterval(this.#timer);
    const now = this.#counts();
    return {
      throttledSeconds: rounded(now.throttledSeconds - this.#before.throttledSeconds),
      majorFaults: now.majorFaults - this.#before.majorFaults,
      killed: this.#killed().slice(this.#killedBefore),
      rssMiB: this.#rssMiB.reduce((sum, value) => sum + value, 0) / Math.max(1, this.#rssMiB.length),
    };
  }
}

/** Cores; null = no cap. */
function capIn(folder: string): number | null {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8').trim();
    } catch {
      return '';
    }
  };
  const [quota, period] = read('cpu.max') === '' ? [read('cpu.cfs_quota_us'), read('cpu.cfs_period_us')] : read('cpu.max').split(' ');
  return quota === 'max' || Number(quota) < 0 ? null : Number(quota) / Number(period);
}

function rssOf({ daemon, options }: World): number {
  return NAMES.reduce((sum, name) => {
    const pid = Number(readFileSync(join(daemon.runFolder, 'qemu', `${options[name].name}.pid`), 'utf8'));
    return sum + memoryOf(pid).rssMiB;
  }, 0);
}

function statistics(played: Played, view: HostView): Record<string, number> {
  const requests = played.requestMs.toSorted((a, b) => a - b);
  const relief = played.burstsAtMs.map((atMs) => {
    const has = view.caps.find((seen) => seen.atMs >= atMs && (seen.cores === null || seen.cores >= BURST_CORES));
    return has === undefined ? Number.POSITIVE_INFINITY : (has.atMs - atMs) / 1000;
  });
  const ramps = played.ramps.map(({ atMs, doneAtMs }) => (doneAtMs - atMs) / 1000);
  const at = (values: readonly number[], share: number): number => {
    const sorted = values.toSorted((a, b) => a - b);
    return rounded(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  };
  return {
    requests: requests.length,
    unanswered: played.unanswered,
    requestMsP50: at(requests, 0.5),
    requestMsP99: at(requests, 0.99),
    reliefSecondsP50: at(relief, 0.5),
    reliefSecondsP99: at(relief, 0.99),
    memoryReliefSecondsP50: at(ramps, 0.5),
    memoryReliefSecondsP99: at(ramps, 0.99),
  };
}

async function startGuests(daemon: PrivateLibvirtd, folder: string): Promise<World> {
  const options = Object.fromEntries(
    NAMES.map((name, index) => [
      name,
      { name: `bench-harm-${process.pid}-${name}`, uuid: `6f1b0000-0000-4000-8000-0000000003f${index}`, folder, memoryMiB: GUEST_MIB },
    ]),
  ) as World['options'];
  for (const name of NAMES) {
    const file = join(folder, `${name}.xml`);
    writeFileSync(file, tinyGuestXml(options[name]));
    virsh(daemon.socket, 'create', file);
  }
  const guests: Partial<Guests> = {};
  for (const name of NAMES) guests[name] = await tinyGuest(options[name]);
  return { daemon, folder, options, guests: guests as Guests };
}

/** Every page is touched once, so that the host spends all it granted, as it does on guests that have run for a while. */
async function touchAll({ guests }: World): Promise<void> {
  for (const name of NAMES) {
    await guests[name].order(`fill ${GUEST_MIB - 90}`);
    await guests[name].order('free');
  }
}

/** Loops of the guest's shell that take as long as a request is to take. */
async function calibrated(web: TinyGuest): Promise<number> {
  const loops = 2000;
  const times: number[] = [];
  for (let n = 0; n < 5; n++) {
    const answered = new Promise<void>((resolve) => web.onLine((line) => line === `answer c${n}` && resolve()));
    const startMs = performance.now();
    web.send(`req c${n} ${loops}`);
    await answered;
    times.push(performance.now() - startMs);
  }
  return Math.round((loops * REQUEST_MS) / median(times));
}

function setStatic({ daemon, options }: World): void {
  for (const name of NAMES) {
    virsh(daemon.socket, 'schedinfo', options[name].name, '--live', '--set', 'vcpu_quota=50000');
    virsh(daemon.socket, 'setmem', options[name].name, `${Math.round(0.75 * GUEST_MIB)}M`, '--live');
  }
}

async function unset({ daemon, options }: World): Promise<void> {
  for (const name of NAMES) {
    virsh(daemon.socket, 'schedinfo', options[name].name, '--live', '--set', 'vcpu_quota=-1');
    virsh(daemon.socket, 'setmem', options[name].name, `${GUEST_MIB}M`, '--live');
  }
  const actual = (name: string): number => Number(/actual (\d+)/.exec(virsh(daemon.socket, 'dommemstat', name))?.[1]) / 1024;
  await eventually('all memory to be back', () => NAMES.every((name) => actual(options[name].name) > GUEST_MIB - 2));
}

interface Outcome {
  figures: Record<string, number>;
  killed: string[];
}

async function playMode(mode: Mode, world: World, loops: number, schedule: Schedule): Promise<Outcome> {
  const { daemon, folder, guests } = world;
  const players: Players = { ...guests, loops };
  await touchAll(world);
  const spentMiB = rssOf(world);
  let stack: Stack | null = null;
  if (mode === 'static') setStatic(world);
  if (mode === 'reactive' || mode === 'headroom') {
    const include = `bench-harm-${process.pid}-*`;
    const own = {
      folder: join(folder, mode),
      port: await freePort(),
      policy: policyOf(mode),
      include,
      stepMs: STEP_MS,
      inside: daemon.inside,
    };
    stack = new Stack(own);
    stack.startAggregator();
    await eventually('the aggregator to answer', () => stack!.get('/healthz'));
    stack.startAgent(['--guard-seconds', '0.5']);
    await play(players, scheduleOf(createPrng(SEED, 'rehearsed'), LEARNT_MS[mode]));
  } else await pause(3000);
  const view = new HostView(world);
  const played = await play(players, schedule);
  const { rssMiB, killed, ...counted } = view.end();
  if (stack !== null) {
    await stack.stop();
    await stack.agentCommand('restore', '--all', '--state-dir', stack.stateDir);
  }
  await unset(world);
  const reclaimedMiB = rounded(Math.max(0, spentMiB - rssMiB));
  const granted = NAMES.length * GUEST_MIB;
  const reclaimed = { reclaimedMiB, reclaimedFraction: rounded(reclaimedMiB / granted) };
  return { figures: { ...statistics(played, view), ...counted, oomKills: killed.length, ...reclaimed }, killed };
}

export const harm: Benchmark = {
  about: 'what being managed costs and brings three real guests: requests, bursts, memory; never capped, static, reactive, Headroom',
  async run(tell) {
    ensurePackages(HYPERVISOR_PACKAGES, tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-harm-'));
    const daemon = await privateLibvirtd();
    const modes: Partial<Record<Mode, Record<string, number>>> = {};
    try {
      const world = await startGuests(daemon, folder);
      const loops = await calibrated(world.guests.web);
      tell(`a request is ${loops} loops of the guest's shell`);
      for (const mode of MODES) {
        // The same seed for each: the same load to the millisecond.
        const schedule = scheduleOf(createPrng(SEED, 'played'), PLAYED_MS);
        const { figures, killed } = await playMode(mode, world, loops, schedule);
        modes[mode] = figures;
        tell(`${mode}: ${JSON.stringify(figures)}`);
        for (const words of killed) tell(`killed in ${words}`);
      }
      for (const name of NAMES) world.guests[name].close();
    } finally {
      for (const name of NAMES) {
        spawnSync('virsh', ['-q', '-c', `qemu+unix:///system?socket=${daemon.socket}`, 'destroy', `bench-harm-${process.pid}-${name}`]);
      }
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    }
    const p99 = (mode: Mode): number => modes[mode]?.requestMsP99 ?? Number.NaN;
    return { seed: SEED, requestP99Ratio: rounded(p99('headroom') / p99('neverCap')), modes };
  },
};
