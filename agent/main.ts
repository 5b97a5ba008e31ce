/**
 * `headroom-agent`: builds the adapters of one role and runs it. Input: arguments, configuration, signals; output: the
 * service, or a one-shot command's lines and exit code (0 done, 1 not all done, 64 wrong usage, 69 something is away).
 */
import { existsSync, readFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../shared/errors.ts';
import { hostId, type VmId, vmId } from '../shared/ids.ts';
import { createLogger, type Logger } from '../shared/log.ts';
import type { Connect } from '../shared/net/transport.ts';
import { createPrng, type Prng } from '../shared/prng.ts';
import { FRAME_BYTES_MAX, GUEST_FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { setCpusOnline } from './actuators/cpus-online.ts';
import type { AppSources } from './app-sources.ts';
import { noData } from './collectors/collector.ts';
import { type KernelFiles, openKernelFiles } from './collectors/files.ts';
import { NVIDIA_SMI } from './collectors/gpu.ts';
import type { SelfUsage } from './collectors/health.ts';
import { openIdlePages } from './collectors/idle-pages.ts';
import { createGuestCollectors, createHostCollectors, createSlowGuestCollectors, createSlowHostCollectors } from './collectors/machine.ts';
import { pageSizeBytes } from './collectors/page-size.ts';
import {
  GUEST_OPTIONS,
  HOST_OPTIONS,
  LIFT_OPTIONS,
  LOOK_OPTIONS,
  optionHelp,
  parseOptions,
  RESTORE_OPTIONS,
  SWITCH_OPTIONS,
  type Values,
} from './config.ts';
import type { Spill } from './core/backlog.ts';
import { GUEST_BUFFER_LIMITS, HOST_BUFFER_LIMITS, type SampleBufferLimits } from './core/sample-buffer.ts';
import type { HostAgentSettings } from './loops/host-context.ts';
import { openStateDir } from './state-dir.ts';
import { VERSION } from './version.ts';
import { virtioPortPath } from './virtio-port-path.ts';

/*
 * Each role loads its own parts when it runs, and no others: inside a guest every MiB is the tenant's, and the hypervisor's
 * adapter, XML, YAML and HTTP would take 20 of them for nothing.
 */
const parts = {
  hostAgent: () => import('./host-agent.ts'),
  guestAgent: () => import('./guest-agent.ts'),
  libvirt: () => import('./hypervisor/libvirt/adapter.ts'),
  look: () => import('./look.ts'),
  restore: () => import('./restore.ts'),
  webSocket: () => import('../shared/net/websocket.ts'),
  virtioChannel: () => import('../shared/net/virtio-channel.ts'),
  virtioPort: () => import('../shared/net/virtio-port.ts'),
  vmCounters: () => import('./collectors/vm-counters.ts'),
  balloonManager: () => import('./collectors/balloon-manager.ts'),
  spill: () => import('./spill.ts'),
  appInputs: () => import('./loops/app-inputs.ts'),
  appSources: () => import('./app-sources.ts'),
};

/** sysexits.h */
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;
/** A stop that takes longer than this is cut short: the service manager would kill it anyway. */
const STOP_MS_MAX = 15_000;
/** A look reads twice, as far apart as its sample is long. */
const LOOK_GAP_MS_MAX = 120_000;
/** Readings farther apart than this many samples give no rate. */
const GAP_SAMPLES = 5;
/** The same for collectors that run every 15 s. */
const SLOW_GAP_MS_MAX = 75_000;
/** nvidia-smi answers in one or two seconds; it hangs when its driver does. */
const NVIDIA_MS_MAX = 10_000;

/** The kernel's own, so that a guest need not load a library of ciphers for two numbers. */
const newUuid = (): string => readText('/proc/sys/kernel/random/uuid').trim();
const randomSeed = (): number => Number.parseInt(newUuid().slice(0, 8), 16);

const readText = (path: string): string => readFileSync(path, 'utf8');
const seconds = (value: number): number => value * 1000;

interface Command {
  help: string;
  options: Parameters<typeof optionHelp>[0];
  run: (args: readonly string[]) => Promise<number>;
}

const COMMANDS: Record<string, Command> = {
  host: { help: 'runs on a KVM host beside libvirt', options: HOST_OPTIONS, run: runHost },
  guest: { help: 'runs inside a guest', options: GUEST_OPTIONS, run: runGuest },
  restore: { help: 'puts back the values from before Headroom, without service or aggregator', options: RESTORE_OPTIONS, run: runRestore },
  kill: { help: 'stops all writes of the host agent within a second', options: SWITCH_OPTIONS, run: (args) => runSwitch(args, true) },
  unkill: { help: 'takes the kill switch off', options: SWITCH_OPTIONS, run: (args) => runSwitch(args, false) },
  look: { help: 'a first look at this host: reads only, needs no aggregator', options: LOOK_OPTIONS, run: runLook },
  lift: { help: "ends a VM's holds after foreign writes", options: LIFT_OPTIONS, run: runLift },
};

async function runHost(args: readonly string[]): Promise<number> {
  const [{ createHostAgent }, { createLibvirtHypervisor }, { webSocketConnect }, { VirtioChannel }] = await Promise.all([
    parts.hostAgent(),
    parts.libvirt(),
    parts.webSocket(),
    parts.virtioChannel(),
  ]);
  const [{ createVmCounterSource }, { findBalloonManager }] = await Promise.all([parts.vmCounters(), parts.balloonManager()]);
  const config = await parseOptions(HOST_OPTIONS, args, readText);
  const log = stdoutLogger(config.logLevel);
  const files = openKernelFiles('/');
  const prng = createPrng(randomSeed());
  const counters = createVmCounterSource(files, pageSizeBytes(files));
  const agent = createHostAgent({
    hypervisor: createLibvirtHypervisor({ uri: config.connect, clock: systemClock, prng: prng.stream('libvirt') }),
    clock: systemClock,
    prng,
    connect: webSocketConnect(config.aggregator, FRAME_BYTES_MAX),
    openChannel: ({ path, name }, onSession) => {
      const own = prng.stream(`channel/${name}`);
      return new VirtioChannel({ path, name, onSession, maxBytes: GUEST_FRAME_BYTES_MAX, clock: systemClock, prng: own });
    },
    channelName: config.channel,
    collectors: createHostCollectors(files, { self: selfUsage, gapMsMax: GAP_SAMPLES * seconds(config.sampleSeconds) }),
    slowCollectors: createSlowHostCollectors(files, SLOW_GAP_MS_MAX),
    counters: {
      read: (_vm, processId) => (processId === null ? noData('its hypervisor process is not on this machine') : counters.read(processId)),
      forget: (_vm, processId) => {
        if (processId !== null) counters.forget(processId);
      },
    },
    files: openStateDir(config.stateDir),
    settings: hostSettings(config),
    log,
    bootId: newUuid(),
    version: VERSION,
    balloonManager: () => findBalloonManager(files),
    spill: await spillBelow(config.stateDir, config.ringMiB, HOST_BUFFER_LIMITS),
  });
  await agent.start();
  return untilStopped(log, () => agent.stop());
}

function hostSettings(config: Values<typeof HOST_OPTIONS>): HostAgentSettings {
  return {
    host: hostId(config.host ?? hostname()),
    include: config.include,
    sampleMs: seconds(config.sampleSeconds),
    statsMs: seconds(config.statsSeconds),
    balloonStatsMs: seconds(config.balloonStatsSeconds),
    settingsMs: seconds(config.settingsSeconds),
    inventoryMs: seconds(config.inventorySeconds),
    bootDeadlineMs: seconds(config.bootDeadlineSeconds),
    foreignHoldMs: seconds(config.foreignHoldSeconds),
    foreignRestMs: seconds(config.foreignRestSeconds),
    balloonSettleMs: seconds(config.balloonSettleSeconds),
    memoryReserveMiB: config.memoryReserveMiB,
    failSafeGrowthsPerMinute: config.failSafeGrowthsPerMinute,
    startupLeaseMs: seconds(config.startupLeaseSeconds),
  };
}

async function runGuest(args: readonly string[]): Promise<number> {
  const { createGuestAgent } = await parts.guestAgent();
  const config = await parseOptions(GUEST_OPTIONS, args, readText);
  const log = stdoutLogger(config.logLevel);
  const files = openKernelFiles('/');
  const prng = createPrng(randomSeed());
  const gapMsMax = GAP_SAMPLES * seconds(config.sampleSeconds);
  const idlePages = openIdlePages('/');
  const apps = await appSources(config, files);
  const agent = createGuestAgent({
    clock: systemClock,
    prng,
    connect: config.aggregator === null ? await portConnect(config.channel) : await guestWebSocket(config.aggregator),
    relayed: config.aggregator === null,
    vm: config.vm === null ? ownUuid() : vmId(config.vm),
    collectors: [...createGuestCollectors(files, { self: selfUsage, gapMsMax, idlePages: () => idlePages.next() }), ...apps.collectors],
    slowCollectors: [
      ...createSlowGuestCollectors(files, { gapMsMax: SLOW_GAP_MS_MAX, wallMs: systemClock.wallMs, askNvidia }),
      ...apps.slowCollectors,
    ],
    setCpusOnline: (vcpus) => setCpusOnline('/', vcpus),
    sampleMs: seconds(config.sampleSeconds),
    log,
    bootId: newUuid(),
    version: VERSION,
    // A relayed guest's rows wait in its memory and with the host agent: its disk is the tenant's.
    spill: config.aggregator === null ? null : await spillBelow(config.stateDir, config.ringMiB, GUEST_BUFFER_LIMITS),
  });
  agent.start();
  return untilStopped(log, async () => {
    await apps.close();
    await agent.stop();
  });
}

async function runRestore(args: readonly string[]): Promise<number> {
  const [{ restore }, { createLibvirtHypervisor }] = await Promise.all([parts.restore(), parts.libvirt()]);
  const config = await parseOptions(RESTORE_OPTIONS, args, readText);
  if (config.all === (config.vm !== null)) throw new HeadroomError('USAGE', 'say which VMs: either --all or --vm UUID');
  const only = config.vm === null ? null : vmId(config.vm);
  const prng: Prng = createPrng(randomSeed());
  const hypervisor = createLibvirtHypervisor({ uri: config.connect, clock: systemClock, prng });
  await hypervisor.connect();
  try {
    const lines = await restore(hypervisor, openStateDir(config.stateDir), only);
    for (const { name, vm, what, ok, detail } of lines) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} ${vm} ${what}: ${detail}`);
    if (lines.length === 0) console.log('nothing to restore: Headroom has written nothing that is in force here');
    return lines.every(({ ok }) => ok) ? 0 : 1;
  } finally {
    await hypervisor.close();
  }
}

async function runLook(args: readonly string[]): Promise<number> {
  const [{ look }, { createLibvirtHypervisor }] = await Promise.all([parts.look(), parts.libvirt()]);
  const [{ createVmCounterSource }, { findBalloonManager }] = await Promise.all([parts.vmCounters(), parts.balloonManager()]);
  const config = await parseOptions(LOOK_OPTIONS, args, readText);
  const files = openKernelFiles('/');
  const counters = createVmCounterSource(files, pageSizeBytes(files));
  await look({
    hypervisor: createLibvirtHypervisor({ uri: config.connect, readOnly: true, clock: systemClock, prng: createPrng(1) }),
    hostName: hostname(),
    collectors: createHostCollectors(files, { self: selfUsage, gapMsMax: LOOK_GAP_MS_MAX }),
    counters: (processId) => counters.read(processId),
    balloonManager: () => findBalloonManager(files),
    clock: systemClock,
    ...config,
    out: (line) => console.log(line),
  });
  return 0;
}

async function runSwitch(args: readonly string[], engaged: boolean): Promise<number> {
  const config = await parseOptions(SWITCH_OPTIONS, args, readText);
  const vm = config.vm === null ? null : vmId(config.vm);
  openStateDir(config.stateDir).setKill(vm, engaged ? config.reason : null);
  console.log(`kill switch of ${vm ?? 'this host'} is ${engaged ? 'on' : 'off'}`);
  return 0;
}

async function runLift(args: readonly string[]): Promise<number> {
  const config = await parseOptions(LIFT_OPTIONS, args, readText);
  if (config.vm === null) throw new HeadroomError('USAGE', 'say whose holds end: --vm UUID');
  openStateDir(config.stateDir).requestLift({ vm: vmId(config.vm), resource: config.resource });
  console.log('asked; the running host agent lifts the holds within a second');
  return 0;
}

/** What applications hand over; nothing is loaded or opened where nothing is asked for. */
async function appSources(config: Values<typeof GUEST_OPTIONS>, files: KernelFiles): Promise<AppSources> {
  if (config.workloadMetrics === null && config.statsd === null && config.scrape.length === 0) {
    return { collectors: [], slowCollectors: [], close: async () => {} };
  }
  const { openAppSources } = await parts.appSources();
  const inputs = config.statsd === null && config.scrape.length === 0 ? null : await parts.appInputs();
  return openAppSources({ ...config, files, inputs, monotonicMs: systemClock.monotonicMs, gapMsMax: SLOW_GAP_MS_MAX });
}

async function askNvidia(): Promise<string> {
  const { execFile } = await import('node:child_process');
  const [program, ...args] = NVIDIA_SMI;
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: NVIDIA_MS_MAX }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

async function spillBelow(directory: string, ringMiB: number, limits: SampleBufferLimits): Promise<Spill | null> {
  if (ringMiB === 0) return null;
  const { openSpill } = await parts.spill();
  return openSpill(join(directory, 'ring'), ringMiB, limits);
}

/** The port may appear after the agent: it is looked for at each attempt until it is there. */
async function portConnect(name: string): Promise<Connect> {
  const { VirtioPort } = await parts.virtioPort();
  let port: InstanceType<typeof VirtioPort> | undefined;
  return async () => {
    port ??= new VirtioPort({ path: virtioPortPath('/', name), maxBytes: GUEST_FRAME_BYTES_MAX, clock: systemClock });
    return port.connect();
  };
}

async function guestWebSocket(url: string): Promise<Connect> {
  const { webSocketConnect } = await parts.webSocket();
  return webSocketConnect(url, GUEST_FRAME_BYTES_MAX);
}

/** A guest is known by the UUID its firmware tells; only root may read it. */
function ownUuid(): VmId {
  const path = '/sys/class/dmi/id/product_uuid';
  if (!existsSync(path)) throw new HeadroomError('ENVIRONMENT', `${path} is not there: say which VM this is with --vm UUID`);
  return vmId(readText(path).trim());
}

function selfUsage(): SelfUsage {
  const { user, system } = process.cpuUsage();
  return { cpuUs: user + system, rssBytes: process.memoryUsage.rss() };
}

const stdoutLogger = (level: Values<typeof HOST_OPTIONS>['logLevel']): Logger => createLogger(writeLine, systemClock, level);

/** Straight to the descriptor: the stream takes memory, and is only made for a reader that is slow. */
function writeLine(line: string): void {
  try {
    writeSync(1, line);
  } catch {
    process.stdout.write(line);
  }
}

function untilStopped(log: Logger, stop: () => Promise<void>): Promise<number> {
  return new Promise((resolve) => {
    const end = (signal: string): void => {
      log.info('stopping', { signal });
      const late = setTimeout(() => resolve(1), STOP_MS_MAX);
      stop().then(
        () => resolve(0),
        (error: unknown) => {
          log.error('could not stop cleanly', { error: errorText(error) });
          resolve(1);
        },
      );
      late.unref();
    };
    process.once('SIGTERM', () => end('SIGTERM'));
    process.once('SIGINT', () => end('SIGINT'));
  });
}

function help(name: string | undefined): string {
  const command = name === undefined ? undefined : COMMANDS[name];
  if (command) return `headroom-agent ${name}: ${command.help}\n\n${optionHelp(command.options)}`;
  const rows = Object.entries(COMMANDS).map(([key, { help: text }]) => `  ${key.padEnd(10)}${text}`);
  return [
    `headroom-agent ${VERSION}: tells what this machine needs and carries out what the aggregator decides.`,
    '',
    ...rows,
    '  help      this text, or `help COMMAND`',
    '  version   the version',
    '',
    '`headroom-agent COMMAND --help` lists the options of a command.',
  ].join('\n');
}

async function main(args: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = args;
  if (name === 'version' || name === '--version') {
    console.log(VERSION);
    return 0;
  }
  if (name === 'help' || name === '--help' || rest.includes('--help')) {
    console.log(help(name === 'help' ? rest[0] : name));
    return 0;
  }
  const command = COMMANDS[name];
  if (!command) {
    console.error(`headroom-agent: unknown command "${name}"\n\n${help(undefined)}`);
    return EXIT_USAGE;
  }
  return command.run(rest);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`headroom-agent: ${errorText(error)}`);
    process.exit(isHeadroomError(error, 'USAGE') || isHeadroomError(error, 'CONFIG_INVALID') ? EXIT_USAGE : EXIT_UNAVAILABLE);
  },
);
