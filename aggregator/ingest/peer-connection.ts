/**
 * One agent's connection on the aggregator's side: hello and welcome, which subjects it may speak of, its batches on
 * their way to live state and store, its acknowledgements. Input: checked frames of a Session. Output: calls to the sink,
 * batches to the committer, frames back.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { GuestFieldGate } from '../../shared/guest-fields.ts';
import type { Occasion } from '../../shared/identity.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import { Session } from '../../shared/net/session.ts';
import type { Transport } from '../../shared/net/transport.ts';
import {
  CREDENTIAL_CAPABILITY,
  FRAME_BYTES_MAX,
  type Frame,
  type FrameOf,
  GUEST_FRAME_BYTES_MAX,
  HINT_CAPABILITY,
  type Lane,
  REDIRECT_CAPABILITY,
} from '../../shared/protocol/frames.ts';
import { SUSPEND_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import { chooseVersion } from '../../shared/protocol/versions.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { AgentIdentities } from './agent-identities.ts';
import type { Committer } from './committer.ts';
import type { FlushPace } from './flush-pace.ts';
import {
  type Admit,
  agentOf,
  type Elsewhere,
  type IngestCounters,
  type IngestLimits,
  type IngestSink,
  type PeerKey,
  type PeerLink,
  type PeerState,
} from './peer-state.ts';
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

type VmInventory = FrameOf<'inventory'>['vms'][number];

/** May a peer speak of a VM: its own, one that nobody reports (just started, or long gone), one it reports while another host has it, or another host's. */
type Standing = 'own' | 'unknown' | 'contested' | 'foreign';

const DROP_REASONS = { unknown: 'unknown-vm', contested: 'contested-vm', foreign: 'foreign-subject' } as const;

interface Challenge {
  version: number;
  occasion: Occasion;
}

const NONCE_BYTES = 32;
/** Addresses in a welcome. */
const AGGREGATORS_TOLD_MAX = 64;
/** An agent may give batches up and send on while the store still has the old ones; beyond this it ignores the window. */
const WINDOWS_PENDING_MAX = 4;

export class PeerConnection implements PeerLink {
  readonly #owner: ConnectionOwner;
  readonly #session: Session;
  readonly #id: string;
  readonly #gate = new GuestFieldGate();
  #peer: PeerState | undefined;
  /** Asked for, not yet given. */
  #challenge: Challenge | undefined;
  /** Where it belongs is being found out. */
  #placing = false;
  /** Who it said it is, when it was refused. */
  #agent: PeerKey | null = null;
  /** VMs of its latest inventory that other hosts have, as it told of them. */
  #contested: ReadonlyMap<string, VmInventory> = new Map();
  /** Other hosts' VMs it has spoken of, told once each. */
  readonly #foreign = new Set<string>();
  #inventoryHost: FrameOf<'inventory'>['host'] | undefined;
  #inventorySeen = false;
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
    if (frame.type === 'hello') {
      this.#hello(frame);
      return;
    }
    if (frame.type === 'proof') {
      void this.#proven(frame);
      return;
    }
    const peer = this.#peer;
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
        if (this.#mayReport(frame.vm, peer)) this.#owner.options.sink.onResult?.(peer.host, frame);
        break;
      case 'vm-action-result':
        if (this.#mayReport(frame.vm, peer)) this.#owner.options.sink.onVmActionResult?.(peer.host, frame);
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
        if (this.#mayReport(frame.vm, peer)) this.#owner.options.sink.onHint?.(peer.host, frame);
        break;
      case 'credential':
        if (this.#mayReport(frame.vm, peer)) this.#owner.options.sink.onCredential?.(peer.host, frame);
        break;
      case 'goodbye':
        this.#leaving = true;
        this.relieved();
        break;
    }
  }

  #event(frame: FrameOf<'event'>, peer: PeerState): void {
    if (frame.vm !== null && !this.#mayReport(frame.vm, peer)) return;
    this.#owner.options.sink.onEvent?.(peer.host, frame);
    // Before it is reported gone there: what was learnt of it goes with it.
    if (frame.kind === 'migrated' && frame.vm !== null) this.#owner.left(frame.vm as VmId);
  }

  /** Takes what this agent told of a VM that another host had then, and may have left since; waits for no further inventory. */
  settle(vm: VmId): void {
    const { mayMove, ownsVm, sink } = this.#owner.options;
    const [peer, held, host] = [this.#peer, this.#contested.get(vm), this.#inventoryHost];
    if (peer === undefined || held === undefined || host === undefined) return;
    const owner = ownsVm(vm);
    if (owner !== null && owner !== peer.host && mayMove?.(vm, peer.host) === false) return;
    this.#contested = new Map([...this.#contested].filter(([other]) => other !== vm));
    peer.remember([vm]);
    sink.onInventory?.(peer.host, { type: 'inventory', full: false, host, vms: [held], gone: [] });
  }

  #hello(hello: FrameOf<'hello'>): void {
    if (this.#peer) {
      if (this.#session.transport.lossy) return;
      throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    }
    let version: number;
    try {
      version = chooseVersion(hello.versions);
      if (hello.role === 'guest') this.#session.narrow('aggregator-from-guest', GUEST_FRAME_BYTES_MAX);
      const { transport } = this.#session;
      const local = transport.local;
      if (this.#owner.options.identities?.required(hello, local)) this.#ask(hello, version);
      else this.#place(hello, version, local, null);
    } catch (error) {
      this.#owner.counters.handshakesRefused++;
      throw error;
    }
  }

  #ask(hello: FrameOf<'hello'>, version: number): void {
    if (this.#challenge) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    const { binding = '', local, peer } = this.#session.transport;
    if (binding === '' && !local) throw new HeadroomError('HANDSHAKE_REFUSED', `${peer} comes from beyond this machine without TLS`);
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    this.#challenge = { version, occasion: { hello, nonce, binding } };
    this.#session.send({ type: 'challenge', nonce, rotate: this.#owner.options.identities!.wantsRotation(hello) });
  }

  async #proven(proof: FrameOf<'proof'>): Promise<void> {
    const challenge = this.#challenge;
    // Good for one answer, be it right or wrong.
    this.#challenge = undefined;
    try {
      if (!challenge) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a proof that was not asked for');
      const keyId = await this.#owner.options.identities!.prove(challenge.occasion, proof);
      if (!this.#session.closed) this.#place(challenge.occasion.hello, challenge.version, true, keyId);
    } catch (error) {
      this.#owner.counters.handshakesRefused++;
      this.#agent = challenge === undefined ? null : agentOf(challenge.occasion.hello);
      this.#session.fail(isHeadroomError(error) ? error : new HeadroomError('UNAVAILABLE', errorText(error), { cause: error }));
    }
  }

  /** Here, or with another aggregator. */
  #place(hello: FrameOf<'hello'>, version: number, known: boolean, keyId: string | null): void {
    const { admit } = this.#owner.options;
    if (admit === undefined || hello.role !== 'host' || hello.host === null || !known) {
      this.#admit(hello, version, known, keyId, this.#owner.epoch);
      return;
    }
    if (this.#placing) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    this.#placing = true;
    admit(hello.host as HostId, hello)
      .then((admission) => {
        if (this.#session.closed) return;
        if (admission.here) this.#admit(hello, version, known, keyId, admission.epoch);
        else if (hello.capabilities.includes(REDIRECT_CAPABILITY)) this.redirect(admission);
        else throw new HeadroomError('HANDSHAKE_REFUSED', `${admission.reason}; its agent must connect to ${admission.url ?? 'another'}`);
      })
      .catch((error: unknown) => {
        this.#owner.counters.handshakesRefused++;
        this.#agent = agentOf(hello);
        this.#session.fail(isHeadroomError(error) ? error : new HeadroomError('INVARIANT_BROKEN', errorText(error), { cause: error }));
      });
  }

  #admit(hello: FrameOf<'hello'>, version: number, known: boolean, keyId: string | null, epoch: number): void {
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

  /** VMs that another host has and keeps are left out: a host speaks for its own. */
  #inventory(frame: FrameOf<'inventory'>, peer: PeerState): void {
    const { mayMove, ownsVm, sink } = this.#owner.options;
    const { counters } = this.#owner;
    const contested = new Map<string, VmInventory>();
    for (const told of frame.vms) {
      const owner = ownsVm(told.vm as VmId);
      if (owner !== null && owner !== peer.host && mayMove?.(told.vm as VmId, peer.host) === false) contested.set(told.vm, told);
    }
    for (const vm of contested.keys()) {
      counters.dropped['contested-vm']++;
      if (!this.#contested.has(vm)) this.#tellContested(vm, peer);
    }
    if (!frame.full) {
      // What it does not speak of now is as it was.
      const spokenOf = new Set([...frame.gone, ...frame.vms.map(({ vm }) => vm)]);
      for (const [vm, told] of this.#contested) if (!spokenOf.has(vm)) contested.set(vm, told);
    }
    this.#contested = contested;
    this.#inventoryHost = frame.host;
    const vms = contested.size === 0 ? frame.vms : frame.vms.filter(({ vm }) => !contested.has(vm));
    peer.remember(vms.map(({ vm }) => vm));
    for (const vm of contested.keys()) peer.reported.delete(vm);
    this.#inventorySeen = true;
    sink.onInventory?.(peer.host, contested.size === 0 ? frame : { ...frame, vms });
  }

  #tellContested(vm: string, peer: PeerState): void {
    const owner = this.#owner.options.ownsVm(vm as VmId);
    const error = new HeadroomError('PERMISSION', `host ${peer.host} reports VM ${vm}, which host ${owner} has and keeps`);
    this.#owner.options.onProblem?.(this.#session.transport.peer, error, peer.key);
  }

  #telemetry(frame: FrameOf<'telemetry'>, peer: PeerState): void {
    const { clock, sink } = this.#owner.options;
    const { counters, committer, limits, pace } = this.#owner;
    const receivedMs = clock.monotonicMs();
    // Decoded first and always: field lists are numbered along the way.
    const decoded = this.#session.decodeBlocks(frame);
    const { lane, seq } = frame;
    if (peer.kind === 'host' && !this.#inventorySeen) {
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
    for (const vm of this.#contested.keys()) this.settle(vm as VmId);
    const { blocks, refused } = this.#sift(decoded, peer);
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

  #sift(decoded: readonly TelemetryBlock[], peer: PeerState): { blocks: TelemetryBlock[]; refused: HeadroomError | null } {
    const { counters } = this.#owner;
    const blocks: TelemetryBlock[] = [];
    let refused: HeadroomError | null = null;
    for (const block of decoded) {
      const rows = block.timesMs.length;
      if (rows === 0) continue;
      const standing = this.#standing(block, peer);
      if (standing !== 'own') {
        counters.dropped[DROP_REASONS[standing]] += rows;
        if (standing !== 'foreign') continue;
        const { subject, source } = block;
        const error = notIts(`telemetry of ${subject.kind} ${subject.id} by ${source}`);
        if (peer.kind === 'host' && subject.kind === 'vm') this.#tellForeign(subject.id, peer, error);
        else refused = error;
      } else if (peer.kind === 'guest' && !this.#gate.accepts(block.fields)) counters.dropped['refused-fields'] += rows;
      else blocks.push(block);
    }
    return { blocks, refused };
  }

  #standing(block: TelemetryBlock, peer: PeerState): Standing {
    const { subject, source } = block;
    if (peer.kind === 'guest') return subject.kind === 'vm' && subject.id === peer.vm && source === 'guest' ? 'own' : 'foreign';
    if (subject.kind === 'host') return subject.id === peer.host && source === 'host' ? 'own' : 'foreign';
    return this.#standingOfVm(subject.id, peer);
  }

  #standingOfVm(vm: string, peer: PeerState): Standing {
    if (peer.kind === 'guest') return vm === peer.vm ? 'own' : 'foreign';
    if (peer.reported.has(vm)) return 'own';
    if (this.#contested.has(vm)) return 'contested';
    const { ownsVm, mayMove } = this.#owner.options;
    const reporter = ownsVm(vm as VmId);
    if (reporter === null || reporter === peer.host) return 'unknown';
    // One that has just come over by a live migration is heard of before the inventory that lists it.
    return mayMove?.(vm as VmId, peer.host) === true ? 'unknown' : 'foreign';
  }

  /** Events and results: false and counted when the VM is unknown or another host's; a guest that speaks of another VM loses its connection. */
  #mayReport(vm: string, peer: PeerState): boolean {
    const standing = this.#standingOfVm(vm, peer);
    if (standing === 'own') return true;
    this.#owner.counters.dropped[DROP_REASONS[standing]]++;
    if (standing !== 'foreign') return false;
    const error = notIts(`a frame about VM ${vm}`);
    if (peer.kind === 'guest') throw error;
    this.#tellForeign(vm, peer, error);
    return false;
  }

  /**
   * What a host had to say of a VM while nobody listened is said after that VM has gone on to another, too: it is dropped, and
   * costs no more. An agent keeps what was not read, so the end of the connection would be the end of the next one as well.
   */
  #tellForeign(vm: string, peer: PeerState, error: HeadroomError): void {
    if (this.#foreign.has(vm)) return;
    this.#foreign.add(vm);
    this.#owner.options.onProblem?.(this.#session.transport.peer, error, peer.key);
  }

  #closed(error: HeadroomError | undefined): void {
    const { counters, options } = this.#owner;
    const peer = this.#peer;
    if (error) {
      if (error.code !== 'CONNECTION_CLOSED') counters.protocolErrors++;
      options.onProblem?.(this.#session.transport.peer, error, peer?.key ?? this.#agent);
    }
    this.#owner.unregister(this, peer);
    if (peer?.kind === 'host') options.sink.onDisconnected?.(peer.host, error ?? null);
  }
}

function notIts(what: string): HeadroomError {
  return new HeadroomError('PERMISSION', `${what}, which is not this agent's to report`);
}

function rowsOf(blocks: readonly TelemetryBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.timesMs.length, 0);
}
