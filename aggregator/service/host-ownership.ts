/**
 * Which hosts' agents are served here, by who owns what. Input: an Ownership, hellos of agents, the time; output: agents taken
 * in or sent to the owner, commands withdrawn for hosts that are no longer ours, hosts given back whose agents stay away and,
 * a few a round, those that another should have. While nobody can tell who owns a host its telemetry is taken all the same; so it is of one
 * whose owner its agent has lost, until that one's lease ends or it gives up a host that it does not hear either: the host is taken over in
 * that instant, without a further connection. Who has no lease itself sends its agents on, to whoever may have one.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { type FrameOf, MOVES_ON_CAPABILITY, REDIRECT_CAPABILITY } from '../../shared/protocol/frames.ts';
import { preferredOwner } from '../core/ownership/preferred-owner.ts';
import type { IngestOptions } from '../ingest/ingest.ts';
import type { Admission, Elsewhere } from '../ingest/peer-state.ts';
import type { Claim, Member, Ownership } from '../ownership/ownership.ts';

export interface HostOwnershipOptions {
  ownership: Ownership;
  clock: Clock;
  log: Logger;
  /** Whose agents are connected now. */
  connected: () => readonly HostId[];
  redirect: (host: HostId, to: Elsewhere) => boolean;
  /** Commands under way to these hosts are withdrawn. */
  withdraw: (hosts: ReadonlySet<HostId>, reason: string) => void;
  /** Another aggregator looks after it from now on: nothing of it is kept here. */
  forget: (host: HostId) => void;
  /** Hosts became ours whose agents are here: they need not wait for the plan's turn. */
  taken: () => void;
  /** A host's agent that stays away so long may be with another: that one shall have the host. */
  awayMsMax: number;
}

/** Hosts whose owner was not known are asked for again, and moves are made, this often. */
const TURN_MS = 1000;
const CLAIMS_AT_ONCE = 200;
/** Hosts moved for balance in a round; a round is this many turns. */
const MOVES_PER_ROUND = 16;
const TURNS_PER_ROUND = 10;
/** An agent that is sent on goes at once, but not all in the same instant. */
const SENT_ON_MS = 100;
/** Without a lease for long: the others may have one by now, and the agents that came to us meanwhile try them again. */
const LAPSED_AGAIN_MS = 60_000;
/** What was sent on to nobody in particular may come back: it is kept for so long. */
const LEFT_MS_MAX = 60_000;
/** An agent that did not reach a living aggregator is not sent there for balance before this has passed. */
const AVOIDED_MS = 300_000;

const LAPSED = 'this aggregator does not reach etcd';

/** An agent that has looked at so many is kept by the next, whoever else there may be. */
const LOOKED_MAX = 8;

/** `awaited`: its agent does not reach the owner, and is served here as soon as that one has given the host up. */
type Placed = Claim | { kind: 'awaited'; owner: Member };

export class HostOwnership {
  readonly #options: HostOwnershipOptions;
  readonly #awaySinceMs = new Map<HostId, number>();
  /** Those we have claimed and not given back. */
  readonly #ours = new Set<HostId>();
  /** Agents that are here because they cannot reach these: their hosts' owners may be among them. */
  readonly #cutOff = new Map<HostId, readonly string[]>();
  /** Of those the ones whose owner is known, with its name. */
  readonly #awaited = new Map<HostId, string>();
  /** Their agents can be sent on without an address. */
  readonly #movesOn = new Set<HostId>();
  /** Sent on so, at this time. */
  readonly #leftAtMs = new Map<HostId, number>();
  /** Aggregators that lived and were not reached. */
  readonly #avoided = new Map<HostId, { urls: readonly string[]; untilMs: number }>();
  #sentOnAtMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #turn = 0;
  #turning = false;
  #placing: Promise<void> = Promise.resolve();
  /** Comes after it, and has not begun. */
  #placingNext: Promise<void> | null = null;
  readonly #counters = { takenOver: 0, moved: 0, givenBack: 0 };

  constructor(options: HostOwnershipOptions) {
    this.#options = options;
    options.ownership.onLost((hosts, reason) => options.withdraw(new Set(hosts), reason));
    // Whose lease has ended, or who gave one up, may have owned hosts whose agents are here already.
    options.ownership.onFree(() => void this.#placeUnowned());
    options.ownership.onWanted((hosts) => void this.#giveUp(hosts));
    options.ownership.onLapsed(() => this.#sendAllOn());
  }

  /** `refresh`: what else must be heard of within a turn. */
  start(refresh: () => Promise<void>): void {
    this.#timer = this.#options.clock.setInterval(() => {
      void this.#tick();
      // Whatever stands between us and the others now, the next turn tries again.
      refresh().catch(() => undefined);
    }, TURN_MS);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** What ingest asks. */
  door(): Required<Pick<IngestOptions, 'admit' | 'mayCommand' | 'aggregators'>> {
    return {
      admit: (host, hello) => this.admit(host, hello),
      mayCommand: (host) => this.mayCommand(host),
      // The only one there is need not say where it is.
      aggregators: () => this.#options.ownership.members().flatMap(({ url }) => (url === '' ? [] : [url])),
    };
  }

  /** A host's agent is not connected any more: it may be with another, who then waits for its host. */
  left(host: HostId): void {
    if (this.#ours.has(host)) this.#options.ownership.attend();
  }

  mayCommand(host: HostId): boolean {
    return this.#options.ownership.epochOf(host) !== null;
  }

  async admit(host: HostId, hello: FrameOf<'hello'>): Promise<Admission> {
    const { unreachable = [] } = hello;
    const here = !hello.capabilities.includes(REDIRECT_CAPABILITY);
    const movesOn = hello.capabilities.includes(MOVES_ON_CAPABILITY);
    const claim = await this.#claim(host, unreachable, here);
    if (claim.kind === 'elsewhere') {
      return { here: false, url: claim.owner.url, retryMs: SENT_ON_MS, reason: `host ${host} belongs to ${claim.owner.name}` };
    }
    if (claim.kind !== 'held' && movesOn && this.#othersMay(unreachable)) {
      return { here: false, url: null, retryMs: SENT_ON_MS, reason: LAPSED };
    }
    this.#awaySinceMs.delete(host);
    this.#leftAtMs.delete(host);
    if (movesOn) this.#movesOn.add(host);
    else this.#movesOn.delete(host);
    if (claim.kind === 'held') {
      this.#took(host, unreachable);
      return { here: true, epoch: claim.epoch };
    }
    // Nobody can tell: its rows are taken, and nothing is decided about it until somebody can.
    if (unreachable.length > 0) this.#cutOff.set(host, unreachable);
    if (claim.kind === 'awaited') this.#await(host, claim.owner);
    return { here: true, epoch: 0 };
  }

  /** An owner whom the agent cannot reach is none: whoever should have the host in its place waits for its lease to end. */
  async #claim(host: HostId, unreachable: readonly string[], here = false): Promise<Placed> {
    const { ownership } = this.#options;
    const claim = await ownership.claim(host, { here });
    if (claim.kind !== 'elsewhere' || !unreachable.includes(claim.owner.url)) return claim;
    const next = this.#next(host, unreachable);
    if (next !== null && next.name !== ownership.name) return { kind: 'elsewhere', owner: next };
    const again = here ? claim : await ownership.claim(host, { here: true });
    return again.kind === 'elsewhere' ? { kind: 'awaited', owner: again.owner } : again;
  }

  /** Who should have it among those that are reached; null: nobody. */
  #next(host: HostId, unreachable: readonly string[]): Member | null {
    const reached = this.#options.ownership.members().filter(({ url }) => !unreachable.includes(url));
    const name = preferredOwner(
      host,
      reached.map((member) => member.name),
    );
    return reached.find((member) => member.name === name) ?? null;
  }

  metrics(): Record<string, number> {
    return {
      ownership_taken_over_total: this.#counters.takenOver,
      ownership_moved_total: this.#counters.moved,
      ownership_given_back_total: this.#counters.givenBack,
      ...this.#options.ownership.metrics(),
    };
  }

  #took(host: HostId, unreachable: readonly string[]): void {
    const { clock, ownership } = this.#options;
    if (!this.#ours.has(host)) this.#counters.takenOver++;
    this.#ours.add(host);
    this.#stopWaiting(host);
    const members = ownership.members();
    const urls = unreachable.filter((lost) => members.some(({ url }) => url === lost));
    if (urls.length > 0) this.#avoided.set(host, { urls, untilMs: clock.monotonicMs() + AVOIDED_MS });
  }

  #await(host: HostId, owner: Member): void {
    if (this.#awaited.get(host) === owner.name) return;
    this.#awaited.set(host, owner.name);
    this.#options.ownership.want(this.#awaited);
  }

  #stopWaiting(host: HostId): void {
    this.#cutOff.delete(host);
    if (this.#awaited.delete(host)) this.#options.ownership.want(this.#awaited);
  }

  /** Is there another, which it has not just tried, for an agent that we cannot look after? */
  #othersMay(unreachable: readonly string[]): boolean {
    const { ownership } = this.#options;
    if (!ownership.lapsed() || unreachable.length >= LOOKED_MAX) return false;
    return ownership.members().some(({ name, url }) => name !== ownership.name && !unreachable.includes(url));
  }

  /**
   * We hold nothing, and our agents' hosts are free for others. Those that come from now on are kept only when they have been
   * everywhere: where nobody reaches etcd each ends at one, which takes its rows.
   */
  #sendAllOn(): void {
    this.#sentOnAtMs = this.#options.clock.monotonicMs();
    if (!this.#othersMay([])) return;
    for (const host of this.#options.connected()) if (this.#movesOn.has(host)) this.#sendOn(host, null, LAPSED);
  }

  /** Their agents are with another, which they reach: what we do not hear is not ours to keep. */
  async #giveUp(hosts: readonly HostId[]): Promise<void> {
    const { ownership, withdraw, forget, log } = this.#options;
    const connected = new Set(this.#options.connected());
    const gone = hosts.filter((host) => !connected.has(host));
    if (gone.length === 0) return;
    withdraw(new Set(gone), 'its agent has gone to another aggregator');
    log.info('hosts are given up to another aggregator, to which their agents have gone', { hosts: gone.length, one: gone[0] });
    for (const host of gone) {
      this.#awaySinceMs.delete(host);
      this.#ours.delete(host);
      this.#counters.givenBack++;
      forget(host);
    }
    const released = await Promise.allSettled(gone.map((host) => ownership.release(host)));
    const failed = released.find((each) => each.status === 'rejected');
    // As long as it is wanted it is freed again.
    if (failed !== undefined) log.warn('a host could not be given up', { problem: errorText(failed.reason) });
  }

  async #tick(): Promise<void> {
    if (this.#turning) return;
    this.#turning = true;
    try {
      this.#turn++;
      await this.#placeUnowned();
      const connected = new Set(this.#options.connected());
      for (const host of this.#cutOff.keys()) if (!connected.has(host)) this.#stopWaiting(host);
      for (const host of this.#movesOn) if (!connected.has(host)) this.#movesOn.delete(host);
      this.#forgetLeft(connected);
      await this.#giveBackAway(connected);
      if (this.#turn % TURNS_PER_ROUND === 0) await this.#balance(connected);
    } catch (error) {
      this.#options.log.warn('a turn of host ownership failed', { problem: errorText(error) });
    } finally {
      this.#turning = false;
    }
  }

  /** Agents that are here although the host is not ours; one such turn after the other. */
  #placeUnowned(): Promise<void> {
    this.#placingNext ??= this.#placing.then(() => {
      this.#placingNext = null;
      return this.#placeAll();
    });
    this.#placing = this.#placingNext;
    return this.#placing;
  }

  async #placeAll(): Promise<void> {
    const hosts = this.#options.connected().filter((host) => !this.mayCommand(host));
    for (let i = 0; i < hosts.length; i += CLAIMS_AT_ONCE) {
      const taken = await Promise.all(hosts.slice(i, i + CLAIMS_AT_ONCE).map((host) => this.#placeOne(host)));
      if (taken.includes(true)) this.#options.taken();
    }
  }

  /** True: it is ours from now on. Never rejects. */
  async #placeOne(host: HostId): Promise<boolean> {
    const unreachable = this.#cutOff.get(host) ?? [];
    const claim = await this.#claim(host, unreachable);
    if (claim.kind === 'held') this.#took(host, unreachable);
    if (claim.kind === 'awaited') this.#await(host, claim.owner);
    if (claim.kind === 'elsewhere') this.#sendOn(host, claim.owner.url, `host ${host} belongs to ${claim.owner.name}`);
    return claim.kind === 'held';
  }

  async #giveBackAway(connected: ReadonlySet<HostId>): Promise<void> {
    const { clock, ownership, awayMsMax } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const host of this.#ours) {
      const sinceMs = connected.has(host) ? undefined : (this.#awaySinceMs.get(host) ?? nowMs);
      if (sinceMs === undefined) this.#awaySinceMs.delete(host);
      else this.#awaySinceMs.set(host, sinceMs);
      if (sinceMs === undefined || nowMs - sinceMs < awayMsMax) continue;
      this.#awaySinceMs.delete(host);
      this.#ours.delete(host);
      this.#counters.givenBack++;
      await ownership.release(host);
    }
  }

  /** Sent on to nobody in particular, and not back, while we had a lease to take them back under. */
  #forgetLeft(connected: ReadonlySet<HostId>): void {
    const { clock, ownership, forget } = this.#options;
    const nowMs = clock.monotonicMs();
    if (ownership.lapsed()) {
      for (const host of this.#leftAtMs.keys()) this.#leftAtMs.set(host, nowMs);
      if (nowMs - this.#sentOnAtMs >= LAPSED_AGAIN_MS) this.#sendAllOn();
      return;
    }
    for (const [host, atMs] of this.#leftAtMs) {
      if (!connected.has(host) && nowMs - atMs < LEFT_MS_MAX) continue;
      this.#leftAtMs.delete(host);
      if (!connected.has(host)) forget(host);
    }
  }

  async #balance(connected: ReadonlySet<HostId>): Promise<void> {
    const { ownership, log, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (const [host, { untilMs }] of this.#avoided) if (nowMs >= untilMs) this.#avoided.delete(host);
    const misplaced = ownership
      .misplaced(MOVES_PER_ROUND + this.#avoided.size)
      .filter(({ host, to }) => !this.#avoided.get(host)?.urls.includes(to.url));
    for (const { host, to } of misplaced.slice(0, MOVES_PER_ROUND)) {
      if (!connected.has(host)) continue;
      this.#options.withdraw(new Set([host]), `host ${host} moves to ${to.name}`);
      await ownership.release(host);
      this.#counters.moved++;
      log.info('a host moves for balance', { host, to: to.name });
      this.#sendOn(host, to.url, `host ${host} moves to ${to.name}`);
    }
  }

  #sendOn(host: HostId, url: string | null, reason: string): void {
    const { redirect, forget } = this.#options;
    this.#ours.delete(host);
    this.#stopWaiting(host);
    if (!redirect(host, { url, retryMs: SENT_ON_MS, reason })) return;
    if (url === null) this.#leftAtMs.set(host, this.#options.clock.monotonicMs());
    else forget(host);
  }
}
