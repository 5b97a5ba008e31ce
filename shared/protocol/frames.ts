/**
 * The frames of the wire in its newest version: schemas are the single source of types. Receivers validate a frame against
 * its schema before anything reads it. What older versions know of them: versions.ts. Agents speak `hello` first; the aggregator answers `welcome` or `error`.
 * Host agents answer guest agents in the aggregator's place on the virtio-serial channel (same frames).
 */

import type { Static } from 'typebox';
import * as Type from 'typebox';
import { UUID_SOURCE } from '../ids.ts';
import { MODES, OUTCOMES, RESOURCES, VM_STATES } from '../resources.ts';
import { BuildFrame, BuildResultFrame } from './build-frames.ts';
import { ChallengeFrame, ProofFrame } from './identity-frames.ts';
import { SuspendedFrame, SuspendFrame, SuspendResultFrame } from './suspend-frames.ts';
import { VmActionFrame, VmActionResultFrame } from './vm-action-frames.ts';

/** Largest frame accepted, checked before decoding: a full batch of 50 rows of 40 fields for 100 VMs takes about 1.6 MB. */
export const FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Largest frame a guest may send: one VM's batch is far smaller. */
export const GUEST_FRAME_BYTES_MAX = 256 * 1024;

const unsigned = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const text = (maxLength: number) => Type.String({ maxLength });
const uuid = Type.String({ pattern: `^${UUID_SOURCE}$` });
const hostName = Type.String({ pattern: '^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$' });
const limit = Type.Union([Type.Number({ minimum: 0 }), Type.Null()]);
/** Where an aggregator listens for agents. */
const AgentsUrl = Type.String({ pattern: '^wss?(\\+unix)?:', maxLength: 512 });
const ResourceSchema = Type.Enum(RESOURCES);
export const LaneSchema = Type.Enum(['live', 'backlog'] as const);
export type Lane = Static<typeof LaneSchema>;

export const PairSchema = Type.Object({ epoch: unsigned, generation: unsigned });

export const SettingSchema = Type.Union([
  Type.Object({ resource: Type.Literal('cpu'), weight: Type.Number({ minimum: 0.1, maximum: 26000 }), capCores: limit }),
  Type.Object({ resource: Type.Literal('memory'), memoryMiB: Type.Number({ minimum: 0 }) }),
  Type.Object({ resource: Type.Literal('network'), inboundBytesPerSecond: limit, outboundBytesPerSecond: limit }),
  Type.Object({ resource: Type.Literal('disk'), bytesPerSecond: limit, iops: limit }),
]);

/** Agent → aggregator (or guest agent → host agent): who speaks. */
export const HelloFrame = Type.Object({
  type: Type.Literal('hello'),
  versions: Type.Array(Type.Integer({ minimum: 1, maximum: 1000 }), { minItems: 1, maxItems: 16 }),
  role: Type.Enum(['host', 'guest'] as const),
  /** Host agents: the host's name. Guest agents on a WebSocket: null. */
  host: Type.Union([hostName, Type.Null()]),
  /** Guest agents: the VM's UUID by DMI (a claim on virtio-serial, where the host agent stamps it). Host agents: null. */
  vm: Type.Union([uuid, Type.Null()]),
  bootId: text(64),
  agentVersion: text(64),
  capabilities: Type.Array(text(64), { maxItems: 64 }),
  wallMs: Type.Number(),
  monotonicMs: Type.Number(),
  /** Where host agents have just looked in vain for an aggregator, or for one that can look after them; absent: nowhere. Older ends do not look at it. */
  unreachable: Type.Optional(Type.Array(AgentsUrl, { maxItems: 16 })),
  /** Host agents: what their fast guard may still hand out, what it just hands out included; absent: unknown. Older ends do not look at it. */
  guardReserve: Type.Optional(Type.Object({ cores: Type.Number({ minimum: 0 }), memoryMiB: Type.Number({ minimum: 0 }) })),
  /** Highest pair this agent ever accepted, per VM and resource: the aggregator begins above it. */
  highestPairs: Type.Array(Type.Object({ vm: uuid, resource: ResourceSchema, pair: PairSchema }), { maxItems: 20000 }),
});

export const WelcomeFrame = Type.Object({
  type: Type.Literal('welcome'),
  version: Type.Integer(),
  connectionId: text(64),
  epoch: unsigned,
  heartbeatMs: Type.Number({ minimum: 100 }),
  /** Frames the agent may have unacknowledged, per lane. */
  window: Type.Integer({ minimum: 1 }),
  /** Rows per second the agent may replay from its backlog: limited fleet-wide. */
  backlogRowsPerSecond: Type.Number({ minimum: 0 }),
  wallMs: Type.Number(),
  /** Where host agents find the aggregators that live, this one included, beside what they were given; absent: no others. Since version 2. */
  aggregators: Type.Optional(Type.Array(AgentsUrl, { maxItems: 64 })),
  /** Frames beyond the first ones of this version that the other end understands; absent = none. */
  capabilities: Type.Optional(Type.Array(text(64), { maxItems: 64 })),
  /** The agent's key that is in force from now on; absent = none was asked for. */
  keyId: Type.Optional(text(64)),
});

/**
 * One block on the wire. `set` numbers its field list within this connection; `fields` comes with the first use.
 * `times` and `values` are little-endian Float64 arrays as bytes.
 */
export const WireBlock = Type.Object({
  kind: Type.Enum(['vm', 'host'] as const),
  id: text(128),
  source: Type.Enum(['host', 'guest'] as const),
  set: Type.Integer({ minimum: 0, maximum: 4095 }),
  fields: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 128 }), { minItems: 1, maxItems: 128 })),
  times: Type.Unsafe<Uint8Array>(Type.Any()),
  values: Type.Unsafe<Uint8Array>(Type.Any()),
});

export const TelemetryFrame = Type.Object({
  type: Type.Literal('telemetry'),
  lane: LaneSchema,
  seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** Sender's clocks when it encoded the frame: the receiver judges ages by its own monotonic clock. */
  wallMs: Type.Number(),
  monotonicMs: Type.Number(),
  blocks: Type.Array(WireBlock, { maxItems: 4096 }),
});

/** Rows up to `toSeq` of this lane are in the store. */
export const AckFrame = Type.Object({
  type: Type.Literal('ack'),
  bootId: text(64),
  lane: LaneSchema,
  fromSeq: unsigned,
  toSeq: unsigned,
  /** So long may rows be gathered from now on before they are sent; absent: as before. */
  flushMs: Type.Optional(Type.Number({ minimum: 100, maximum: 60_000 })),
});

const EligibilitySchema = Type.Union([
  Type.Object({ allowed: Type.Literal(true) }),
  Type.Object({ allowed: Type.Literal(false), reason: text(1024) }),
]);

/** What of the host stands behind one virtual resource. */
const VmDevice = Type.Object({ resource: ResourceSchema, virtual: text(256), physical: text(256) });
export type VmDevice = Static<typeof VmDevice>;

export const VmInventory = Type.Object({
  vm: uuid,
  name: text(256),
  state: Type.Enum(VM_STATES),
  vcpus: Type.Number({ minimum: 0 }),
  bootMemoryMiB: Type.Number({ minimum: 0 }),
  /** What QEMU itself spends beside guest memory, as measured, null = not known yet. */
  overheadMiB: Type.Union([Type.Number(), Type.Null()]),
  /** The host's NUMA node all its memory is placed on; null or absent = none or several. */
  numaNode: Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: 1023 }), Type.Null()])),
  osFamily: Type.Union([text(32), Type.Null()]),
  labels: Type.Record(Type.String({ maxLength: 64 }), text(256)),
  eligibility: Type.Object({ cpu: EligibilitySchema, memory: EligibilitySchema, network: EligibilitySchema, disk: EligibilitySchema }),
  /** What the persistent definition granted when Headroom first took control. */
  baseline: Type.Array(SettingSchema, { maxItems: 4 }),
  /** In force now, as read back. */
  current: Type.Array(SettingSchema, { maxItems: 4 }),
  pairs: Type.Array(Type.Object({ resource: ResourceSchema, pair: PairSchema }), { maxItems: 4 }),
  /** Hands off: a foreign writer, a kill switch, a running job. `forMs` remaining, null = until lifted. */
  holds: Type.Array(Type.Object({ resource: ResourceSchema, reason: text(256), forMs: Type.Union([Type.Number(), Type.Null()]) }), {
    maxItems: 32,
  }),
  jobActive: Type.Boolean(),
  /** Its network is cut off by us, and for how much longer; absent = it is not. */
  isolation: Type.Optional(Type.Object({ reason: text(256), forMs: Type.Number({ minimum: 0 }) })),
  guestAgent: Type.Boolean(),
  /**
   * How many of its vCPUs are online in the guest as far as Headroom changed that. Absent: their number is not to be changed
   * (no label, no guest agent that can put it back). Older ends do not look at it.
   */
  vcpusOnline: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096 })),
  devices: Type.Optional(Type.Array(VmDevice, { maxItems: 32 })),
  missingSignals: Type.Array(text(128), { maxItems: 64 }),
});
export type VmInventory = Static<typeof VmInventory>;

/** Host agent → aggregator: the host and its VMs. `full` replaces what was known; otherwise VMs are upserted. */
export const InventoryFrame = Type.Object({
  type: Type.Literal('inventory'),
  full: Type.Boolean(),
  host: Type.Object({
    cpuCores: Type.Number({ minimum: 0 }),
    memoryMiB: Type.Number({ minimum: 0 }),
    numaNodes: Type.Array(Type.Object({ id: Type.Integer(), memoryMiB: Type.Number() }), { maxItems: 1024 }),
    architecture: text(32),
    hypervisorVersion: text(64),
    /** Another balloon manager seen on this host (oVirt MOM, Proxmox): memory auto is off there. */
    balloonManager: Type.Union([text(64), Type.Null()]),
    hypervisorConnected: Type.Boolean(),
    killSwitch: Type.Boolean(),
  }),
  vms: Type.Array(VmInventory, { maxItems: 4096 }),
  gone: Type.Array(uuid, { maxItems: 4096 }),
});

/** Host agent → aggregator: something happened there. */
export const EVENT_KINDS = [
  'lifecycle',
  'foreign-writer',
  'guard-grew',
  'guard-deflated',
  'lease-expired',
  'restored',
  'stuck-domain',
  'hypervisor-connection',
  'kill-switch',
  'guest-agent',
  /** The VM has gone on to another host, alive. Since version 2. */
  'migrated',
] as const;
export const EventFrame = Type.Object({
  type: Type.Literal('event'),
  kind: Type.Enum(EVENT_KINDS),
  vm: Type.Union([uuid, Type.Null()]),
  resource: Type.Union([ResourceSchema, Type.Null()]),
  wallMs: Type.Number(),
  message: text(1024),
  /** The setting in force after the event, where there is one. */
  setting: Type.Union([SettingSchema, Type.Null()]),
  /** The pair after the event (the fast guard advances the generation). */
  pair: Type.Union([PairSchema, Type.Null()]),
  /** Of vCPUs that were brought back: how many were online before, and whether the guest needed more. */
  vcpus: Type.Optional(Type.Object({ from: Type.Integer({ minimum: 1, maximum: 4096 }), needed: Type.Boolean() })),
});

/** Aggregator → host agent: one idempotent instruction for one VM and resource. */
export const CommandFrame = Type.Object({
  type: Type.Literal('command'),
  commandId: text(128),
  vm: uuid,
  resource: ResourceSchema,
  pair: PairSchema,
  leaseMs: Type.Number({ minimum: 0 }),
  previous: SettingSchema,
  target: SettingSchema,
  /** Least and most the policy allows, in the resource's headline unit (cores, MiB, bytes/s): the guard refuses beyond. */
  floor: Type.Number({ minimum: 0 }),
  ceiling: Type.Number({ minimum: 0 }),
  mode: Type.Enum(MODES),
  reason: text(1024),
});

/** Base64url of so many bytes at least and at most. */
const base64url = (least: number, most: number) =>
  Type.String({ pattern: '^[A-Za-z0-9_-]+$', minLength: Math.ceil((least * 4) / 3), maxLength: Math.ceil((most * 4) / 3) });

/** A user's public key as a JSON Web Key (RFC 7517, RFC 8037): X25519, or RSA of 2048 to 8192 bits. */
export const PublicKeySchema = Type.Union([
  Type.Object({ kty: Type.Literal('OKP'), crv: Type.Literal('X25519'), x: base64url(32, 32) }),
  Type.Object({ kty: Type.Literal('RSA'), n: base64url(256, 1024), e: base64url(1, 8) }),
]);

/** Aggregator → guest agent (relayed). */
export const GuestCommandFrame = Type.Object({
  type: Type.Literal('guest-command'),
  commandId: text(128),
  vm: uuid,
  pair: PairSchema,
  action: Type.Union([
    /** `original`: whatever the number says, all that were online before the first such command; older guests go by the number. */
    Type.Object({
      kind: Type.Literal('cpus-online'),
      vcpus: Type.Integer({ minimum: 1, maximum: 4096 }),
      original: Type.Optional(Type.Boolean()),
    }),
    Type.Object({ kind: Type.Literal('credential'), publicKey: PublicKeySchema }),
  ]),
});
export type PublicKey = Static<typeof PublicKeySchema>;

export const CREDENTIAL_METHODS = ['ssh-key', 'password'] as const;
/** What the guest agent does for a login, in order. */
export const CREDENTIAL_PHASES = ['secret', 'encrypt', 'account'] as const;
/** Time within the work in which something waited (PSI "some"); null = the guest's kernel does not tell. */
const stalledMs = Type.Union([Type.Number({ minimum: 0 }), Type.Null()]);

/**
 * Guest agent → host agent → aggregator: how far a login is that was asked for by a `credential` action. `working` comes once
 * a second until it ends. The secret is in `sealed` alone, which only the user's key opens.
 */
export const CredentialFrame = Type.Object({
  type: Type.Literal('credential'),
  commandId: text(128),
  vm: uuid,
  state: Type.Enum(['working', 'ready', 'refused', 'failed'] as const),
  reason: text(1024),
  account: Type.Union([text(64), Type.Null()]),
  method: Type.Union([Type.Enum(CREDENTIAL_METHODS), Type.Null()]),
  /** By the guest's clock; null = it does not end by itself. */
  expiresAtMs: Type.Union([Type.Number(), Type.Null()]),
  /** JWE in its compact form (RFC 7516). */
  sealed: Type.Union([text(16_384), Type.Null()]),
  /** Since the guest agent read the command, by its monotonic clock. */
  elapsedMs: Type.Number({ minimum: 0 }),
  phases: Type.Array(Type.Object({ name: Type.Enum(CREDENTIAL_PHASES), ms: Type.Number({ minimum: 0 }) }), { maxItems: 8 }),
  stalledMs: Type.Object({ cpu: stalledMs, memory: stalledMs, io: stalledMs }),
});

export const ResultFrame = Type.Object({
  type: Type.Literal('result'),
  commandId: text(128),
  vm: uuid,
  resource: ResourceSchema,
  pair: PairSchema,
  outcome: Type.Enum(OUTCOMES),
  reason: text(1024),
  /** Value in force after the command, null when it could not be read. */
  readBack: Type.Union([SettingSchema, Type.Null()]),
  /** Of guests that were told how many vCPUs to have online: how many are. Older ends do not look at it. */
  vcpusOnline: Type.Optional(Type.Integer({ minimum: 1, maximum: 4096 })),
  wallMs: Type.Number(),
});

/** Aggregator → host agent, once per plan period: renews the lease of everything on the host, and arms the fast guard. */
export const LeaseFrame = Type.Object({
  type: Type.Literal('lease'),
  epoch: unsigned,
  leaseMs: Type.Number({ minimum: 0 }),
  /** What the fast guard may hand out in sum until the next lease frame. */
  reserveCores: Type.Number({ minimum: 0 }),
  reserveMiB: Type.Number({ minimum: 0 }),
  /** Up to where it may grow each VM; VMs not named are not touched. */
  allowances: Type.Array(Type.Object({ vm: uuid, cpuCeilingCores: limit, memoryCeilingMiB: limit }), { maxItems: 4096 }),
});

export const KillSwitchFrame = Type.Object({
  type: Type.Literal('kill-switch'),
  /** null = the whole host. */
  vm: Type.Union([uuid, Type.Null()]),
  engaged: Type.Boolean(),
  reason: text(256),
});

/** In `capabilities` of hello and welcome: this end understands the frames of that type. Others would end the connection by them. */
export const POOL_CAPABILITY = 'pool';
export const HINT_CAPABILITY = 'hint';
export const CREDENTIAL_CAPABILITY = 'credential';
/** Of guest agents: vCPUs that were taken offline are put back by `original`, at the agent's end, and when its host stays silent. */
export const CPUS_RESTORE_CAPABILITY = 'cpus-restore';
export const REDIRECT_CAPABILITY = 'redirect';
/** Of host agents: sent on without an address, it tells the next in `unreachable` who could not look after it. */
export const MOVES_ON_CAPABILITY = 'moves-on';

/** Aggregator → host agent → guest agent: what the VM has and may expect. */
export const PoolFrame = Type.Object({
  type: Type.Literal('pool'),
  vm: uuid,
  atMs: Type.Number(),
  entries: Type.Array(
    Type.Object({
      resource: ResourceSchema,
      unit: Type.Enum(['cores', 'MiB', 'bytes/s'] as const),
      guaranteed: Type.Number({ minimum: 0 }),
      granted: limit,
      borrowed: limit,
      expected: Type.Array(Type.Object({ atMs: Type.Number(), amount: Type.Number({ minimum: 0 }) }), { maxItems: 16 }),
    }),
    { maxItems: 4 },
  ),
});

const HINTED = ['cpu', 'memory'] as const;
export type HintedResource = (typeof HINTED)[number];
const dayMs = Type.Number({ minimum: 0, maximum: 86_400_000 });

/** Guest agent → host agent → aggregator: somebody in the guest expects to need so much. A claim, never a command. */
export const HintFrame = Type.Object({
  type: Type.Literal('hint'),
  hintId: text(64),
  vm: uuid,
  resource: Type.Enum(HINTED),
  amount: Type.Number({ minimum: 0, maximum: 1e7 }),
  inMs: dayMs,
  forMs: dayMs,
});

/**
 * Aggregator → host agent that said it understands this, before the welcome or later: another aggregator looks after this host,
 * or soon will. The connection ends.
 */
export const RedirectFrame = Type.Object({
  type: Type.Literal('redirect'),
  /** Where that one listens for agents; null = nobody can tell, but who sends this cannot look after the host now. */
  url: Type.Union([AgentsUrl, Type.Null()]),
  /** To wait about so long before the next connection. */
  retryMs: Type.Number({ minimum: 0, maximum: 60_000 }),
  reason: text(256),
});

export const PingFrame = Type.Object({ type: Type.Literal('ping'), id: unsigned });
export const PongFrame = Type.Object({ type: Type.Literal('pong'), id: unsigned });
/** The sender drains: it will send nothing new and closes once what is under way is acknowledged. */
export const GoodbyeFrame = Type.Object({ type: Type.Literal('goodbye'), reason: text(256) });
/** The connection ends because of this. */
export const ErrorFrame = Type.Object({ type: Type.Literal('error'), code: text(64), message: text(1024) });

export const FRAMES = {
  hello: HelloFrame,
  challenge: ChallengeFrame,
  proof: ProofFrame,
  welcome: WelcomeFrame,
  telemetry: TelemetryFrame,
  ack: AckFrame,
  inventory: InventoryFrame,
  event: EventFrame,
  command: CommandFrame,
  'guest-command': GuestCommandFrame,
  result: ResultFrame,
  'vm-action': VmActionFrame,
  'vm-action-result': VmActionResultFrame,
  build: BuildFrame,
  'build-result': BuildResultFrame,
  suspend: SuspendFrame,
  'suspend-result': SuspendResultFrame,
  suspended: SuspendedFrame,
  lease: LeaseFrame,
  'kill-switch': KillSwitchFrame,
  pool: PoolFrame,
  hint: HintFrame,
  credential: CredentialFrame,
  redirect: RedirectFrame,
  ping: PingFrame,
  pong: PongFrame,
  goodbye: GoodbyeFrame,
  error: ErrorFrame,
} as const;

export type FrameType = keyof typeof FRAMES;
export type FrameOf<T extends FrameType> = Static<(typeof FRAMES)[T]>;
export type Frame = { [T in FrameType]: FrameOf<T> }[FrameType];
