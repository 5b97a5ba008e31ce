/**
 * Hosts and VMs as whoever decides about groups sees and reaches them, whichever aggregator has them. Input: live state of our own hosts,
 * the other aggregators; output: one sight of all, orders brought to their hosts, hosts' answers brought back. On the other side of the
 * same seam it answers the one that holds the fleet: what we see, what our hosts said. Nothing is decided here.
 */
import { errorText } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { BUILD_CAPABILITY, BUILD_SUSPEND_CAPABILITY, HAND_OVER_CAPABILITY, PROBE_CAPABILITY } from '../../shared/protocol/build-frames.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import { type GroupSight, joinedSight, type SightPart, sightOf } from '../core/spawn/group-sight.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import { ownedPart } from '../core/state/owned-part.ts';
import type { AnswersMark, FleetAsked, FleetDesk, FleetPeer, FleetPeers, FleetTold, HostAnswer } from '../http/fleet-service.ts';

export interface FleetViewOptions {
  state: FleetState;
  snapshot: () => FleetSnapshot;
  /** Highest demand of each host's VMs together in the hour to come, cores. */
  peaks: (snapshot: FleetSnapshot) => ReadonlyMap<string, number>;
  owns: (host: HostId) => boolean;
  /** Orders to this host carry it. */
  epochOf: (host: HostId) => number;
  understands: (host: HostId, capability: string) => boolean;
  send: (host: HostId, frame: FrameOf<'build'>) => boolean;
  peers: FleetPeers;
  /** Of this process, unlike any other's. */
  run: number;
  log: Logger;
}

/** Answers of a busy minute. What is not fetched in time is asked for again: orders are repeated until they are answered. */
const ANSWERS_MAX = 500;

export class FleetView implements FleetDesk {
  readonly #options: FleetViewOptions;
  /** Whose hosts these are, as last seen. */
  readonly #at = new Map<HostId, FleetPeer>();
  readonly #marks = new Map<string, AnswersMark>();
  #kept: HostAnswer[] = [];
  /** Of all that were ever kept. */
  #count = 0;
  #missing = '';
  /** Hosts' answers that came by way of others. */
  onAnswer: (answer: HostAnswer) => void = () => undefined;

  constructor(options: FleetViewOptions) {
    this.#options = options;
  }

  /** Of these VMs and of groups' own. Null: somebody who lives does not tell. */
  async look(vms: readonly VmId[]): Promise<GroupSight | null> {
    const peers = this.#options.peers();
    const told = await Promise.allSettled(peers.map((peer) => peer.look({ vms, since: this.#marks.get(peer.name) ?? null })));
    this.#at.clear();
    const parts: SightPart[] = [];
    const missing: string[] = [];
    for (const [i, answer] of told.entries()) {
      const peer = peers[i]!;
      if (answer.status === 'rejected') {
        missing.push(`${peer.name} (${errorText(answer.reason)})`);
        continue;
      }
      const { sight, answers, mark } = answer.value;
      this.#marks.set(peer.name, mark);
      parts.push(sight);
      for (const host of sight.hosts) if (host.connected) this.#at.set(host.id, peer);
      for (const each of answers) this.onAnswer(each);
    }
    this.#noteMissing(missing);
    if (missing.length > 0) return null;
    const snapshot = this.#ownSnapshot();
    // Ours last, so that nothing of it is older than what the others told.
    const { hosts, vms: seen } = joinedSight([...parts, this.#own(snapshot, vms)]);
    return { nowMs: snapshot.nowMs, killSwitch: snapshot.killSwitch, hosts, vms: seen };
  }

  /** Under the epoch of whoever owns the host. False: nobody reaches it now. */
  send(host: HostId, frame: FrameOf<'build'>): boolean {
    if (this.pass(host, frame)) return true;
    const peer = this.#at.get(host);
    if (peer === undefined) return false;
    peer.build(host, frame).catch((error: unknown) => {
      this.#options.log.warn('an order could not be passed on; it is repeated', { host, to: peer.name, problem: errorText(error) });
    });
    return true;
  }

  pass(host: HostId, frame: FrameOf<'build'>): boolean {
    const { owns, epochOf, send } = this.#options;
    return owns(host) && send(host, { ...frame, pair: { ...frame.pair, epoch: epochOf(host) } });
  }

  tell({ vms, since }: FleetAsked): FleetTold {
    const { run } = this.#options;
    const fresh = since?.run === run ? this.#count - since.count : this.#kept.length;
    return {
      sight: this.#own(this.#ownSnapshot(), vms),
      answers: fresh <= 0 ? [] : this.#kept.slice(-fresh),
      mark: { run, count: this.#count },
    };
  }

  /** For whoever holds the fleet, to be fetched. */
  keep(answer: HostAnswer): void {
    this.#kept.push(answer);
    this.#count++;
    if (this.#kept.length > ANSWERS_MAX) this.#kept.shift();
  }

  #ownSnapshot(): FleetSnapshot {
    return ownedPart(this.#options.snapshot(), this.#options.owns);
  }

  #own(snapshot: FleetSnapshot, vms: readonly VmId[]): SightPart {
    const { state, peaks, understands } = this.#options;
    const peak = peaks(snapshot);
    return sightOf({
      ...{ snapshot, policy: state.policy, asked: new Set(vms) },
      peakCores: (host) => peak.get(host) ?? null,
      makesVms: (host) => understands(host, BUILD_CAPABILITY),
      takesVms: (host) => understands(host, HAND_OVER_CAPABILITY),
      probes: (host) => understands(host, PROBE_CAPABILITY),
      suspends: (host) => understands(host, BUILD_SUSPEND_CAPABILITY),
      guestAgent: (vm) => state.vm(vm)?.inventory.guestAgent === true,
      step: (vm) => state.vm(vm)?.latestStep ?? null,
    });
  }

  /** Told once for each time. */
  #noteMissing(missing: readonly string[]): void {
    const names = missing.join(', ');
    if (names !== '' && this.#missing === '')
      this.#options.log.warn('groups wait: an aggregator does not tell of its hosts', { missing: names });
    if (names === '' && this.#missing !== '') this.#options.log.info('all aggregators tell of their hosts again: groups are decided');
    this.#missing = names;
  }
}
