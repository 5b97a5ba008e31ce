/**
 * Frames by which the aggregator has VMs suspended, brought back and made ready to come back. Schemas are the single source of
 * types. A host agent takes them only where its administrator named a place for snapshots (`snapshotDir` in its configuration).
 */
import * as Type from 'typebox';
import { UUID_SOURCE } from '../ids.ts';
import { OUTCOMES } from '../resources.ts';

/** In `capabilities` of hello and welcome: this end understands these frames. Others would end the connection by them. */
export const SUSPEND_CAPABILITY = 'suspend';

/** The same for a VM that is brought back on another host than it was suspended on. */
export const SUSPEND_MOVE_CAPABILITY = 'suspend-move';

/** The same for one that is made ready on another host than it was suspended on, and for deadlines of making ready. */
export const PREFETCH_TO_CAPABILITY = 'prefetch-to';

/** The same for questions about the chunks a host holds. */
export const CHUNKS_CAPABILITY = 'suspend-chunks';

/** The same for records that one host lacks and another has. */
export const SUPPLY_CAPABILITY = 'suspend-supply';

/**
 * sample: some chunks of a VM's snapshot by name; held: how many of such lie here too; give: records of these names, as they are sealed;
 * supply: records that a VM's snapshot lacks on this host. They stand in no VM's queue: a guest may wait for them.
 */
export const CHUNK_QUESTIONS = ['sample', 'held', 'give', 'supply'] as const;
/** Names of a sample, of each kind. */
const SAMPLE_MAX = 64;
/** Records handed on at once: less than a mebibyte. */
export const SUPPLIED_MAX = 8;
/** A chunk with its seal, in base64. */
const SEALED_TEXT_MAX = 90_000;

/**
 * prefetch: what the VM will touch first is fetched, and it waits paused; release: it need not wait any more; verify: every byte of its
 * snapshot is read; collect: what no suspended or resumed VM needs goes; lend: another host may bring it back.
 */
export const SUSPEND_ACTIONS = ['suspend', 'resume', 'prefetch', 'release', 'verify', 'collect', 'lend'] as const;
export type SuspendAction = (typeof SUSPEND_ACTIONS)[number];

/**
 * Where a VM is. Between `going` and the next suspension its memory lies over its snapshot; `ending`: the snapshot is whole, the VM is
 * about to be ended. `away`: it was brought back on another host, which still needs its snapshot from here.
 */
export const SUSPEND_PHASES = ['suspending', 'ending', 'suspended', 'preparing', 'prepared', 'going', 'running', 'away'] as const;
export type SuspendPhase = (typeof SUSPEND_PHASES)[number];

/** memory-file: into chunks, memory by memory's file; managed-save: by the hypervisor's own saving. */
export const SUSPEND_RECIPES = ['memory-file', 'managed-save'] as const;
export type SuspendRecipe = (typeof SUSPEND_RECIPES)[number];

/** disk: takes what is written; leaving: is read and emptied; away: it should be there. */
export const TIER_KINDS = ['ram', 'disk', 'leaving', 'away'] as const;
export type TierKind = (typeof TIER_KINDS)[number];

/** Of several prefetches the one of higher priority goes first; as the policy's own priorities, and its default. */
export const PREFETCH_PRIORITY_MAX = 1_000_000;
export const PREFETCH_PRIORITY = 100;

/** A VM waits ready for its resume no longer, whoever asks: it holds memory meanwhile. */
export const HOLD_MS_MAX = 86_400_000;

const text = (maxLength: number) => Type.String({ maxLength });
const orNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const vm = Type.String({ pattern: `^${UUID_SOURCE}$` });
const bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const ms = Type.Number({ minimum: 0 });
const share = Type.Number({ minimum: 0, maximum: 1 });
const orderId = Type.String({ minLength: 1, maxLength: 128 });

const host = Type.String({ minLength: 1, maxLength: 128 });
const key = Type.String({ pattern: '^[0-9a-f]{64}$' });
const priority = Type.Integer({ minimum: 0, maximum: PREFETCH_PRIORITY_MAX });
/** Of records: keyed digests. */
const names = Type.Array(key, { maxItems: SAMPLE_MAX });
const fewNames = Type.Array(key, { maxItems: SUPPLIED_MAX });
const sealedRecords = Type.Array(
  Type.Object({ name: key, sealed: Type.String({ maxLength: SEALED_TEXT_MAX, pattern: '^[A-Za-z0-9+/]*={0,2}$' }) }),
  { maxItems: SUPPLIED_MAX },
);
/** The host that lends the snapshot, where it is asked, and the key. */
const Origin = Type.Object({ host, address: Type.String({ minLength: 3, maxLength: 300 }), key });

const Order = Type.Union([
  Type.Object({ action: Type.Literal('suspend'), vm }),
  /** `roomMiB`: what it is predicted to need, which the host must have free; null = what it held. */
  Type.Object({ action: Type.Literal('resume'), vm, roomMiB: orNull(Type.Number({ minimum: 0 })), from: Type.Optional(Origin) }),
  /** To this host alone, which proves itself by the key. `priority` and `deadlineMs` as of `prefetch`; both absent = somebody waits for it. */
  Type.Object({
    ...{ action: Type.Literal('lend'), vm, to: host, key },
    priority: Type.Optional(priority),
    deadlineMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  }),
  Type.Object({
    action: Type.Literal('prefetch'),
    vm,
    holdMs: Type.Number({ minimum: 0, maximum: HOLD_MS_MAX }),
    bytesPerSecondMax: orNull(Type.Number({ exclusiveMinimum: 0 })),
    /** From receipt: not ready by then, it is given up; absent = whenever it is. */
    deadlineMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** Of several the highest is fetched first, of these the one that is due first; absent = as by default. */
    priority: Type.Optional(priority),
    /** Of the predicted mass, likeliest chunks first; absent = all of it. */
    share: Type.Optional(share),
    /** As of `resume`; absent = what it held. */
    roomMiB: Type.Optional(orNull(Type.Number({ minimum: 0 }))),
    from: Type.Optional(Origin),
  }),
  Type.Object({ action: Type.Literal('release'), vm }),
  Type.Object({ action: Type.Literal('verify'), vm }),
  Type.Object({ action: Type.Literal('collect') }),
  Type.Object({ action: Type.Literal('sample'), vm }),
  Type.Object({ action: Type.Literal('held'), vm, tenant: text(64), first: names, rest: names }),
  Type.Object({ action: Type.Literal('give'), vm, tenant: text(64), names: fewNames }),
  /** `from`: the host that has them. */
  Type.Object({ action: Type.Literal('supply'), vm, from: host, records: sealedRecords }),
]);

/** Aggregator → host agent. Sent again with the same id it is answered again, and not carried out again. */
export const SuspendFrame = Type.Object({
  type: Type.Literal('suspend'),
  orderId,
  /** Of the aggregator that owns the host; one below what the host has met is refused. */
  epoch: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** From receipt: not begun by then, it is refused. */
  leaseMs: ms,
  order: Order,
});

/** Bytes of a transfer, and how long the rest takes at the pace so far; null = not known yet. */
const Progress = Type.Object({ doneBytes: bytes, totalBytes: bytes, restMs: orNull(ms) });

/** What was measured; absent = it was not. */
const Measured = Type.Object({
  recipe: Type.Optional(Type.Enum(SUSPEND_RECIPES)),
  /** Until the vCPUs stood, until the VM was ended; until it ran, and until the guest gave a sign of life. */
  stoppedMs: Type.Optional(ms),
  endedMs: Type.Optional(ms),
  ranMs: Type.Optional(ms),
  aliveMs: Type.Optional(ms),
  /** Fetched before it ran, and all that its memory holds. */
  bytesFirst: Type.Optional(bytes),
  bytesFilled: Type.Optional(bytes),
  /** Came from the host that holds its snapshot before it ran, sealed as they are stored. */
  bytesMoved: Type.Optional(bytes),
  /** New to the store. */
  bytesNew: Type.Optional(bytes),
  /** Given back by a collection. */
  bytesFreed: Type.Optional(bytes),
});

/** Host agent → aggregator: while it works, about once a second, and at the end. */
export const SuspendResultFrame = Type.Object({
  type: Type.Literal('suspend-result'),
  orderId,
  action: Type.Enum([...SUSPEND_ACTIONS, ...CHUNK_QUESTIONS]),
  /** Null: of the whole host. */
  vm: orNull(vm),
  /** Null: it is under way. */
  outcome: orNull(Type.Enum(OUTCOMES)),
  /** What stood in the way, or what was done instead and why. */
  reason: text(2048),
  progress: orNull(Progress),
  /** More urgent prefetches of this host that it stands behind; absent = none. */
  ahead: Type.Optional(Type.Integer({ minimum: 0 })),
  measured: Measured,
  /** Of `lend`: where the snapshot is asked for. */
  address: Type.Optional(text(300)),
  /** Of `sample`: names of what the VM touches first and of the rest, and the bytes of memory that each part stands for. */
  chunks: Type.Optional(Type.Object({ tenant: text(64), snapshot: key, firstBytes: bytes, filledBytes: bytes, first: names, rest: names })),
  /** Of `held`: so many of those asked for. */
  held: Type.Optional(Type.Object({ first: Type.Integer({ minimum: 0 }), rest: Type.Integer({ minimum: 0 }) })),
  /** Of `give`: those of the names that lie here whole. */
  records: Type.Optional(sealedRecords),
  wallMs: Type.Number(),
});

/** Of a disk that its host alone sees: in the snapshot with the memory, to be taken (anew), or on its way from another host. */
export const DISK_STATES = ['taken', 'due', 'arriving'] as const;
export type DiskState = (typeof DISK_STATES)[number];

const OwnDisk = Type.Object({
  target: text(64),
  bytes,
  state: Type.Enum(DISK_STATES),
  /** Of one that arrives while its VM runs: what is still to come, and how long that takes at the pace so far; absent = not known. */
  leftBytes: Type.Optional(bytes),
  restMs: Type.Optional(ms),
  /** When it arrived last: what was read of it first and had been fetched, what was fetched and not read; absent = none was predicted. */
  hitRate: Type.Optional(share),
  wasteRate: Type.Optional(share),
});

export const SuspendedVm = Type.Object({
  vm,
  name: text(256),
  phase: Type.Enum(SUSPEND_PHASES),
  recipe: Type.Enum(SUSPEND_RECIPES),
  /** Why not by memory's file, else empty. */
  reason: text(1024),
  /** Its manifest's Merkle root; null = the hypervisor has it. */
  snapshot: orNull(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  /** Wall time of the host. */
  sinceMs: Type.Number(),
  memoryBytes: bytes,
  filledBytes: bytes,
  /** Resumes its model has learnt from, and chunks it would fetch ahead now. */
  resumes: Type.Integer({ minimum: 0 }),
  predictedChunks: Type.Integer({ minimum: 0 }),
  /** Of the last resume: what was touched and had been fetched, what was fetched and not touched; null = none was predicted yet. */
  hitRate: orNull(share),
  wasteRate: orNull(share),
  /** The host its chunks still come from, and the one it may be brought back on or runs on; absent = there is none. */
  from: Type.Optional(text(128)),
  lentTo: Type.Optional(text(128)),
  disks: Type.Optional(Type.Array(OwnDisk, { maxItems: 256 })),
  /** Records of its snapshot that could neither be read here nor had from where they come from; absent = none. */
  lacks: Type.Optional(Type.Object({ tenant: text(64), names: fewNames })),
  /** What a verification found, and what it waits for; empty = nothing, or nobody looked. */
  problems: Type.Array(text(512), { maxItems: 16 }),
});

/** A place for snapshots' chunks; `ram`: of those read lately, copies. */
export const SnapshotTier = Type.Object({
  name: text(512),
  kind: Type.Enum(TIER_KINDS),
  /** Null: no limit was set. */
  capacityBytes: orNull(bytes),
  usedBytes: bytes,
  /** As they were measured while it was used; null = it was not yet. */
  readBytesPerSecond: orNull(Type.Number({ minimum: 0 })),
  writeBytesPerSecond: orNull(Type.Number({ minimum: 0 })),
  /** What went wrong there last, or that it is not there; null = nothing. */
  problem: orNull(text(1024)),
});

/** Host agent → aggregator, after the welcome and after each change: all there is. */
export const SuspendedFrame = Type.Object({
  type: Type.Literal('suspended'),
  vms: Type.Array(SuspendedVm, { maxItems: 4096 }),
  storedBytes: bytes,
  /** Quickest first; absent = there is one place, without a limit. */
  tiers: Type.Optional(Type.Array(SnapshotTier, { maxItems: 32 })),
});
