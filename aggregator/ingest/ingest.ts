/**
 * Where agents arrive. Input: Transports. Output: live state to the sink at once, rows to the store in group commits,
 * acknowledgements strictly after a commit; commands the other way. A peer's mistakes cost that peer its connection and
 * nobody else anything: every queue here is bounded per peer, and what is dropped is counted by reason.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Transport } from '../../shared/net/transport.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { AgentIdentities } from './agent-identities.ts';
import { type AppendStore, Committer } from './committer.ts';
import { FlushPace } from './flush-pace.ts';
import { type ConnectionOwner, PeerConnection } from './peer-connection.ts';
import {
  type Admit,
  type Elsewhere,
  type IngestCounters,
  type IngestLimits,
  type IngestSink,
  newCounters,
  type PeerKey,
  type PeerLink,
  PeerState,
} from './peer-state.ts';

export const INGEST_LIMITS: IngestLimits = {
  window: 32,
  // Two frames of the largest size and some: a peer that is not read loses nothing, its socket fills.
  peerPendingBytesMax: 16 * 1024 * 1024,
  // A third of what the embedded store takes: live rows and queries keep the rest.
  backlogRowsPerSecond: 40_000,
  // Well under the 200 ms an acknowledgement may wait; long enough that a fleet's flushes share a transaction.
  collectMs: 50,
  heartbeatMs: 5000,
  // A host of 500 VMs sends some 20 while all is well, and a thousand events when all of them boot.
  peerFramesPerSecond: 100,
  peerFramesBurst: 2000,
  // Above the connections a server takes, so that those who come back after an outage are still remembered.
  peersMax: 20_000,
};

export interface IngestOptions {
  clock: Clock;
  store: AppendStore;
  sink: IngestSink;
  /** Told to agents at welcome. A function when it may rise while running. */
  epoch: number | (() => number);
  /** Whether a host's agent is served here; absent: always, under `epoch`. */
  admit?: Admit;
  /** Where host agents reach the aggregators that live, told in their welcome; absent: there is one. */
  aggregators?: () => string[];
  /** May commands go to this host: false where another decides about it by now. Absent: always. */
  mayCommand?: (host: HostId) => boolean;
  limits?: Partial<IngestLimits>;
  /** The host that reports this VM, null when none does: direct guest agents need one, connected. */
  ownsVm: (vm: VmId) => HostId | null;
  /** May a VM that another host reports be this host's by now (it migrates, or the other host is away)? Absent: always. */
  mayMove?: (vm: VmId, to: HostId) => boolean;
  /** Who must prove itself, and how; absent: nobody, and only peers on this machine are taken. */
  identities?: AgentIdentities;
  /** For logs: refusals and protocol errors, with the peer (an agent's name where it has one). */
  onProblem?: (peer: string, error: HeadroomError, agent: PeerKey | null) => void;
}

export type DownFrame =
  | FrameOf<'vm-action'>
  | FrameOf<'build'>
  | FrameOf<'suspend'>
  | FrameOf<'command'>
  | FrameOf<'lease'>
  | FrameOf<'kill-switch'>
  | FrameOf<'guest-command'>
  | FrameOf<'pool'>;

export class Ingest implements ConnectionOwner {
  readonly options: IngestOptions;
  readonly limits: IngestLimits;
  readonly committer: Committer;
  readonly counters: IngestCounters = newCounters();
  readonly pace: FlushPace;
  /** Connected or remembered, the longest gone first. */
  readonly #peers = new Map<PeerKey, PeerState>();
  readonly #connections = new Set<PeerConnection>();
  #connectionCount = 0;
  #draining = false;

  constructor(options: IngestOptions) {
    this.options = options;
    this.limits = { ...INGEST_LIMITS, ...options.limits };
    const { clock, store } = options;
    const { collectMs, backlogRowsPerSecond } = this.limits;
    this.pace = new FlushPace(clock.monotonicMs());
    this.committer = new Committer({ clock, store, collectMs, backlogRowsPerSecond });
  }

  get epoch(): number {
    const { epoch } = this.options;
    return typeof epoch === 'function' ? epoch() : epoch;
  }

  /** Takes a new connection; the peer must say hello. */
  accept(transport: Transport): void {
    if (this.#draining) {
      transport.close('the aggregator stops');
      return;
    }
    this.counters.connections++;
    const connection = new PeerConnection(this, transport, `c${++this.#connectionCount}`);
    this.#connections.add(connection);
  }

  /**
   * False: not connected, or its queue is full. Who asks for a login reaches a guest's own connection where it has one; orders
   * about vCPUs go by way of the host, which guards them and puts right what they did.
   */
  send(host: HostId, frame: DownFrame): boolean {
    const direct =
      frame.type === 'guest-command' && frame.action.kind === 'credential' ? this.#peers.get(`guest/${frame.vm}`)?.connection : undefined;
    const connection = direct ?? this.#peers.get(`host/${host}`)?.connection;
    // A switch that stops things is anybody's to throw.
    const may = this.options.mayCommand?.(host) !== false || (frame.type === 'kill-switch' && frame.engaged);
    if (!may) {
      this.counters.dropped['not-owned']++;
      return false;
    }
    const sent = connection?.send(frame) === true;
    if (!sent) this.counters.dropped['not-sent']++;
    return sent;
  }

  connected(host: HostId): boolean {
    return this.#peers.get(`host/${host}`)?.connection !== undefined;
  }

  hosts(): HostId[] {
    const hosts: HostId[] = [];
    for (const peer of this.#peers.values()) if (peer.connection && peer.kind === 'host') hosts.push(peer.host);
    return hosts;
  }

  /** Each connected agent's share of the fleet's replay rate, as welcomes tell it. */
  backlogShare(): number {
    return this.limits.backlogRowsPerSecond / Math.max(4, this.#connections.size);
  }

  left(vm: VmId): void {
    for (const connection of this.#connections) connection.settle(vm);
  }

  /** Says goodbye to all, commits and acknowledges what has arrived, closes. */
  async stop(): Promise<void> {
    this.#draining = true;
    for (const connection of this.#connections) connection.goodbye('the aggregator stops');
    await this.committer.flush();
    for (const connection of [...this.#connections]) connection.close('the aggregator stops');
  }

  /** Names follow Prometheus: counters end in _total. */
  metrics(): Record<string, number> {
    const { counters, committer } = this;
    const metrics: Record<string, number> = {
      ingest_connections: this.#connections.size,
      ingest_hosts_connected: this.hosts().length,
      ingest_connections_total: counters.connections,
      ingest_frames_total: counters.frames,
      ingest_rows_received_total: counters.rowsReceived,
      ingest_rows_stored_total: counters.rowsStored,
      ingest_batches_repeated_total: counters.batchesRepeated,
      ingest_acks_total: counters.acks,
      ingest_flush_ms: this.pace.flushMs,
      ingest_paused_total: counters.paused,
      ingest_slowed_total: counters.slowed,
      ingest_protocol_errors_total: counters.protocolErrors,
      ingest_handshakes_refused_total: counters.handshakesRefused,
      ingest_redirected_total: counters.redirected,
      ingest_batches_pending: committer.pendingBatches,
      ingest_appends_total: committer.appends,
      ingest_append_failures_total: committer.appendFailures,
      ingest_append_last_ms: committer.lastAppendMs,
    };
    for (const [reason, count] of Object.entries(counters.dropped)) {
      metrics[`ingest_dropped_${reason.replaceAll('-', '_')}_total`] = count;
    }
    return metrics;
  }

  /** Another aggregator looks after this host: its agent goes there. False: it is not connected. */
  redirect(host: HostId, to: Elsewhere): boolean {
    const connection = this.#peers.get(`host/${host}`)?.connection;
    connection?.redirect(to);
    return connection !== undefined;
  }

  /** Its key is no longer good: its connection ends, the guests' that spoke for its VMs stay their own. */
  evict(key: PeerKey, error: HeadroomError): void {
    this.#peers.get(key)?.connection?.refuse(error);
  }

  /**
   * For connections: the peer becomes this connection's, an older connection of it gives way. `known`: it is on this machine,
   * or has proven who it is. Throws HANDSHAKE_REFUSED.
   */
  register(connection: PeerLink, hello: FrameOf<'hello'>, known: boolean): PeerState {
    const identity = this.#identify(hello, known);
    let peer = this.#peers.get(identity.key);
    if (peer?.connection) peer.connection.replaced();
    // Numbers start again with a machine's boot or an agent's restart; what was committed then says nothing now.
    if (!peer || peer.bootId !== hello.bootId) {
      const reported = peer?.reported;
      peer = new PeerState(identity.key, identity.kind, identity.host, identity.vm, hello.bootId);
      if (reported) peer.reported = reported;
    }
    peer.connection = connection;
    this.#peers.delete(identity.key);
    this.#peers.set(identity.key, peer);
    this.#forgetOld();
    return peer;
  }

  /** For connections: this one ended. */
  unregister(connection: PeerConnection, peer: PeerState | undefined): void {
    this.#connections.delete(connection);
    if (peer?.connection === connection) peer.connection = undefined;
  }

  #identify(hello: FrameOf<'hello'>, known: boolean): { key: PeerKey; kind: 'host' | 'guest'; host: HostId; vm: VmId | null } {
    if (!known) throw refused('agents beyond this machine must be enrolled; this aggregator keeps no keys');
    if (hello.role === 'host') {
      if (hello.host === null) throw refused('a host agent must name its host in hello.host');
      return { key: `host/${hello.host}`, kind: 'host', host: hello.host as HostId, vm: null };
    }
    if (hello.vm === null) throw refused('a guest agent must tell its VM in hello.vm (the DMI product UUID)');
    const vm = hello.vm as VmId;
    const host = this.options.ownsVm(vm);
    if (host === null || !this.connected(host)) throw refused(`no connected host agent reports VM ${vm}; start the host agent first`);
    return { key: `guest/${vm}`, kind: 'guest', host, vm };
  }

  #forgetOld(): void {
    for (const [key, peer] of this.#peers) {
      if (this.#peers.size <= this.limits.peersMax) return;
      if (!peer.connection) this.#peers.delete(key);
    }
    if (this.#peers.size > this.limits.peersMax)
      throw new HeadroomError('UNAVAILABLE', `${this.limits.peersMax} agents are connected already`);
  }
}

function refused(why: string): HeadroomError {
  return new HeadroomError('HANDSHAKE_REFUSED', why);
}

export function createIngest(options: IngestOptions): Ingest {
  return new Ingest(options);
}
