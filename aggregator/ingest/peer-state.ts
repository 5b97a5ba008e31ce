/**
 * What ingest knows of one agent, across its connections: which batches are in the store or on their way, and which VMs
 * it has reported. Plain state and counters.
 */
import type { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Frame, FrameOf, Lane } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { SeqRanges } from './seq-ranges.ts';

/** What happens to agents, told as it happens. Handlers must not throw and must not wait. */
export interface IngestSink {
  /** Before the welcome, so that the epoch may still rise above the host's highest pairs. */
  onHello?(host: HostId, hello: FrameOf<'hello'>): void;
  /** After the welcome: commands may be sent. */
  onConnected?(host: HostId): void;
  onDisconnected?(host: HostId, error: HeadroomError | null): void;
  onInventory?(host: HostId, inventory: FrameOf<'inventory'>): void;
  /** At least once each: an event may come again after a reconnect. */
  onEvent?(host: HostId, event: FrameOf<'event'>): void;
  /** At least once each, known by commandId. */
  onResult?(host: HostId, result: FrameOf<'result'>): void;
  /** At least once each, known by actionId. */
  onVmActionResult?(host: HostId, result: FrameOf<'vm-action-result'>): void;
  /** At least once each, known by orderId, action and pair; of a VM that need not be there any more. */
  onBuildResult?(host: HostId, result: FrameOf<'build-result'>): void;
  /** At least once each, known by orderId. */
  onSuspendResult?(host: HostId, result: FrameOf<'suspend-result'>): void;
  onSuspended?(host: HostId, suspended: FrameOf<'suspended'>): void;
  /** At least once each, known by hintId. */
  onHint?(host: HostId, hint: FrameOf<'hint'>): void;
  /** At least once each, known by commandId and state. */
  onCredential?(host: HostId, answer: FrameOf<'credential'>): void;
  /** Fresh rows, before they are stored: never backlog, never repetitions. */
  onBlocks?(host: HostId, blocks: readonly TelemetryBlock[], receivedMonotonicMs: number): void;
}

/** Where a host's agent finds who looks after it. */
export interface Elsewhere {
  /** Null: nobody can tell now. */
  url: string | null;
  retryMs: number;
  reason: string;
}

/** Is a host's agent served here, and under which epoch? */
export type Admission = { here: true; epoch: number } | ({ here: false } & Elsewhere);
export type Admit = (host: HostId, hello: FrameOf<'hello'>) => Promise<Admission>;

export interface IngestLimits {
  /** Batches an agent may have unacknowledged, per lane. */
  window: number;
  /** Bytes of one peer waiting for the store before it is no longer read. */
  peerPendingBytesMax: number;
  /** Rows a second the whole fleet may replay. */
  backlogRowsPerSecond: number;
  collectMs: number;
  heartbeatMs: number;
  /** Frames a second of one peer, over long: beyond the burst it is made to wait. */
  peerFramesPerSecond: number;
  peerFramesBurst: number;
  /** Hosts (and direct guests) connected or remembered; beyond, the longest gone is forgotten. */
  peersMax: number;
}

export type PeerKey = `host/${string}` | `guest/${string}`;

/** Who a hello says it is: a claim until it is proven. */
export function agentOf({ role, host, vm }: FrameOf<'hello'>): PeerKey {
  return role === 'host' ? `host/${host}` : `guest/${vm}`;
}

export type DropReason =
  | 'foreign-subject'
  | 'unknown-vm'
  | 'contested-vm'
  | 'refused-fields'
  | 'store-failed'
  | 'before-inventory'
  | 'not-sent'
  | 'not-owned'
  | 'send-queue';

export interface IngestCounters {
  connections: number;
  frames: number;
  rowsReceived: number;
  rowsStored: number;
  batchesRepeated: number;
  acks: number;
  paused: number;
  /** Peers made to wait for a flood. */
  slowed: number;
  protocolErrors: number;
  handshakesRefused: number;
  /** Agents sent to another aggregator. */
  redirected: number;
  /** Rows, except `not-sent`, `not-owned` and `send-queue`: frames. */
  dropped: Record<DropReason, number>;
}

export function newCounters(): IngestCounters {
  return {
    connections: 0,
    frames: 0,
    rowsReceived: 0,
    rowsStored: 0,
    batchesRepeated: 0,
    acks: 0,
    paused: 0,
    slowed: 0,
    protocolErrors: 0,
    handshakesRefused: 0,
    redirected: 0,
    dropped: {
      'foreign-subject': 0,
      'unknown-vm': 0,
      'contested-vm': 0,
      'refused-fields': 0,
      'store-failed': 0,
      'before-inventory': 0,
      'not-sent': 0,
      'not-owned': 0,
      'send-queue': 0,
    },
  };
}

/** A live connection, as seen from the peer it belongs to. */
export interface PeerLink {
  send(frame: Frame): boolean;
  /** A newer connection of the same agent took over. */
  replaced(): void;
  /** Another aggregator serves it. */
  redirect(to: Elsewhere): void;
  /** Its key was revoked. */
  refuse(error: HeadroomError): void;
  /** These batches are in the store. */
  acknowledge(lane: Lane, seq: number): void;
  /** Some of the peer's bytes are off our hands. */
  relieved(): void;
}

/** VMs remembered per host: what has moved away or is gone may still have rows in the host's backlog. */
const REPORTED_MAX = 20_000;

export class PeerState {
  readonly key: PeerKey;
  readonly kind: 'host' | 'guest';
  readonly host: HostId;
  /** Of a direct guest agent. */
  readonly vm: VmId | null;
  readonly bootId: string;
  connection: PeerLink | undefined;
  /** In the store. */
  readonly committed = { live: new SeqRanges(), backlog: new SeqRanges() };
  /** Received, on the way to the store. */
  readonly pending = { live: new Set<number>(), backlog: new Set<number>() };
  pendingBytes = 0;
  /** VMs this host has reported, the longest ago first. */
  reported = new Set<string>();

  constructor(key: PeerKey, kind: 'host' | 'guest', host: HostId, vm: VmId | null, bootId: string) {
    this.key = key;
    this.kind = kind;
    this.host = host;
    this.vm = vm;
    this.bootId = bootId;
  }

  remember(vms: Iterable<string>): void {
    for (const vm of vms) {
      this.reported.delete(vm);
      this.reported.add(vm);
    }
    for (const oldest of this.reported) {
      if (this.reported.size <= REPORTED_MAX) break;
      this.reported.delete(oldest);
    }
  }
}
