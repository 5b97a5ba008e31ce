/**
 * The spawning controller: makes VMs for groups before they are wanted and lets them go when they are not. Input: the fleet as it
 * is, policy, finished steps, hosts' answers, people's words; output: orders to hosts, entries of the ledger. What is decided is
 * on record before anything is sent, so that whoever comes after this process goes on from there. Of several aggregators the one
 * that holds the fleet decides; the others only show what it decided. One turn at a time.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { GroupPolicy } from '../core/plan/group-policy.ts';
import { BootTimes } from '../core/spawn/boot-times.ts';
import type { GroupSight } from '../core/spawn/group-sight.ts';
import {
  EMPTY_BOOK,
  type GroupBounds,
  type GroupMemory,
  type HandedOver,
  handedOver,
  hasBooted,
  liveOn,
  NEW_GROUP,
  type SpawnBook,
  type SpawnChange,
  type SpawnSending,
  withGroup,
  withRecord,
} from '../core/spawn/spawn-book.ts';
import { callBack, giveBack, SPAWN_PHASES, type SpawnRecord } from '../core/spawn/spawn-record.ts';
import type { LedgerBody, LedgerStore } from '../store/ledger-store.ts';
import { GroupDecider, type GroupDeciderOptions } from './group-decider.ts';
import { SpawnShelf } from './spawn-shelf.ts';
import { SpawnSight } from './spawn-sight.ts';
import { templateName } from './template-keeper.ts';

export interface SpawnerOptions extends Omit<GroupDeciderOptions, 'boots' | 'away'> {
  ledger: LedgerStore;
  log: Logger;
  fleet: SpawnFleet;
  /** Of our hold on what crosses hosts; null = another decides that, or nobody now. */
  fleetEpoch: () => number | null;
}

/** Hosts and their VMs, whichever aggregator has them. */
export interface SpawnFleet {
  /** Of these VMs and of groups' own. Null: an aggregator that lives does not tell, and nothing can be decided without it. */
  look(vms: readonly VmId[]): Promise<GroupSight | null>;
  /** Under the epoch of whoever owns the host. False: it cannot be reached now. */
  send(host: HostId, frame: FrameOf<'build'>): boolean;
}

/** What was not begun within it is refused by its host. */
const ORDER_LEASE_MS = 120_000;

export class Spawner {
  readonly #options: SpawnerOptions;
  readonly #shelf: SpawnShelf;
  /** As it is on record. */
  #book: SpawnBook = EMPTY_BOOK;
  /** Of the hold under which the book was taken over; null = we do not decide. */
  #epoch: number | null = null;
  readonly boots = new BootTimes();
  readonly groups: GroupDecider;
  readonly #sight: SpawnSight;
  /** Turns and people's words, one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SpawnerOptions) {
    this.#options = options;
    this.#shelf = new SpawnShelf(options.ledger);
    this.#sight = new SpawnSight(options);
    this.groups = new GroupDecider({ ...options, boots: this.boots, away: (host) => this.#sight.away(host) });
  }

  /** What an earlier process kept. Throws STORE_CORRUPT. */
  async recall(): Promise<void> {
    this.#take(await this.#shelf.newest());
  }

  get records(): readonly SpawnRecord[] {
    return this.#book.records;
  }

  memoryOf(group: string): GroupMemory {
    return this.#book.groups[group] ?? NEW_GROUP;
  }

  onBuildResult(host: HostId, result: FrameOf<'build-result'>): void {
    if (!this.#sight.noteAnswer(this.records, host, result)) return;
    // What follows from an answer need not wait for the next turn.
    void this.turn().catch((error: unknown) => this.#options.log.warn('what follows from an answer waits', { problem: errorText(error) }));
  }

  /** At hosts and VMs as they are now; null = not all can be seen. */
  look(others: readonly VmId[] = []): Promise<GroupSight | null> {
    return this.#options.fleet.look([...this.records.map(({ vm }) => vm), ...others]);
  }

  turn(): Promise<void> {
    return this.#alone(() => this.#turn());
  }

  /** Takes a member back that drains or is stopped. Throws NOT_FOUND, CONFLICT when it is too late. `dryRun` here and below: only that. */
  undo(vm: VmId, by: string, dryRun: boolean): Promise<void> {
    return this.#deciding(async () => {
      const before = this.#recordOf(vm);
      const reason = `called back by ${by}`;
      const after = callBack(before, reason, this.#options.time.nowMs());
      if (after === null)
        throw new HeadroomError('CONFLICT', `VM ${before.name} is ${before.phase}: there is nothing to take back, or it is too late`);
      if (!dryRun) await this.#commit(withRecord(this.#book, after), [{ before, after, reason }], []);
    });
  }

  /** A VM made by others becomes a member that may be let go like the rest. Throws CONFLICT where it is one already. */
  handOver(handed: HandedOver, dryRun: boolean): Promise<void> {
    return this.#deciding(async () => {
      const { vm, name, reason } = handed;
      if (this.records.some((each) => each.vm === vm)) throw new HeadroomError('CONFLICT', `VM ${name} is in Headroom's hands already`);
      const book = handedOver(this.#book, handed, this.#options.time.nowMs());
      const record = book.records.at(-1) as SpawnRecord;
      if (!dryRun) await this.#commit(book, [{ before: record, after: record, reason }], []);
    });
  }

  /** A VM that was handed over is its owner's again. Throws NOT_FOUND, CONFLICT for one that Headroom made. */
  giveBack(vm: VmId, by: string, dryRun: boolean): Promise<void> {
    return this.#deciding(async () => {
      const before = this.#recordOf(vm);
      const reason = `given back by ${by}`;
      const after = giveBack(before, reason, this.#options.time.nowMs());
      if (after === null) throw new HeadroomError('CONFLICT', `VM ${before.name} was made by Headroom: there is nobody to give it back to`);
      if (!dryRun) await this.#commit(withRecord(this.#book, after), [{ before, after, reason }], []);
    });
  }

  /** Whoever drains it says that nothing uses it any more. Throws NOT_FOUND. */
  drained(vm: VmId, dryRun: boolean): void {
    this.#recordOf(vm);
    if (!dryRun) this.#sight.noteDrained(vm);
  }

  /** Null: the policy's again. Throws USAGE for bounds outside the policy's. */
  setBounds(group: GroupPolicy, bounds: GroupBounds | null, dryRun: boolean): Promise<void> {
    return this.#deciding(async () => {
      if (bounds !== null && !(group.least <= bounds.least && bounds.least <= bounds.most && bounds.most <= group.most)) {
        throw new HeadroomError(
          'USAGE',
          `${bounds.least}..${bounds.most} does not lie within the policy's ${group.least}..${group.most} of group ${group.name}`,
        );
      }
      if (!dryRun) await this.#commit(withGroup(this.#book, group.name, { bounds }), [], []);
    });
  }

  #recordOf(vm: VmId): SpawnRecord {
    const record = this.records.find((each) => each.vm === vm);
    if (record === undefined) throw new HeadroomError('NOT_FOUND', `no group has a VM ${vm} of Headroom's making`);
    return record;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** What people ask for is done by whoever decides. */
  #deciding(work: () => Promise<void>): Promise<void> {
    return this.#alone(async () => {
      if (await this.#decides()) return work();
      throw new HeadroomError(
        'UNAVAILABLE',
        'another aggregator decides about groups now, or none does yet: ask that one, or again in a while',
      );
    });
  }

  /** Where the hold on the fleet is new, what others decided meanwhile is taken over first. */
  async #decides(): Promise<boolean> {
    const { fleetEpoch, templates, demands } = this.#options;
    const epoch = fleetEpoch();
    if (epoch !== null && epoch !== this.#epoch) {
      this.#take(await this.#shelf.takeOver(epoch));
      await templates.load();
      demands.forget();
    }
    this.#epoch = epoch;
    return epoch !== null;
  }

  #take(book: SpawnBook): void {
    this.#book = book;
    this.boots.take(book.boots);
  }

  #mustDecide(): number {
    const epoch = this.#options.fleetEpoch();
    if (epoch !== null && epoch === this.#epoch) return epoch;
    throw new HeadroomError('LEASE_EXPIRED', 'the hold on the fleet has gone: what was just decided about groups is not done');
  }

  async #turn(): Promise<void> {
    if (!(await this.#decides())) return this.recall();
    if (this.records.length === 0 && (this.#options.state.policy.groups ?? []).length === 0) return;
    const sight = await this.look();
    if (sight === null) return;
    const { nowMs } = sight;
    this.#sight.note(sight, this.records, nowMs);
    await this.#live(nowMs);
    let book = this.#book;
    const changes: SpawnChange[] = [];
    for (const group of this.#options.state.policy.groups ?? []) {
      const decided = await this.groups.decide(group, book, sight);
      book = decided.book;
      changes.push(...decided.changes);
    }
    await this.#commit(book, changes, []);
    if (changes.length > 0) await this.#live(nowMs);
  }

  /** Each VM's next moment, and what it leads to at this one: what was decided is begun at once. */
  async #live(nowMs: number): Promise<void> {
    const templates = await this.#sight.templatesOf(this.records);
    for (let moments = 0; moments < SPAWN_PHASES.length; moments++) {
      const lived = liveOn(
        this.#book,
        (record) => this.#sight.seen(record, templates),
        (record) => this.#sight.terms(record, this.records, templates),
        nowMs,
      );
      this.#noteBoots(lived.changes, nowMs);
      await this.#commit({ ...lived.book, boots: this.boots.kept }, lived.changes, lived.orders);
      if (lived.changes.length === 0) return;
    }
  }

  #noteBoots(changes: readonly SpawnChange[], nowMs: number): void {
    for (const { before, after } of changes) {
      if (before.phase === 'booting' && hasBooted(after) && !before.warm) {
        this.boots.note(templateName(before.template), before.host, nowMs - before.orderedAtMs);
      }
    }
  }

  /** Nothing is sent that is not on record. Throws LEASE_EXPIRED when the hold on the fleet went meanwhile: then nothing is. */
  async #commit(book: SpawnBook, changes: readonly SpawnChange[], orders: readonly SpawnSending[]): Promise<void> {
    const { ledger, time, reporter } = this.#options;
    const nowMs = time.nowMs();
    this.#mustDecide();
    for (const change of changes) await ledger.append(nowMs, entryOf(change));
    await this.#shelf.keep(book, this.#mustDecide());
    this.#mustDecide();
    this.#book = book;
    for (const change of changes) {
      this.#sight.changed(change.before, change.after);
      if (change.after?.failed === true) this.#options.fitness.doubt(change.before.template, change.before.host);
      reporter.changed(change, nowMs, nowMs + this.#sight.drainMs(change.before.group));
    }
    for (const sending of orders) await this.#send(sending);
  }

  async #send({ record, order }: SpawnSending): Promise<void> {
    const { templates, fleet, state, log } = this.#options;
    const send = (to: HostId, frame: FrameOf<'build'>): boolean => fleet.send(to, frame);
    const { vm, host, orderId, generation, pool, group, name, template } = record;
    const known = order === 'build' || order === 'probe' ? await templates.byId(template) : null;
    const frame = { type: 'build' as const, orderId, pair: { epoch: 0, generation }, leaseMs: ORDER_LEASE_MS };
    if (record.handed && order === 'build') send(host, { ...frame, order: { action: 'adopt', vm, group } });
    else if (record.handed && order === 'remove') send(host, { ...frame, order: { action: 'release', vm } });
    else if (order === 'build') {
      if (known === null) log.error('a template is no longer kept; what was to be made from it is given up in time', { template, vm });
      else send(host, { ...frame, order: { action: 'build', vm, group, template, build: { ...known.build, name } } });
    } else if (order === 'probe') {
      if (known?.asked) send(host, { ...frame, order: { action: 'probe', vm, probe: known.asked } });
    } else if (order === 'remove') {
      const keeps = state.policy.groups?.find((each) => each.name === group)?.storage === 'keep';
      send(host, { ...frame, order: { action: 'remove', vm, pool, keepDisk: keeps && !record.failed } });
    } else {
      send(host, { ...frame, order: { action: order, vm } });
    }
  }
}

const entryOf = ({ before, after, reason }: SpawnChange): LedgerBody => {
  const { group, vm, host, template } = before;
  return { kind: 'spawn', group, vm, host, template, phase: after?.phase ?? 'gone', reason, failed: (after ?? before).failed };
};
