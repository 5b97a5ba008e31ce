/**
 * Everything `headroom-agent` can do: builds the adapters of one role or command and runs it. Input: arguments,
 * configuration, signals; output: the service, or a one-shot command's lines, and the exit code.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { hostId, vmId } from '../shared/ids.ts';
import type { Connect } from '../shared/net/transport.ts';
import { createPrng, type Prng } from '../shared/prng.ts';
import { FRAME_BYTES_MAX, GUEST_FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { noData } from './collectors/collector.ts';
import { openKernelFiles } from './collectors/files.ts';
import { createHostCollectors, createSlowHostCollectors } from './collectors/machine.ts';
import { pageSizeBytes } from './collectors/page-size.ts';
import { type Command, runCommand } from './commands.ts';
import { ENROL_OPTIONS, FORGET_OPTIONS, HOST_OPTIONS, LIFT_OPTIONS, LOOK_OPTIONS, RESTORE_OPTIONS, SWITCH_OPTIONS } from './config.ts';
import { Addresses } from './core/addresses.ts';
import type { Spill } from './core/backlog.ts';
import { HOST_BUFFER_LIMITS, type SampleBufferLimits } from './core/sample-buffer.ts';
import { exitCodeOf } from './exit-codes.ts';
import { GUEST_DIRECTORY, leaveHint } from './guest-files.ts';
import { GUEST_OPTIONS } from './guest-options.ts';
import { type GuestParts, type GuestWebSocket, runGuest } from './guest-program.ts';
import type { BuildMeans } from './loops/build-desk.ts';
import type { SuspendMeans } from './loops/create-suspension.ts';
import type { HostAgentSettings } from './loops/host-context.ts';
import type { DiskMeans } from './loops/local-disks.ts';
import type { ServedMeans } from './loops/served-disks.ts';
import { type Options, parseOptions, type Values } from './options.ts';
import { newUuid, randomSeed, readText, secondsToMs, selfUsage, stdoutLogger, untilStopped } from './service.ts';
import { findSlices } from './slice/state-files.ts';
import { openStateDir } from './state-dir.ts';
import { VERSION } from './version.ts';

/* Each role loads its own parts when it runs, and no others. */
const parts = {
  hostAgent: () => import('./host-agent.ts'),
  libvirt: () => import('./hypervisor/libvirt/adapter.ts'),
  builder: () => import('./hypervisor/libvirt/builder.ts'),
  snapshotter: () => import('./hypervisor/libvirt/snapshotter.ts'),
  diskXml: () => import('./hypervisor/libvirt/disk-xml.ts'),
  diskFiller: () => import('./hypervisor/libvirt/disk-filler.ts'),
  suspendMeans: () => import('./suspend-means.ts'),
  buildPlaces: () => import('./actuators/build-places.ts'),
  readyProbe: () => import('./actuators/ready-probe.ts'),
  look: () => import('./look.ts'),
  restore: () => import('./restore.ts'),
  unusedPlaces: () => import('./snapshot/unused-places.ts'),
  webSocket: () => import('../shared/net/websocket.ts'),
  virtioChannel: () => import('../shared/net/virtio-channel.ts'),
  vmCounters: () => import('./collectors/vm-counters.ts'),
  balloonManager: () => import('./collectors/balloon-manager.ts'),
  spill: () => import('./spill.ts'),
  agentKey: () => import('./agent-key.ts'),
  enrol: () => import('./enrol.ts'),
  credential: () => import('./actuators/credential.ts'),
};

/** A look reads twice, as far apart as its sample is long. */
const LOOK_GAP_MS_MAX = 120_000;
/** Readings farther apart than this many samples give no rate. */
const GAP_SAMPLES = 5;
/** The same for collectors that run every 15 s. */
const SLOW_GAP_MS_MAX = 75_000;

const COMMANDS: Record<string, Command> = {
  host: { help: 'runs on a KVM host beside libvirt', options: HOST_OPTIONS, run: runHost },
  guest: { help: 'runs inside a guest', options: GUEST_OPTIONS, run: (args) => runGuest(args, GUEST_PARTS) },
  restore: { help: 'puts back the values from before Headroom, without service or aggregator', options: RESTORE_OPTIONS, run: runRestore },
  kill: { help: 'stops all writes of the host agent within a second', options: SWITCH_OPTIONS, run: (args) => runSwitch(args, true) },
  unkill: { help: 'takes the kill switch off', options: SWITCH_OPTIONS, run: (args) => runSwitch(args, false) },
  look: { help: 'a first look at this host: reads only, needs no aggregator', options: LOOK_OPTIONS, run: runLook },
  lift: { help: "ends a VM's holds after foreign writes", options: LIFT_OPTIONS, run: runLift },
  enrol: {
    help: 'makes its key known to the aggregator with the token on stdin, which is written nowhere',
    options: ENROL_OPTIONS,
    run: runEnrol,
  },
  'forget-key': { help: 'the agent makes itself a new key, which a new token must enrol', options: FORGET_OPTIONS, run: runForgetKey },
  hint: { help: 'in a guest: says what will be needed, such as `hint cpu=4 in=10m for=1h`', options: {}, run: runHint },
};

/** JSON is YAML. Loaded only where there is a file to read. */
async function readConfig(path: string): Promise<unknown> {
  const { parse } = await import('yaml');
  return parse(readText(path));
}

/** The host agent's file serves its commands, too: each takes from it what concerns it; the rest is the service's to check. */
function ownPart(options: Options): (path: string) => Promise<unknown> {
  return async (path) => {
    const held = await readConfig(path);
    if (typeof held !== 'object' || held === null || Array.isArray(held)) return held;
    return Object.fromEntries(Object.entries(held).filter(([key]) => options[key] !== undefined || !Object.hasOwn(HOST_OPTIONS, key)));
  };
}

const GUEST_PARTS: GuestParts = {
  readConfig,
  webSocket: guestWebSocket,
  spill: spillBelow,
  credentials: async (options) => (await parts.credential()).createCredentialMaker(options),
};

async function runHost(args: readonly string[]): Promise<number> {
  const [{ createHostAgent }, { createLibvirtHypervisor }, { webSocketConnect }, { VirtioChannel }] = await Promise.all([
    parts.hostAgent(),
    parts.libvirt(),
    parts.webSocket(),
    parts.virtioChannel(),
  ]);
  const [{ createVmCounterSource }, { findBalloonManager }] = await Promise.all([parts.vmCounters(), parts.balloonManager()]);
  const { openAgentKey } = await parts.agentKey();
  const config = await parseOptions(HOST_OPTIONS, args, readConfig);
  const log = stdoutLogger(config.logLevel);
  const files = openKernelFiles('/');
  const prng = createPrng(randomSeed());
  const counters = createVmCounterSource(files, pageSizeBytes(files));
  const agent = createHostAgent({
    hypervisor: createLibvirtHypervisor({ uri: config.connect, clock: systemClock, prng: prng.stream('libvirt') }),
    clock: systemClock,
    prng,
    ...aggregators(config, webSocketConnect),
    prover: openAgentKey(config.stateDir, config.tokenFile),
    openChannel: ({ path, name }, onSession) => {
      const own = prng.stream(`channel/${name}`);
      return new VirtioChannel({ path, name, onSession, maxBytes: GUEST_FRAME_BYTES_MAX, clock: systemClock, prng: own });
    },
    channelName: config.channel,
    collectors: createHostCollectors(files, { self: selfUsage, gapMsMax: GAP_SAMPLES * secondsToMs(config.sampleSeconds) }),
    slowCollectors: createSlowHostCollectors(files, SLOW_GAP_MS_MAX),
    counters: {
      read: (_vm, processId) => (processId === null ? noData('its hypervisor process is not on this machine') : counters.read(processId)),
      forget: (_vm, processId) => {
        if (processId !== null) counters.forget(processId);
      },
    },
    files: openStateDir(config.stateDir),
    slices: () => findSlices(config.sliceDir),
    settings: hostSettings(config),
    log,
    bootId: newUuid(),
    version: VERSION,
    balloonManager: () => findBalloonManager(files),
    spill: await spillBelow(config.stateDir, config.ringMiB, HOST_BUFFER_LIMITS),
    ...(await buildMeans(config, prng)),
    ...(await suspendMeans(config, prng)),
  });
  await agent.start();
  return untilStopped(log, () => agent.stop());
}

/** A process that was stopped takes connections and does not answer: where there are others, they are asked soon. */
const CONNECT_MS_OF_SEVERAL = 2000;

/** Throws CONFIG_INVALID for an address that is none. */
function aggregators(
  { aggregator, caFile }: { aggregator: string; caFile: string | null },
  webSocketConnect: (url: string, maxBytes: number, ca?: string, timeoutMs?: number) => Connect,
  maxBytes = FRAME_BYTES_MAX,
): { connect: Connect; addresses: Addresses } {
  const [ca, urls] = [certificates(caFile), aggregator.split(',').map((url) => url.trim())];
  const addresses = new Addresses(urls);
  const connectTo = (url: string): Connect => webSocketConnect(url, maxBytes, ca, addresses.several ? CONNECT_MS_OF_SEVERAL : undefined);
  for (const url of urls) connectTo(url);
  return { connect: async () => connectTo(addresses.next)(), addresses };
}

/** Only where pools are named for it, or VMs that may be handed over. */
async function buildMeans(config: Values<typeof HOST_OPTIONS>, prng: Prng): Promise<{ build?: BuildMeans }> {
  const { buildPool: pools, buildNetwork: networks, buildBootFolder: bootFolder, buildVmsMax: vmsMax, buildMaxMiB: memoryMiBMax } = config;
  const { handOver } = config;
  if (pools.length === 0 && handOver.length === 0) return {};
  const [{ createLibvirtBuilder }, { createBuildPlaces }, { askGuest }] = await Promise.all([
    parts.builder(),
    parts.buildPlaces(),
    parts.readyProbe(),
  ]);
  return {
    build: {
      builder: createLibvirtBuilder({ uri: config.connect, clock: systemClock, prng: prng.stream('builder') }),
      places: createBuildPlaces(join(config.stateDir, 'seeds')),
      limits: { pools, networks, handOver, bootFolder, vmsMax, memoryMiBMax },
      ask: askGuest,
    },
  };
}

/** The one-file agent brings no machine code along; the package of the host agent does. */
function withoutNativePackage(error: unknown): never {
  throw new HeadroomError(
    'ENVIRONMENT',
    `--snapshot-dir needs a package beside the agent's file: ${errorText(error)}; install headroom-host-agent, or leave the option out`,
    { cause: error },
  );
}

/** Null: no folder is named whose disks this host alone sees. */
async function diskMeans(
  { localDisks: folders, localDisksLazily: lazily, connect: uri, snapshotRamDir }: Values<typeof HOST_OPTIONS>,
  prng: Prng,
): Promise<DiskMeans | null> {
  const wrong = folders.find((folder) => !folder.startsWith('/'));
  if (wrong !== undefined) throw new HeadroomError('CONFIG_INVALID', `localDisks: "${wrong}" is not an absolute path`);
  if (folders.length === 0) return null;
  const [{ createDiskFiller }, { fileDisksOf, withDisks, withServedDisk, withWholeDisk, policiesOf }] = await Promise.all([
    parts.diskFiller(),
    parts.diskXml(),
  ]);
  const filler = createDiskFiller({ uri, clock: systemClock, prng: prng.stream('disk-filler') });
  const served: ServedMeans = {
    ...{ lazily, sockets: join(snapshotRamDir, 'disks'), filler, policiesOf },
    ...{ withServed: withServedDisk, withWhole: withWholeDisk },
  };
  return { folders, disksOf: fileDisksOf, withDisks, served };
}

/** Only where a folder for snapshots is named. */
async function suspendMeans(config: Values<typeof HOST_OPTIONS>, prng: Prng): Promise<{ suspend?: SuspendMeans }> {
  const { connect: uri, stateDir, snapshotDir, snapshotKeyDir, snapshotRamDir: ramDir, tenantLabel } = config;
  if (snapshotDir === null) return {};
  const [{ openSuspendMeans }, { createLibvirtSnapshotter }] = await Promise.all([parts.suspendMeans(), parts.snapshotter()]).catch(
    withoutNativePackage,
  );
  const times = { learnMs: secondsToMs(config.resumeLearnSeconds), aliveMs: secondsToMs(config.resumeAliveSeconds) };
  const places = {
    stateDir,
    snapshotDir,
    tiers: config.tiers,
    keyDir: snapshotKeyDir ?? join(stateDir, 'snapshot-keys'),
    ramDir,
    tenantLabel,
    listen: config.snapshotListen,
    disks: await diskMeans(config, prng),
    ...times,
  };
  const snapshotter = createLibvirtSnapshotter({ uri, clock: systemClock, prng: prng.stream('snapshotter'), socketFolder: ramDir });
  return { suspend: await openSuspendMeans(places, snapshotter) };
}

function hostSettings(config: Values<typeof HOST_OPTIONS>): HostAgentSettings {
  return {
    host: hostId(config.host ?? hostname()),
    include: config.include,
    sampleMs: secondsToMs(config.sampleSeconds),
    guardMs: secondsToMs(config.guardSeconds),
    statsMs: secondsToMs(config.statsSeconds),
    balloonStatsMs: secondsToMs(config.balloonStatsSeconds),
    settingsMs: secondsToMs(config.settingsSeconds),
    inventoryMs: secondsToMs(config.inventorySeconds),
    bootDeadlineMs: secondsToMs(config.bootDeadlineSeconds),
    foreignHoldMs: secondsToMs(config.foreignHoldSeconds),
    foreignRestMs: secondsToMs(config.foreignRestSeconds),
    balloonSettleMs: secondsToMs(config.balloonSettleSeconds),
    memoryReserveMiB: config.memoryReserveMiB,
    failSafeGrowthsPerMinute: config.failSafeGrowthsPerMinute,
    startupLeaseMs: secondsToMs(config.startupLeaseSeconds),
  };
}

async function runRestore(args: readonly string[]): Promise<number> {
  const [{ restore }, { createLibvirtHypervisor }] = await Promise.all([parts.restore(), parts.libvirt()]);
  const config = await parseOptions(RESTORE_OPTIONS, args, ownPart(RESTORE_OPTIONS));
  if (config.all === (config.vm !== null)) throw new HeadroomError('USAGE', 'say which VMs: either --all or --vm UUID');
  const only = config.vm === null ? null : vmId(config.vm);
  const prng: Prng = createPrng(randomSeed());
  const hypervisor = createLibvirtHypervisor({ uri: config.connect, clock: systemClock, prng });
  await hypervisor.connect();
  try {
    const lines = await restore(hypervisor, openStateDir(config.stateDir), only);
    for (const { name, vm, what, ok, detail } of lines) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} ${vm} ${what}: ${detail}`);
    // Where the service suspended VMs: what shows the memory of guests that are gone would stay until the host is restarted.
    const gone = only === null && lines.every(({ ok }) => ok) ? await clearedPlaces(config.snapshotRamDir) : [];
    for (const vm of gone) console.log(`ok   - ${vm} memory: what showed it is gone, no guest lived on it`);
    if (lines.length + gone.length === 0) console.log('nothing to restore: Headroom has written nothing that is in force here');
    return lines.every(({ ok }) => ok) ? 0 : 1;
  } finally {
    await hypervisor.close();
  }
}

async function clearedPlaces(ramDir: string): Promise<string[]> {
  const { clearUnused, placesIn } = await parts.unusedPlaces();
  return clearUnused(placesIn(ramDir), () => false);
}

async function runLook(args: readonly string[]): Promise<number> {
  const [{ look }, { createLibvirtHypervisor }] = await Promise.all([parts.look(), parts.libvirt()]);
  const [{ createVmCounterSource }, { findBalloonManager }] = await Promise.all([parts.vmCounters(), parts.balloonManager()]);
  const config = await parseOptions(LOOK_OPTIONS, args, ownPart(LOOK_OPTIONS));
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
  const config = await parseOptions(SWITCH_OPTIONS, args, ownPart(SWITCH_OPTIONS));
  const vm = config.vm === null ? null : vmId(config.vm);
  openStateDir(config.stateDir).setKill(vm, engaged ? config.reason : null);
  console.log(`kill switch of ${vm ?? 'this host'} is ${engaged ? 'on' : 'off'}`);
  return 0;
}

async function runHint(args: readonly string[]): Promise<number> {
  const { resource, amount } = leaveHint(GUEST_DIRECTORY, args, newUuid());
  console.log(`left for the agent of this guest: ${amount} ${resource === 'cpu' ? 'cores' : 'MiB'} of ${resource}; a claim, not a command`);
  return 0;
}

async function runLift(args: readonly string[]): Promise<number> {
  const config = await parseOptions(LIFT_OPTIONS, args, ownPart(LIFT_OPTIONS));
  if (config.vm === null) throw new HeadroomError('USAGE', 'say whose holds end: --vm UUID');
  openStateDir(config.stateDir).requestLift({ vm: vmId(config.vm), resource: config.resource });
  console.log('asked; the running host agent lifts the holds within a second');
  return 0;
}

async function spillBelow(directory: string, ringMiB: number, limits: SampleBufferLimits): Promise<Spill | null> {
  if (ringMiB === 0) return null;
  const { openSpill } = await parts.spill();
  return openSpill(join(directory, 'ring'), ringMiB, limits);
}

async function guestWebSocket(url: string, config: Values<typeof GUEST_OPTIONS>): Promise<GuestWebSocket> {
  const [{ webSocketConnect }, { openAgentKey }] = await Promise.all([parts.webSocket(), parts.agentKey()]);
  return {
    connect: webSocketConnect(url, GUEST_FRAME_BYTES_MAX, certificates(config.caFile)),
    prover: openAgentKey(config.stateDir, config.tokenFile),
  };
}

function certificates(file: string | null): string | undefined {
  if (file === null) return undefined;
  try {
    return readText(file);
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the certificates cannot be read: ${errorText(error)}`, { cause: error });
  }
}

async function runEnrol(args: readonly string[]): Promise<number> {
  const [{ isEnrolled, openAgentKeyWith }, { enrol }, { webSocketConnect }] = await Promise.all([
    parts.agentKey(),
    parts.enrol(),
    parts.webSocket(),
  ]);
  const config = await parseOptions(ENROL_OPTIONS, args, ownPart(ENROL_OPTIONS));
  const enrolled = isEnrolled(config.stateDir);
  if (config.check || enrolled) {
    console.log(enrolled ? 'enrolled already' : 'not enrolled');
    return enrolled ? 0 : 1;
  }
  const token = readText('/dev/stdin').trim();
  if (token === '') throw new HeadroomError('USAGE', 'the token is read from stdin, and there was none; `headroom agent token` makes one');
  await enrol({
    agent: config.vm === null ? { role: 'host', host: hostId(config.host ?? hostname()) } : { role: 'guest', vm: vmId(config.vm) },
    ...aggregators(config, webSocketConnect, config.vm === null ? FRAME_BYTES_MAX : GUEST_FRAME_BYTES_MAX),
    prover: openAgentKeyWith(config.stateDir, token),
    ...{ clock: systemClock, prng: createPrng(randomSeed()), bootId: newUuid(), version: VERSION, waitMs: secondsToMs(config.waitSeconds) },
  });
  console.log('enrolled');
  return 0;
}

async function runForgetKey(args: readonly string[]): Promise<number> {
  const [{ forgetAgentKey }, config] = [await parts.agentKey(), await parseOptions(FORGET_OPTIONS, args, ownPart(FORGET_OPTIONS))];
  forgetAgentKey(config.stateDir);
  console.log('forgotten; the next connection makes a new key, which a token must enrol (--token-file)');
  return 0;
}

/** Resolves to the exit code. Packaged, this is a program of its own: its errors end here, where their class is known. */
export function run(args: readonly string[]): Promise<number> {
  const about = 'tells what this machine needs and carries out what the aggregator decides.';
  return exitCodeOf(runCommand({ name: 'headroom-agent', about, commands: COMMANDS }, args));
}
