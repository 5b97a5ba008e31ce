/**
 * One agent's connection on the aggregator's side: its frames, its batches on their way to live state and store, its acknowledgements.
 * Input: checked frames of a Session. Output: calls to the sink, batches to the committer, frames back. Who it is, agent-handshake.ts
 * finds out; of whom it may speak, peer-subjects.ts knows.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import { Session } from '../../shared/net/session.ts';
import type { Transport } from '../../shared/net/transport.ts';
import {
  CREDENTIAL_CAPABILITY,
  FRAME_BYTES_MAX,
  type Frame,
  type FrameOf,
  HINT_CAPABILITY,
  type Lane,
} from '../../shared/protocol/frames.ts';
import { SUSPEND_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import { type Admitted, AgentHandshake } from './agent-handshake.ts';
import type { AgentIdentities } from './agent-identities.ts';
import type { Committer } from './committer.ts';
import type { FlushPace } from './flush-pace.ts';
import type { Admit, Elsewhere, IngestCounters, IngestLimits, IngestSink, PeerKey, PeerLink, PeerState } from './peer-state.ts';
import { PeerSubjects, rowsOf } from './peer-subjects.ts';
import { contiguous } from './seq-ranges.ts';

/** What a connection needs of ingest as a whole. */
export interface ConnectionOwner {
  readonly options: {
    clock: Clock;
    sink: IngestSink;
    ownsVm: (vm: VmId) => HostId | null;
    mayMove?: (vm: VmId, to: HostId) => boolean;
    identities?: AgentIdentities;
    admit?: Admit;
    aggregators?: () => string[];
    onProblem?: (peer: string, error: HeadroomError, agent: PeerKey | null) => void;
  };
  readonly limits: IngestLimits;
  readonly committer: Committer;
  readonly counters: IngestCounters;
  readonly pace: FlushPace;
  readonly epoch: number;
  backlogShare(): number;
  /** A host said that this VM has left it alive: whoever reported it meanwhile may have it. */
  left(vm: VmId): void;
  register(connection: PeerLink, hello: FrameOf<'hello'>, known: boolean): PeerState;
  unregister(connection: PeerConnection, peer: PeerState | undefined): void;
}

/** Addresses in a welcome. */
const AGGREGATORS_TOLD_MAX = 64;
/** An agent may give batches up and send on while the store still has the old ones; beyond this it ignores the window. */
const WINDOWS_PENDING_MAX = 4;

export class PeerConnection implements PeerLink {
  readonly #owner: ConnectionOwner;
  readonly #session: Session;
  readonly #id: string;
  readonly #handshake: AgentHandshake;
  readonly #subjects: PeerSubjects;
  #peer: PeerState | undefined;
  #leaving = false;
  /** Batches committed and not yet acknowledged, per lane: one commit ends many at once. */
  readonly #toAcknowledge: Record<Lane, number[]> = { live: [], backlog: [] };
  #acknowledgeSoon = false;
  /** What this agent was last asked for: 0, nothing yet on this connection. */
  #flushMs = 0;

  constructor(owner: ConnectionOwner, transport: Transport, id: string) {
    this.#owner = owner;
    this.#id = id;
    this.#session = new Session({
      transport,
      clock: owner.options.clock,
      receiver: 'aggregator',
      maxBytes: FRAME_BYTES_MAX,
      pace: { ratePerSecond: owner.limits.peerFramesPerSecond, burst: owner.limits.peerFramesBurst },
      onSlowed: () => {
        owner.counters.slowed++;
      },
      onFrame: (frame) => this.#frame(frame),
      onClose: (error) => this.#closed(error),
    });
    const session = this.#session;
    this.#handshake = new AgentHandshake({
      ...{ session, counters: owner.counters, epoch: () => owner.epoch, options: owner.options },
      admitted: (admitted) => this.#admit(admitted),
      elsewhere: (place) => this.redirect(place),
    });
    this.#subjects = new PeerSubjects({
      ...{ counters: owner.counters, options: owner.options },
      onProblem: (error, key) => owner.options.onProblem?.(session.transport.peer, error, key),
    });
  }

  send(frame: Frame): boolean {
    if (!this.#session.ready) return false;
    const sent = this.#session.send(frame);
    if (!sent) this.#owner.counters.dropped['send-queue']++;
    return sent;
  }

  replaced(): void {
    this.#session.fail(new HeadroomError('CONFLICT', 'a newer connection of this agent took over'));
  }

  redirect({ url, retryMs, reason }: Elsewhere): void {
    this.#owner.counters.redirected++;
    this.#session.send({ type: 'redirect', url, retryMs, reason: reason.slice(0, 256) });
    this.#session.close(reason);
  }

  refuse(error: HeadroomError): void {
    this.#session.fail(error);
  }

  goodbye(reason: string): void {
    if (this.#session.ready) this.#session.send({ type: 'goodbye', reason });
  }

  close(reason: string): void {
    this.#sendAcknowledgements();
    this.#session.close(reason);
  }

  acknowledge(lane: Lane, seq: number): void {
    this.#toAcknowledge[lane].push(seq);
    if (this.#acknowledgeSoon) return;
    this.#acknowledgeSoon = true;
    queueMicrotask(() => this.#sendAcknowledgements());
  }

  relieved(): void {
    const peer = this.#peer;
    if (!peer) return;
    if (peer.pendingBytes <= this.#owner.limits.peerPendingBytesMax / 2) this.#session.resume();
    if (this.#leaving && peer.pendingBytes === 0) queueMicrotask(() => this.close('goodbye'));
  }

  #frame(frame: Frame): void {
    this.#owner.counters.frames++;
    const peer = this.#peer;
    if (frame.type === 'hello') {
      if (!peer) this.#handshake.hello(frame);
      else if (!this.#session.transport.lossy) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
      return;
    }
    if (frame.type === 'proof') {
      void this.#handshake.proven(frame);
      return;
    }
    if (!peer) {
      if (this.#session.transport.lossy) return;
      throw new HeadroomError('FRAME_OUT_OF_ORDER', `"${frame.type}" before hello`);
    }
    switch (frame.type) {
      case 'telemetry':
        this.#telemetry(frame, peer);
        break;
      case 'inventory':
        this.#inventory(frame, peer);
        break;
      case 'event':
        this.#event(frame, peer);
        break;
      case 'result':
        if (this.#subjects.mayReport(frame.vm, peer)) this.#owner.options.sink.onResult?.(peer.host, frame);
        break;
      case 'vm-action-result':
        if (this.#subjects.mayReport(frame.vm, peer)) this.#owner.options.sink.onVmActionResult?.(peer.host, frame);
        break;
      case 'build-result':
        // Of a VM not reported yet, or no longer: who ordered it knows which host he asked.
        if (peer.kind === 'host') this.#owner.options.sink.onBuildResult?.(peer.host, frame);
        break;
      case 'suspend-result':
        if (peer.kind === 'host') this.#owner.options.sink.onSuspendResult?.(peer.host, frame);
        break;
      case 'suspended':
        if (peer.kind === 'host') this.#owner.options.sink.onSuspended?.(peer.host, frame);
        break;
      case 'hint':
        if (this.#subjects.mayReport(frame.vm, peer)) this.#owner.options.sink.onHint?.(peer.host, frame);
        break;
      case 'credential':
        if (this.#subjects.mayReport(frame.vm, peer)) this.#owner.options.sink.onCredential?.(peer.host, frame);
        break;
      case 'goodbye':
        this.#leaving = true;
        this.relieved();
        break;
    }
  }

  /** Taken note of whether or not somebody listens. */
  #inventory(frame: FrameOf<'inventory'>, peer: PeerState): void {
    const own = this.#subjects.inventory(frame, peer);
    this.#owner.options.sink.onInventory?.(peer.host, own);
  }

  #event(frame: FrameOf<'event'>, peer: PeerState): void {
    if (frame.vm !== null && !this.#subjects.mayReport(frame.vm, peer)) return;
    this.#owner.options.sink.onEvent?.(peer.host, frame);
    // Before it is reported gone there: what was learnt of it goes with it.
    if (frame.kind === 'migrated' && frame.vm !== null) this.#owner.left(frame.vm as VmId);
  }

  /** Takes what this agent told of a VM that another host had then, and may have left since; waits for no further inventory. */
  settle(vm: VmId): void {
    const peer = this.#peer;
    const told = peer === undefined ? null : this.#subjects.settle(vm, peer);
    if (peer !== undefined && told !== null) this.#owner.options.sink.onInventory?.(peer.host, told);
  }

  #admit({ hello, version, known, keyId, epoch }: Admitted): void {
    const { clock, sink } = this.#owner.options;
    const { heartbeatMs, window } = this.#owner.limits;
    const peer = this.#owner.register(this, hello, known);
    this.#peer = peer;
    if (peer.kind === 'host') sink.onHello?.(peer.host, hello);
    this.#session.speak(version);
    const aggregators = peer.kind === 'host' ? this.#owner.options.aggregators?.() : undefined;
    this.#session.send({
      type: 'welcome',
      version,
      connectionId: this.#id,
      epoch,
      heartbeatMs,
      window,
      backlogRowsPerSecond: this.#owner.backlogShare(),
      wallMs: clock.wallMs(),
      capabilities: [HINT_CAPABILITY, CREDENTIAL_CAPABILITY, SUSPEND_CAPABILITY],
      ...(aggregators === undefined ? {} : { aggregators: aggregators.slice(0, AGGREGATORS_TOLD_MAX) }),
      ...(keyId === null ? {} : { keyId }),
    });
    this.#session.established(heartbeatMs);
    if (peer.kind === 'host') sink.onConnected?.(peer.host);
  }

  #telemetry(frame: FrameOf<'telemetry'>, peer: PeerState): void {
    const { clock, sink } = this.#owner.options;
    const { counters, committer, limits, pace } = this.#owner;
    const receivedMs = clock.monotonicMs();
    // Decoded first and always: field lists are numbered along the way.
    const decoded = this.#session.decodeBlocks(frame);
    const { lane, seq } = frame;
    if (peer.kind === 'host' && !this.#subjects.inventorySeen) {
      if (!this.#session.transport.lossy) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'telemetry before the inventory');
      counters.dropped['before-inventory'] += rowsOf(decoded);
      return;
    }
    if (peer.committed[lane].has(seq) || peer.pending[lane].has(seq)) {
      counters.batchesRepeated++;
      if (peer.committed[lane].has(seq)) this.acknowledge(lane, seq);
      return;
    }
    if (peer.pending[lane].size >= WINDOWS_PENDING_MAX * limits.window) {
      throw new HeadroomError(
        'FRAME_OUT_OF_ORDER',
        `${peer.pending[lane].size} ${lane} batches are not acknowledged yet; the window is ${limits.window}`,
      );
    }
    for (const vm of this.#subjects.contested) this.settle(vm);
    const { blocks, refused } = this.#subjects.sift(decoded, peer);
    const rows = rowsOf(blocks);
    counters.rowsReceived += rows;
    if (blocks.length > 0) {
      const bytes = blocks.reduce((sum, block) => sum + block.timesMs.byteLength + block.values.byteLength, 0);
      peer.pending[lane].add(seq);
      peer.pendingBytes += bytes;
      committer.add({ lane, blocks, rows, bytes, done: (error) => this.#done(peer, lane, seq, rows, bytes, error) });
      if (peer.pendingBytes > limits.peerPendingBytesMax) {
        counters.paused++;
        this.#session.pause();
      }
      if (lane === 'live') pace.note(rows, receivedMs);
      if (lane === 'live') sink.onBlocks?.(peer.host, blocks, receivedMs);
    } else {
      // Nothing of it may be stored: it must not come again either.
      peer.committed[lane].add(seq);
      this.acknowledge(lane, seq);
    }
    if (refused) throw refused;
  }

  /** Runs for the peer, whichever connection it has by then. */
  #done(peer: PeerState, lane: Lane, seq: number, rows: number, bytes: number, error: Error | null): void {
    const { counters } = this.#owner;
    peer.pending[lane].delete(seq);
    peer.pendingBytes -= bytes;
    if (error) counters.dropped['store-failed'] += rows;
    else {
      counters.rowsStored += rows;
      peer.committed[lane].add(seq);
      peer.connection?.acknowledge(lane, seq);
    }
    peer.connection?.relieved();
  }

  #sendAcknowledgements(): void {
    this.#acknowledgeSoon = false;
    const peer = this.#peer;
    for (const lane of ['live', 'backlog'] as const) {
      const seqs = this.#toAcknowledge[lane].splice(0);
      if (!peer || this.#session.closed) continue;
      for (const [fromSeq, toSeq] of contiguous(seqs)) {
        this.#owner.counters.acks++;
        this.send({ type: 'ack', bootId: peer.bootId, lane, fromSeq, toSeq, ...this.#newPace() });
      }
    }
  }

  #newPace(): { flushMs?: number } {
    const { flushMs } = this.#owner.pace;
    if (flushMs === this.#flushMs) return {};
    this.#flushMs = flushMs;
    return { flushMs };
  }

  #closed(error: HeadroomError | undefined): void {
    const { counters, options } = this.#owner;
    const peer = this.#peer;
    if (error) {
      if (error.code !== 'CONNECTION_CLOSED') counters.protocolErrors++;
      options.onProblem?.(this.#session.transport.peer, error, peer?.key ?? this.#handshake.refused);
    }
    this.#owner.unregister(this, peer);
    if (peer?.kind === 'host') options.sink.onDisconnected?.(peer.host, error ?? null);
  }
}
