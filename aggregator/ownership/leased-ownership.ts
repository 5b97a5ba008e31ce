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
import type { Claim, ClaimOptions, Member, Ownership } from './ownership.ts';

export interface LeasedOwnershipOptions {
  table: LeaseTable;
  clock: Clock;
  log: Logger;
  name: string;
  url: string;
  /** Whole seconds, two at least. A member that is silent for so long is none any more: the least that a host waits for its next owner. */
  leaseMs: number;
}

/** Renewals in the life of a lease: two may fail. */
const RENEWALS = 6;
/** Clocks of two machines drift apart by far less within a lease. */
const DRIFT_FRACTION = 0.1;
/** Members must be the same for so many leases before hosts are moved for balance: half a minute, in which a restarted one is back. */
const STEADY_LEASES = 10;
/** A turn that ended longer ago than this part of a lease: the table is slow, and what is given back now may find nobody who can take it. */
const PROMPT_FRACTION = 1 / 3;
const MEMBER = 'members/';
const FLEET = 'fleet';
const hostKey = (host: string): string => `hosts/${host}`;

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
  readonly #memberListeners: (() => void)[] = [];
  #held: Held | null = null;
  #members: readonly Member[] = [];
  #membersSinceMs = 0;
  /** When the table last had answered all of a turn. */
  #turnedMs = Number.NEGATIVE_INFINITY;
  /** Owners that the table named, good for as long as they are members and for one lease at most. */
  readonly #owners = new Map<HostId, { owner: Member; untilMs: number }>();
  #timer: Timer | undefined;
  #turning: Promise<void> | null = null;
  #lapsed = false;
  #closed = false;
  readonly #counters = { claims: 0, claimsLost: 0, leasesLost: 0, turnsFailed: 0 };

  constructor(options: LeasedOwnershipOptions) {
    this.#options = options;
    this.name = options.name;
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

  members(): readonly Member[] {
    return this.#members;
  }

  onLost(listener: (hosts: readonly HostId[], reason: string) => void): void {
    this.#listeners.push(listener);
  }

  onMembers(listener: () => void): void {
    this.#memberListeners.push(listener);
  }

  async claim(host: HostId, { here = false }: ClaimOptions = {}): Promise<Claim> {
    const held = this.#living();
    if (held === null) return { kind: 'unknown', reason: 'our own lease has lapsed' };
    const epoch = held.hosts.get(host);
    if (epoch !== undefined) return { kind: 'held', epoch };
    try {
      return (await this.#ownerElsewhere(host, here)) ?? (await this.#take(held, host));
    } catch (error) {
      return { kind: 'unknown', reason: errorText(error) };
    }
  }

  async release(host: HostId): Promise<void> {
    const held = this.#held;
    // First of all: from here on nothing is decided about it.
    if (held === null || !held.hosts.delete(host)) return;
    await this.#options.table.free(held.lease, hostKey(host));
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
    const owner = this.#memberOf(entry?.value ?? preferred);
    if (owner === null) return { kind: 'unknown', reason: `${entry?.value} has just gone` };
    if (entry !== null) this.#owners.set(host, { owner, untilMs: nowMs + leaseMs });
    return { kind: 'elsewhere', owner };
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
    if (this.#held?.registered) this.#held.untilMs = untilMs;
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
    const { table, clock, url, log } = this.#options;
    const { mine } = await table.take(held.lease, MEMBER + this.name, url);
    if (!mine) {
      // An earlier life's lease ends by itself; another process of this name must be told apart by its operator.
      log.warn(`another aggregator is called "${this.name}"; waiting for its lease to end`);
      return;
    }
    held.registered = true;
    held.untilMs = untilMs;
    const [fleet, listed] = await Promise.all([table.take(held.lease, FLEET, this.name), table.list(MEMBER)]);
    held.fleet = fleet.mine ? fleet.entry.revision : null;
    this.#turnedMs = clock.monotonicMs();
    const members = listed.map(({ key, value }) => ({ name: key.slice(MEMBER.length), url: value }));
    if (JSON.stringify(members) === JSON.stringify(this.#members)) return;
    log.info('aggregators', { members: members.map(({ name }) => name).join(', ') });
    this.#members = members;
    this.#membersSinceMs = clock.monotonicMs();
    for (const listener of this.#memberListeners) listener();
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
    if (lapsed === this.#lapsed) return;
    this.#lapsed = lapsed;
    const { log } = this.#options;
    if (!lapsed) {
      log.info('our lease is renewed');
      return;
    }
    log.warn('our lease could not be renewed: nothing is decided until it is');
    if (this.#held !== null) this.#tell([...this.#held.hosts.keys()], 'its lease could not be renewed');
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
