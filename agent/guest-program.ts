/**
 * The guest's role: builds its adapters and runs it. Input: arguments, and parts that few guests need; output: the exit code
 * of the service. What is imported here is in the memory of every guest, which is its tenant's.
 */
import { existsSync } from 'node:fs';
import { systemClock } from '../shared/clock.ts';
import { HeadroomError } from '../shared/errors.ts';
import { type VmId, vmId } from '../shared/ids.ts';
import type { Connect } from '../shared/net/transport.ts';
import { VirtioPort } from '../shared/net/virtio-port.ts';
import { createPrng } from '../shared/prng.ts';
import { GUEST_FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import type { CredentialOptions } from './actuators/credential.ts';
import type { AppSources } from './app-sources.ts';
import { type KernelFiles, openKernelFiles } from './collectors/files.ts';
import { NVIDIA_SMI } from './collectors/gpu.ts';
import { openIdlePages } from './collectors/idle-pages.ts';
import { createGuestCollectors, createSlowGuestCollectors } from './collectors/machine.ts';
import { stalls } from './collectors/pressure.ts';
import type { Spill } from './core/backlog.ts';
import { GUEST_BUFFER_LIMITS, type SampleBufferLimits } from './core/sample-buffer.ts';
import { createGuestAgent } from './guest-agent.ts';
import { openGuestCpus } from './guest-cpus.ts';
import { GUEST_DIRECTORY, openGuestFiles } from './guest-files.ts';
import { GUEST_OPTIONS } from './guest-options.ts';
import type { CredentialMaker } from './loops/credential-desk.ts';
import type { Prover } from './loops/uplink.ts';
import { parseOptions, type Values } from './options.ts';
import { newUuid, randomSeed, readText, secondsToMs, selfUsage, stdoutLogger, untilStopped } from './service.ts';
import { keepHeapSmall } from './small-heap.ts';
import { VERSION } from './version.ts';
import { virtioPortPath } from './virtio-port-path.ts';

export interface GuestWebSocket {
  connect: Connect;
  prover: Prover;
}

/** Parts that only guests with a configuration file, a WebSocket or logins need. */
export interface GuestParts {
  readConfig: (path: string) => unknown;
  webSocket: (url: string, config: Values<typeof GUEST_OPTIONS>) => Promise<GuestWebSocket>;
  spill: (directory: string, ringMiB: number, limits: SampleBufferLimits) => Promise<Spill | null>;
  credentials: (options: CredentialOptions) => Promise<CredentialMaker>;
}

/** Options that need those parts. */
const OPTIONS_OF_PARTS = ['--config', '--aggregator', '--credential-account'];

/** Can a guest with these arguments do without the parts? */
export function runsLean(args: readonly string[]): boolean {
  return !args.some((arg) => arg === '--help' || OPTIONS_OF_PARTS.some((option) => arg === option || arg.startsWith(`${option}=`)));
}

function notLoaded(): never {
  throw new HeadroomError('USAGE', `a guest with ${OPTIONS_OF_PARTS.join(' or ')} needs the whole program`);
}

/** Readings farther apart than this many samples give no rate. */
const GAP_SAMPLES = 5;
/** The same for collectors that run every 15 s. */
const SLOW_GAP_MS_MAX = 75_000;
/** nvidia-smi answers in one or two seconds; it hangs when its driver does. */
const NVIDIA_MS_MAX = 10_000;

export async function runGuest(args: readonly string[], parts: GuestParts | null): Promise<number> {
  const config = await parseOptions(GUEST_OPTIONS, args, parts?.readConfig ?? notLoaded);
  const log = stdoutLogger(config.logLevel);
  const files = openKernelFiles('/');
  const prng = createPrng(randomSeed());
  const gapMsMax = GAP_SAMPLES * secondsToMs(config.sampleSeconds);
  const idlePages = openIdlePages('/');
  const apps = await appSources(config, files);
  const link =
    config.aggregator === null
      ? { connect: portConnect(config.channel) }
      : await (parts?.webSocket ?? notLoaded)(config.aggregator, config);
  const agent = createGuestAgent({
    clock: systemClock,
    prng,
    ...link,
    relayed: config.aggregator === null,
    vm: config.vm === null ? ownUuid() : vmId(config.vm),
    collectors: [...createGuestCollectors(files, { self: selfUsage, gapMsMax, idlePages: () => idlePages.next() }), ...apps.collectors],
    slowCollectors: [
      ...createSlowGuestCollectors(files, { gapMsMax: SLOW_GAP_MS_MAX, wallMs: systemClock.wallMs, askNvidia }),
      ...apps.slowCollectors,
    ],
    cpus: openGuestCpus('/', GUEST_DIRECTORY),
    credentials: await credentialMaker(config, parts),
    stalls: () => stalls(files),
    shared: openGuestFiles(GUEST_DIRECTORY),
    sampleMs: secondsToMs(config.sampleSeconds),
    log,
    bootId: newUuid(),
    version: VERSION,
    // A relayed guest's rows wait in its memory and with the host agent: its disk is the tenant's.
    spill: config.aggregator === null ? null : await (parts?.spill ?? notLoaded)(config.stateDir, config.ringMiB, GUEST_BUFFER_LIMITS),
  });
  agent.start();
  keepHeapSmall(systemClock, globalThis.gc);
  return untilStopped(log, async () => {
    await apps.close();
    await agent.stop();
  });
}

/** Null: nobody allowed logins here. */
async function credentialMaker(config: Values<typeof GUEST_OPTIONS>, parts: GuestParts | null): Promise<CredentialMaker | null> {
  const { credentialAccount: account, credentialMethod: method, credentialMinutes } = config;
  if (account === null) return null;
  return (parts?.credentials ?? notLoaded)({ account, method, keyMs: credentialMinutes * 60_000, wallMs: systemClock.wallMs, root: '/' });
}

/** What applications hand over; nothing is loaded or opened where nothing is asked for. */
async function appSources(config: Values<typeof GUEST_OPTIONS>, files: KernelFiles): Promise<AppSources> {
  if (config.workloadMetrics === null && config.statsd.length === 0 && config.scrape.length === 0) {
    return { collectors: [], slowCollectors: [], close: async () => {} };
  }
  const { openAppSources } = await import('./app-sources.ts');
  const inputs = config.statsd.length === 0 && config.scrape.length === 0 ? null : await import('./loops/app-inputs.ts');
  return openAppSources({ ...config, files, inputs, monotonicMs: systemClock.monotonicMs, gapMsMax: SLOW_GAP_MS_MAX });
}

async function askNvidia(): Promise<string> {
  const { execFile } = await import('node:child_process');
  const [program, ...args] = NVIDIA_SMI;
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: NVIDIA_MS_MAX }, (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

/** The port may appear after the agent: it is looked for at each attempt until it is there. */
function portConnect(name: string): Connect {
  let port: VirtioPort | undefined;
  return async () => {
    port ??= new VirtioPort({ path: virtioPortPath('/', name), maxBytes: GUEST_FRAME_BYTES_MAX, clock: systemClock });
    return port.connect();
  };
}

/** What the packaged unit hands over where the firmware tells nothing. */
const UNTOLD = 'unknown';

/** A guest is known by the UUID its firmware tells. Only root may read it; a service manager that runs as root hands it over. */
function ownUuid(): VmId {
  const handed = process.env.CREDENTIALS_DIRECTORY;
  for (const path of [...(handed === undefined ? [] : [`${handed}/product_uuid`]), '/sys/class/dmi/id/product_uuid']) {
    const text = existsSync(path) ? readText(path).trim() : '';
    if (text !== '' && text !== UNTOLD) return vmId(text);
  }
  throw new HeadroomError('ENVIRONMENT', 'the firmware tells no product_uuid below /sys/class/dmi/id: say which VM this is with --vm UUID');
}
