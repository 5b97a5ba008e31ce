/**
 * The options of each role and command, but the guest's. Input: none; output: tables for `parseOptions` and `optionHelp`.
 */
import { AGGREGATOR_AUTHORITY } from '../shared/aggregator-address.ts';
import { RESOURCES } from '../shared/resources.ts';
import { IDENTITY_OPTIONS, LOG_LEVEL, seconds } from './guest-options.ts';
import { matching, number, type Options, oneOf, orNull, text, texts, truth } from './options.ts';

/** Keys are the file's; flags are the same in kebab-case. */
export const HOST_OPTIONS = {
  host: {
    kind: orNull(matching(/^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/)),
    default: null,
    value: 'NAME',
    help: "this host's name (default: its host name)",
  },
  aggregator: {
    kind: text,
    default: `ws://${AGGREGATOR_AUTHORITY}/v1/agents`,
    value: 'URL',
    help: 'where the aggregator listens for agents; several, with commas between them, where there are several',
  },
  ...IDENTITY_OPTIONS,
  connect: { kind: text, default: 'qemu:///system', value: 'URI', help: 'libvirt connection' },
  stateDir: { kind: text, default: '/var/lib/headroom-agent', value: 'DIR', help: 'journals of original values, kill switches' },
  ringMiB: {
    kind: number(0, 1024 * 1024),
    default: 256,
    value: 'N',
    help: 'disk that samples may take while the aggregator is away, below the state directory; oldest given up first, 0 = memory only',
  },
  include: {
    kind: texts(),
    default: [],
    value: 'GLOB',
    help: 'names of VMs to manage, may be given several times (default: all)',
  },
  channel: { kind: text, default: 'org.headroom.agent.0', value: 'NAME', help: "guests' virtio-serial channel" },
  sampleSeconds: { kind: seconds(0.1), default: 1, value: 'N', help: 'pace of samples from /proc and control groups' },
  statsSeconds: { kind: seconds(1), default: 10, value: 'N', help: 'pace of libvirt bulk statistics; dear groups are read more seldom' },
  guardSeconds: {
    kind: seconds(0.1),
    default: 1,
    value: 'N',
    help: 'the fast guard looks at least this often, however seldom samples are taken',
  },
  balloonStatsSeconds: {
    kind: seconds(0),
    default: 10,
    value: 'N',
    help: "pace of balloon statistics, also asked of the guests' drivers; 0 leaves the drivers alone",
  },
  settingsSeconds: { kind: seconds(1), default: 10, value: 'N', help: 'pace at which values in force are read to find foreign writers' },
  inventorySeconds: { kind: seconds(1), default: 60, value: 'N', help: 'pace of full inventories' },
  bootDeadlineSeconds: {
    kind: seconds(1),
    default: 180,
    value: 'N',
    help: 'a guest that never had an agent is taken as ready after this long',
  },
  foreignHoldSeconds: { kind: seconds(1), default: 86_400, value: 'N', help: 'hands off after a foreign write' },
  foreignRestSeconds: {
    kind: seconds(1),
    default: 10,
    value: 'N',
    help: 'a balloon resting away from its target for this long was moved by someone else',
  },
  balloonSettleSeconds: {
    kind: number(0, 60),
    default: 2,
    value: 'N',
    help: 'wait for a balloon before its size is reported',
  },
  buildPool: {
    kind: texts(64),
    default: [],
    value: 'POOL',
    help: 'storage pools from which and in which VMs of groups may be made, may be given several times (default: none are made)',
  },
  buildNetwork: {
    kind: texts(64),
    default: [],
    value: 'NAME',
    help: 'libvirt networks and bridges that VMs made here may use, `user` for user-mode networks',
  },
  buildBootFolder: {
    kind: orNull(matching(/^\//)),
    default: null,
    value: 'DIR',
    help: 'kernels that VMs made here may boot directly lie there (default: none may)',
  },
  handOver: {
    kind: texts(64),
    default: [],
    value: 'PATTERN',
    help: 'VMs made by others that may be handed over to groups, `*` for any letters',
  },
  buildVmsMax: { kind: number(0, 10_000), default: 16, value: 'N', help: 'VMs made here at once' },
  buildMaxMiB: { kind: number(16), default: 16_384, value: 'N', help: 'memory of a VM made here at most' },
  snapshotDir: {
    kind: orNull(matching(/^\//)),
    default: null,
    value: 'DIR',
    help: 'where snapshots of suspended VMs go, sealed; without it no VM of this host is suspended (the default)',
  },
  tiers: {
    kind: texts(600),
    default: [],
    value: 'DIR=SIZE',
    help: "where snapshots' chunks go instead of --snapshot-dir, the quickest first, each with the most it may take, such as /mnt/nvme/headroom=200GiB; ram=SIZE keeps those read lately in memory; may be given several times",
  },
  snapshotKeyDir: {
    kind: orNull(matching(/^\//)),
    default: null,
    value: 'DIR',
    help: "the snapshots' keys; best on another disk, in no backup of them (default: below the state directory)",
  },
  snapshotListen: {
    kind: orNull(text),
    default: null,
    value: 'ADDRESS:PORT',
    help: 'where other hosts fetch snapshots of VMs that are brought back there; without it they are brought back here alone (the default)',
  },
  localDisks: {
    kind: texts(600),
    default: [],
    value: 'DIR',
    help: "VMs' disks below it are seen by this host alone: they are taken into the snapshots of suspended VMs, so that another host may bring those back, and those of VMs that come from elsewhere go into the first; may be given several times (default: every host sees every disk)",
  },
  localDisksLazily: {
    kind: truth,
    default: false,
    value: '',
    help: 'a VM that comes from elsewhere runs before all of its --local-disks has come: until then it depends on the host it came from (default: they come whole first)',
  },
  snapshotRamDir: { kind: text, default: '/run/headroom-resumed', value: 'DIR', help: 'in RAM: what resumed guests write goes there' },
  tenantLabel: {
    kind: text,
    default: 'tenant',
    value: 'NAME',
    help: "label that names a VM's tenant: nothing is shared between tenants' snapshots",
  },
  resumeLearnSeconds: {
    kind: seconds(1),
    default: 30,
    value: 'N',
    help: 'what a resumed VM touched within this time is fetched first the next time',
  },
  resumeAliveSeconds: {
    kind: seconds(1),
    default: 60,
    value: 'N',
    help: 'a resumed VM that gives no sign of life keeps its older snapshots',
  },
  sliceDir: {
    kind: text,
    default: '/run/headroom-slice',
    value: 'DIR',
    help: 'where programs that lend and borrow memory tell of themselves; what is lent is not there for VMs',
  },
  memoryReserveMiB: {
    kind: number(0),
    default: 256,
    value: 'N',
    help: "memory of the host this agent never lets VMs' grants touch",
  },
  failSafeGrowthsPerMinute: {
    kind: number(0.1, 60),
    default: 3,
    value: 'N',
    help: 'growths towards the baseline while no aggregator is there',
  },
  startupLeaseSeconds: {
    kind: seconds(1),
    default: 60,
    value: 'N',
    help: 'wait for an aggregator after a restart before the fail-safe acts',
  },
  logLevel: LOG_LEVEL,
} satisfies Options;

export const RESTORE_OPTIONS = {
  connect: HOST_OPTIONS.connect,
  stateDir: HOST_OPTIONS.stateDir,
  snapshotRamDir: HOST_OPTIONS.snapshotRamDir,
  all: { kind: truth, default: false, value: '', help: 'every VM of this host' },
  vm: { kind: orNull(text), default: null, value: 'UUID', help: 'this VM only' },
} satisfies Options;

export const SWITCH_OPTIONS = {
  stateDir: HOST_OPTIONS.stateDir,
  vm: { kind: orNull(text), default: null, value: 'UUID', help: 'this VM only (default: the whole host)' },
  reason: { kind: text, default: 'by command line', value: 'TEXT', help: 'shown wherever the switch is' },
} satisfies Options;

export const ENROL_OPTIONS = {
  aggregator: HOST_OPTIONS.aggregator,
  caFile: HOST_OPTIONS.caFile,
  stateDir: HOST_OPTIONS.stateDir,
  host: HOST_OPTIONS.host,
  vm: { kind: orNull(text), default: null, value: 'UUID', help: 'this is the guest agent of that VM (default: the agent of this host)' },
  check: { kind: truth, default: false, value: '', help: 'only tells whether it is enrolled: exit code 0 or 1' },
  waitSeconds: { kind: seconds(1), default: 30, value: 'N', help: 'how long an aggregator that is away is waited for' },
} satisfies Options;

export const FORGET_OPTIONS = { stateDir: HOST_OPTIONS.stateDir } satisfies Options;

export const LIFT_OPTIONS = {
  stateDir: HOST_OPTIONS.stateDir,
  vm: { kind: orNull(text), default: null, value: 'UUID', help: 'the VM whose holds end' },
  resource: {
    kind: orNull(oneOf(RESOURCES)),
    default: null,
    value: 'NAME',
    help: 'this resource only',
  },
} satisfies Options;

export const LOOK_OPTIONS = {
  connect: HOST_OPTIONS.connect,
  sampleSeconds: { kind: number(1, 45), default: 10, value: 'N', help: 'how long to watch' },
  json: { kind: truth, default: false, value: '', help: 'one JSON line instead of text' },
} satisfies Options;
