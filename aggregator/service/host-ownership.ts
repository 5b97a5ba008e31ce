/**
 * Which hosts' agents are served here, by who owns what. Input: an Ownership, hellos of agents, the time; output: agents taken
 * in or sent to the owner, commands withdrawn for hosts that are no longer ours, hosts given back whose agents stay away and,
 * a few a round, those that another should have. While nobody can tell who owns a host its telemetry is taken all the same.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { type FrameOf, REDIRECT_CAPABILITY } from '../../shared/protocol/frames.ts';
import type { IngestOptions } from '../ingest/ingest.ts';
import type { Admission, Elsewhere } from '../ingest/peer-state.ts';
import type { Ownership } from '../ownership/ownership.ts';

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
  /** A host's agent that stays away so long may be with another: that one shall have the host. */
  awayMsMax: number;
}

/** Hosts whose owner was not known are asked for again, and moves are made, this often. */
const TURN_MS = 1000;
const CLAIMS_AT_ONCE = 32;
/** Hosts moved for balance in a round; a round is this many turns. */
const MOVES_PER_ROUND = 16;
const TURNS_PER_ROUND = 10;
/** An agent that is sent on goes at once, but not all in the same instant; one that nobody can place asks again. */
const SENT_ON_MS = 100;
const ASK_AGAIN_MS = 500;

export class HostOwnership {
  readonly #options: HostOwnershipOptions;
  readonly #awaySinceMs = new Map<HostId, number>();
  /** Those we have claimed and not given back. */
  readonly #ours = new Set<HostId>();
  #timer: Timer | undefined;
  #turn = 0;
  #turning = false;
  readonly #counters = { takenOver: 0, moved: 0, givenBack: 0 };

  constructor(options: HostOwnershipOptions) {
    this.#options = options;
    options.ownership.onLost((hosts, reason) => options.withdraw(new Set(hosts), reason));
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
      aggregators: () => this.#options.ownership.members().map(({ url }) => url),
    };
  }

  mayCommand(host: HostId): boolean {
    return this.#options.ownership.epochOf(host) !== null;
  }

  async admit(host: HostId, hello: FrameOf<'hello'>): Promise<Admission> {
    const claim = await this.#options.ownership.claim(host, { here: !hello.capabilities.includes(REDIRECT_CAPABILITY) });
    if (claim.kind === 'elsewhere') {
      return { here: false, url: claim.owner.url, retryMs: SENT_ON_MS, reason: `host ${host} belongs to ${claim.owner.name}` };
    }
    this.#awaySinceMs.delete(host);
    // Nobody can tell: its rows are taken, and nothing is decided about it until somebody can.
    if (claim.kind === 'unknown') return { here: true, epoch: 0 };
    this.#took(host);
    return { here: true, epoch: claim.epoch };
  }

  metrics(): Record<string, number> {
    return {
      ownership_taken_over_total: this.#counters.takenOver,
      ownership_moved_total: this.#counters.moved,
      ownership_given_back_total: this.#counters.givenBack,
      ...this.#options.ownership.metrics(),
    };
  }

  #took(host: HostId): void {
    if (!this.#ours.has(host)) this.#counters.takenOver++;
    this.#ours.add(host);
  }

  async #tick(): Promise<void> {
    if (this.#turning) return;
    this.#turning = true;
    try {
      this.#turn++;
      const connected = new Set(this.#options.connected());
      await this.#place([...connected].filter((host) => !this.mayCommand(host)));
      await this.#giveBackAway(connected);
      if (this.#turn % TURNS_PER_ROUND === 0) await this.#balance(connected);
    } catch (error) {
      this.#options.log.warn('a turn of host ownership failed', { problem: errorText(error) });
    } finally {
      this.#turning = false;
    }
  }

  /** Agents that are here although the host is not ours. */
  async #place(hosts: readonly HostId[]): Promise<void> {
    for (let i = 0; i < hosts.length; i += CLAIMS_AT_ONCE) {
      await Promise.all(hosts.slice(i, i + CLAIMS_AT_ONCE).map((host) => this.#placeOne(host)));
    }
  }

  async #placeOne(host: HostId): Promise<void> {
    const claim = await this.#options.ownership.claim(host);
    if (claim.kind === 'held') this.#took(host);
    if (claim.kind === 'elsewhere') this.#sendOn(host, claim.owner.url, `host ${host} belongs to ${claim.owner.name}`);
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

  async #balance(connected: ReadonlySet<HostId>): Promise<void> {
    const { ownership, log } = this.#options;
    for (const { host, to } of ownership.misplaced(MOVES_PER_ROUND)) {
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
    if (redirect(host, { url, retryMs: url === null ? ASK_AGAIN_MS : SENT_ON_MS, reason })) forget(host);
  }
}
