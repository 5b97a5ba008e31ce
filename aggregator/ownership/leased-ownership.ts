/**
 * Ownership among several aggregators, by one lease each in a shared table. Input: the table, a clock, a name, where agents
 * reach us; output: an Ownership. Whoever's lease lives is a member; hosts and the fleet are keys under it. What we hold
 * counts only until the lease could have ended by our own clock, so that nobody acts beside a successor: a process that was
 * stopped finds its time over the moment it runs again.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { movesOfRound, preferredOwner } from '../core/ownership/preferred-owner.ts';
import type { LeaseId, LeaseTable } from './lease-table.ts';
import type { Claim, ClaimOptions, FleetHolder, Member, Ownership } from './ownership.ts';
import { hostKey, type Wanted, WantedHosts } from './wanted-hosts.ts';

export interface LeasedOwnershipOptions {
  table: LeaseTable;
  clock: Clock;
  log: Logger;
  name: string;
  url: string;
  /** By which the others know us while we hold the fleet; absent: they are never asked. */
  word?: string;
  /** Whole seconds, two at least. A member that is silent for so long is none any more: the least that a host waits for its next owner. */
  leaseMs: number;
}

/** Renewals in the life of a lease: two may fail. */
const RENEWALS = 6;
/** Clocks of two machines drift apart by far less within a lease. */
const DRIFT_FRACTION = 0.1;
/** After so much of a lease more the table has ended it, and whatever kept us from renewing it has had another chance to pass. */
const LAPSED_FRACTION = 1 / 6;
/** Agents that lost their owner come all at once: what is asked of it is written for many together. */
const WANTED_TOLD_MS = 50;
/** Between two looks while agents look for an owner: each of these is time in which hosts have none. */
const LOOK_MS = 100;
/** So many leases after the last agent left or came in vain: whoever has died is known to all by then. */
const ATTEND_LEASES = 2;
/** Members must be the same for so many leases before hosts are moved for balance: half a minute, in which a restarted one is back. */
const STEADY_LEASES = 10;
/** A turn that ended longer ago than this part of a lease: the table is slow, and what is given back now may find nobody who can take it. */
const PROMPT_FRACTION = 1 / 3;
const MEMBER = 'members/';
const FLEET = 'fleet';

interface Held {
  lease: LeaseId;
  /** By our clock: until then the table cannot have ended it. */
  untilMs: number;
  /** We are a member under it. */
  registered: boolean;
  hosts: Map<HostId, number>;
  fleet: number | null;
}

export class LeasedOwnership implements Ownership {
  readonly name: string;
  readonly #options: LeasedOwnershipOptions;
  readonly #listeners: ((hosts: readonly HostId[], reason: string) => void)[] = [];
  readonly #freeListeners: (() => void)[] = [];
  readonly #wantedListeners: ((hosts: readonly HostId[]) => void)[] = [];
  readonly #lapsedListeners: (() => void)[] = [];
  #held: Held | null = null;
  /** As the table told at our last turn. */
  #holder: FleetHolder | null = null;
  #members: readonly Member[] = [];
  #membersSinceMs = 0;
  /** When the table last had answered all of a turn. */
  #turnedMs = Number.NEGATIVE_INFINITY;
  /** Owners that the table named, good for as long as they are members and for one lease at most. */
  readonly #owners = new Map<HostId, { owner: Member; untilMs: number }>();
  #timer: Timer | undefined;
  #turning: Promise<void> | null = null;
  /** One at a time of each host: an answer that came late would say that we hold what was given back meanwhile. */
  readonly #takes = new Map<HostId, Promise<Claim>>();
  /** Being freed in the table. */
  readonly #leaving = new Set<HostId>();
  readonly #wanted: WantedHosts;
  #wantedSoon: Timer | undefined;
  #attendUntilMs = Number.NEGATIVE_INFINITY;
  #looking: Timer | undefined;
  /** Goes off when the lease has run out, and once more when that has lasted. */
  #lapse: Timer | undefined;
  #lapsed: 'no' | 'just' | 'for-good' = 'no';
  #closed = false;
  readonly #counters = { claims: 0, claimsLost: 0, leasesLost: 0, turnsFailed: 0 };

  constructor(options: LeasedOwnershipOptions) {
    this.#options = options;
    this.name = options.name;
    this.#wanted = new WantedHosts(options);
  }

  async start(): Promise<void> {
    const { clock, leaseMs } = this.#options;
    await this.#turn();
    this.#timer = clock.setInterval(() => void this.#turn(), leaseMs / RENEWALS);
  }

  epochOf(host: HostId): number | null {
    return this.#living()?.hosts.get(host) ?? null;
  }

  fleetEpoch(): number | null {
    return this.#living()?.fleet ?? null;
  }

  fleetHolder(): FleetHolder | null {
    return this.#living() === null ? null : this.#holder;
  }

  members(): readonly Member[] {
    return this.#members;
  }

  onLost(listener: (hosts: readonly HostId[], reason: string) => void): void {
    this.#listeners.push(listener);
  }

  onFree(listener: () => void): void {
    this.#freeListeners.push(listener);
  }

  want(hosts: Wanted): void {
    this.#wanted.set(hosts);
    if (hosts.size > 0) this.attend();
    this.#wantedSoon ??= this.#options.clock.setTimeout(() => {
      this.#wantedSoon = undefined;
      const held = this.#living();
      // Otherwise, or where it fails, the next turn tells it.
      if (held?.registered && !this.#closed) this.#wanted.publish(held.lease).catch(() => undefined);
    }, WANTED_TOLD_MS);
  }

  attend(): void {
    const { clock, leaseMs } = this.#options;
    this.#attendUntilMs = clock.monotonicMs() + ATTEND_LEASES * leaseMs;
    this.#lookSoon();
  }

  onWanted(listener: (hosts: readonly HostId[]) => void): void {
    this.#wantedListeners.push(listener);
  }

  lapsed(): boolean {
    return this.#lapsed === 'for-good';
  }

  onLapsed(listener: () => void): void {
    this.#lapsedListeners.push(listener);
  }

  async claim(host: HostId, { here = false }: ClaimOptions = {}): Promise<Claim> {
    const held = this.#living();
    if (held === null) return { kind: 'unknown', reason: 'our own lease has lapsed' };
    const epoch = held.hosts.get(host);
    if (epoch !== undefined) return { kind: 'held', epoch };
    if (this.#leaving.has(host)) return { kind: 'unknown', reason: 'it is just being given back' };
    try {
      return (await this.#ownerElsewhere(host, here)) ?? (await this.#takeOnce(held, host));
    } catch (error) {
      return { kind: 'unknown', reason: errorText(error) };
    }
  }

  async release(host: HostId): Promise<void> {
    const held = this.#held;
    const epoch = held?.hosts.get(host);
    if (epoch === undefined) return;
    // First of all: from here on nothing is decided about it.
    held!.hosts.delete(host);
    await this.#free(host, epoch);
  }

  misplaced(movesMax: number): { host: HostId; to: Member }[] {
    const held = this.#living();
    const { clock, leaseMs } = this.#options;
    const nowMs = clock.monotonicMs();
    if (held === null || nowMs - this.#membersSinceMs < STEADY_LEASES * leaseMs) return [];
    if (nowMs - this.#turnedMs > PROMPT_FRACTION * leaseMs) return [];
    const names = this.#members.map(({ name }) => name);
    return movesOfRound(this.name, [...held.hosts.keys()], names, movesMax).flatMap(({ host, to }) => {
      const member = this.#memberOf(to);
      return member === null ? [] : [{ host, to: member }];
    });
  }

  metrics(): Record<string, number> {
    const held = this.#living();
    return {
      ownership_members: this.#members.length,
      ownership_hosts: held?.hosts.size ?? 0,
      ownership_fleet: held?.fleet === undefined || held.fleet === null ? 0 : 1,
      ownership_lapsed: held === null ? 1 : 0,
      ownership_claims_total: this.#counters.claims,
      ownership_claims_lost_total: this.#counters.claimsLost,
      ownership_leases_lost_total: this.#counters.leasesLost,
      ownership_turns_failed_total: this.#counters.turnsFailed,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#lapse?.cancel();
    this.#wantedSoon?.cancel();
    this.#looking?.cancel();
    await this.#turning;
    const held = this.#held;
    this.#held = null;
    if (held === null) return;
    // Others need not wait for its end. If the table is away, they will.
    await this.#options.table.revoke(held.lease).catch(() => undefined);
  }

  /** What is held at this instant. */
  #living(): Held | null {
    const held = this.#held;
    return held !== null && this.#options.clock.monotonicMs() < held.untilMs ? held : null;
  }

  #memberOf(name: string): Member | null {
    return this.#members.find((member) => member.name === name) ?? null;
  }

  /** Null: nobody has it, and it is ours to take. */
  async #ownerElsewhere(host: HostId, here: boolean): Promise<Claim | null> {
    const { clock, table, leaseMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const known = this.#owners.get(host);
    if (known !== undefined && nowMs < known.untilMs && this.#memberOf(known.owner.name)?.url === known.owner.url) {
      return { kind: 'elsewhere', owner: known.owner };
    }
    this.#owners.delete(host);
    const preferred = preferredOwner(
      host,
      this.#members.map(({ name }) => name),
    );
    // Taking it tells who has it, too.
    if (here || preferred === null || preferred === this.name) return null;
    const entry = await table.get(hostKey(host));
    // Taken with the answer lost: taking it again tells under what.
    if (entry?.value === this.name) return null;
    const owner = this.#memberOf(entry?.value ?? preferred);
    if (owner === null) return { kind: 'unknown', reason: `${entry?.value} has just gone` };
    if (entry !== null) this.#owners.set(host, { owner, untilMs: nowMs + leaseMs });
    return { kind: 'elsewhere', owner };
  }

  #takeOnce(held: Held, host: HostId): Promise<Claim> {
    const under = this.#takes.get(host);
    if (under !== undefined) return under;
    const taking = this.#take(held, host).finally(() => this.#takes.delete(host));
    this.#takes.set(host, taking);
    return taking;
  }

  async #take(held: Held, host: HostId): Promise<Claim> {
    const { clock, table, leaseMs } = this.#options;
    this.#counters.claims++;
    const { mine, entry } = await table.take(held.lease, hostKey(host), this.name);
    if (mine && this.#living() === held) {
      held.hosts.set(host, entry.revision);
      return { kind: 'held', epoch: entry.revision };
    }
    if (mine) return { kind: 'unknown', reason: 'our own lease has lapsed' };
    this.#counters.claimsLost++;
    const owner = entry.value === this.name ? null : this.#memberOf(entry.value);
    if (owner === null) return { kind: 'unknown', reason: `${entry.value} holds it and is about to go` };
    this.#owners.set(host, { owner, untilMs: clock.monotonicMs() + leaseMs });
    return { kind: 'elsewhere', owner };
  }

  #turn(): Promise<void> {
    this.#turning ??= this.#renew()
      .catch((error: unknown) => {
        this.#counters.turnsFailed++;
        if (!isHeadroomError(error, 'UNAVAILABLE')) this.#options.log.warn('a turn of ownership failed', { problem: errorText(error) });
      })
      .finally(() => {
        this.#turning = null;
        this.#noteLapse();
      });
    return this.#turning;
  }

  async #renew(): Promise<void> {
    const { table, clock, leaseMs } = this.#options;
    const sentMs = clock.monotonicMs();
    const untilMs = sentMs + leaseMs * (1 - DRIFT_FRACTION);
    if (this.#held !== null && !(await table.renew(this.#held.lease))) this.#lose();
    // What is under the lease lives with it: that the table is slow with the rest must not make us lapse.
    if (this.#held?.registered) this.#livesUntil(this.#held, untilMs);
    this.#held ??= {
      lease: await table.grant(leaseMs),
      untilMs: Number.NEGATIVE_INFINITY,
      registered: false,
      hosts: new Map(),
      fleet: null,
    };
    if (!this.#closed) await this.#register(this.#held, untilMs);
  }

  /** `untilMs`: how long the lease surely lives, from before its renewal was asked for. */
  async #register(held: Held, untilMs: number): Promise<void> {
    const { table, clock, url, word = '', log } = this.#options;
    const { mine } = await table.take(held.lease, MEMBER + this.name, url);
    if (!mine) {
      // An earlier life's lease ends by itself; another process of this name must be told apart by its operator.
      log.warn(`another aggregator is called "${this.name}"; waiting for its lease to end`);
      return;
    }
    held.registered = true;
    this.#livesUntil(held, untilMs);
    const { mine: ours, entry } = await table.take(held.lease, FLEET, `${this.name} ${word}`);
    held.fleet = ours ? entry.revision : null;
    const [holder = '', shown = ''] = entry.value.split(' ');
    this.#holder = { name: holder, epoch: entry.revision, word: shown };
    await this.#look(held);
    this.#turnedMs = clock.monotonicMs();
  }

  /** Who lives, and who waits for what. */
  async #look(held: Held): Promise<void> {
    const { table, clock, log } = this.#options;
    const listed = await table.list(MEMBER);
    const members = listed.map(({ key, value }) => ({ name: key.slice(MEMBER.length), url: value }));
    if (JSON.stringify(members) !== JSON.stringify(this.#members)) {
      log.info('aggregators', { members: members.map(({ name }) => name).join(', ') });
      this.#members = members;
      this.#membersSinceMs = clock.monotonicMs();
      for (const listener of this.#freeListeners) listener();
    }
    await this.#exchangeWanted(held);
  }

  /** Between turns, while there is reason to. A table that does not answer is the turns' concern. */
  #lookSoon(): void {
    const { clock } = this.#options;
    if (this.#closed || this.#looking !== undefined || clock.monotonicMs() >= this.#attendUntilMs) return;
    this.#looking = clock.setTimeout(() => {
      const held = this.#living();
      const looked = held?.registered && this.#turning === null ? this.#look(held).catch(() => undefined) : Promise.resolve();
      void looked.then(() => {
        this.#looking = undefined;
        this.#lookSoon();
      });
    }, LOOK_MS);
  }

  /** Tells what we wait for and hears what is waited for with us. */
  async #exchangeWanted(held: Held): Promise<void> {
    const [asked, changed] = await Promise.all([this.#wanted.ofOurs(), this.#wanted.changed(), this.#wanted.publish(held.lease)]);
    for (const host of changed) this.#owners.delete(host);
    if (changed.length > 0) for (const listener of this.#freeListeners) listener();
    if (this.#living() !== held) return;
    const ours = asked.filter((host) => held.hosts.has(host));
    if (ours.length > 0) for (const listener of this.#wantedListeners) listener(ours);
    await Promise.all(asked.filter((host) => !held.hosts.has(host)).map((host) => this.#freeLeftOver(host)));
  }

  /** The table has it as ours and we do not: a taking or a freeing whose answer was lost. */
  async #freeLeftOver(host: HostId): Promise<void> {
    if (this.#takes.has(host) || this.#leaving.has(host)) return;
    const entry = await this.#options.table.get(hostKey(host));
    if (entry?.value !== this.name || this.#takes.has(host) || this.#held?.hosts.has(host)) return;
    await this.#free(host, entry.revision);
  }

  async #free(host: HostId, epoch: number): Promise<void> {
    this.#leaving.add(host);
    try {
      await this.#options.table.free(hostKey(host), epoch);
    } finally {
      this.#leaving.delete(host);
    }
  }

  #livesUntil(held: Held, untilMs: number): void {
    const { clock } = this.#options;
    held.untilMs = untilMs;
    this.#lapse?.cancel();
    // Timers may go off a moment early.
    if (!this.#closed) this.#lapse = clock.setTimeout(() => this.#noteLapse(), untilMs - clock.monotonicMs() + 2);
  }

  /** The table has ended our lease: whoever wants our hosts may have them already. */
  #lose(): void {
    const lost = this.#held;
    this.#held = null;
    this.#counters.leasesLost++;
    if (lost !== null) this.#tell([...lost.hosts.keys()], 'its lease has ended');
  }

  /** Told once for each time that we could not renew. */
  #noteLapse(): void {
    const lapsed = this.#living() === null;
    if (this.#closed || lapsed === (this.#lapsed !== 'no')) return;
    this.#lapsed = lapsed ? 'just' : 'no';
    const { log, clock, leaseMs } = this.#options;
    if (!lapsed) {
      log.info('our lease is renewed');
      return;
    }
    log.warn('our lease could not be renewed: nothing is decided until it is');
    this.#lapse?.cancel();
    this.#lapse = clock.setTimeout(() => this.#lapsedForGood(), LAPSED_FRACTION * leaseMs);
    if (this.#held !== null) this.#tell([...this.#held.hosts.keys()], 'its lease could not be renewed');
  }

  #lapsedForGood(): void {
    if (this.#closed || this.#living() !== null) return;
    this.#lapsed = 'for-good';
    for (const listener of this.#lapsedListeners) listener();
  }

  #tell(hosts: readonly HostId[], reason: string): void {
    if (hosts.length > 0) for (const listener of this.#listeners) listener(hosts, reason);
  }
}

/** Joins the others; rejects with UNAVAILABLE when the table does not answer. */
export async function joinOwnership(options: LeasedOwnershipOptions): Promise<LeasedOwnership> {
  const ownership = new LeasedOwnership(options);
  await ownership.start();
  if (ownership.members().length > 0) return ownership;
  await ownership.close();
  throw new HeadroomError('UNAVAILABLE', `the table of leases does not answer, or another aggregator is called "${options.name}"`);
}
