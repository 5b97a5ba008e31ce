/**
 * The spawning controller: makes VMs for groups before they are wanted and lets them go when they are not. Input: the fleet as it
 * is, policy, finished steps, hosts' answers, people's words; output: orders to hosts, entries of the ledger. What is decided is
 * on record before anything is sent, so that whoever comes after this process goes on from there. One turn at a time.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { GroupPolicy } from '../core/plan/group-policy.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import { BootTimes } from '../core/spawn/boot-times.ts';
import {
  EMPTY_BOOK,
  type GroupBounds,
  type GroupMemory,
  liveOn,
  NEW_GROUP,
  type SpawnBook,
  type SpawnChange,
  type SpawnSending,
  withGroup,
  withRecord,
} from '../core/spawn/spawn-book.ts';
import { callBack, type SpawnRecord } from '../core/spawn/spawn-record.ts';
import type { LedgerBody, LedgerStore } from '../store/ledger-store.ts';
import { GroupDecider, type GroupDeciderOptions } from './group-decider.ts';
import { SpawnSight } from './spawn-sight.ts';
import { templateName } from './template-keeper.ts';

export interface SpawnerOptions extends Omit<GroupDeciderOptions, 'boots' | 'away'> {
  ledger: LedgerStore;
  log: Logger;
  snapshot: () => FleetSnapshot;
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'build'>) => boolean;
}

const BOOK = 'spawn/book';
/** What was not begun within it is refused by its host. */
const ORDER_LEASE_MS = 120_000;

/** What an earlier process kept. Throws STORE_CORRUPT where that cannot be read: nothing may be made beside what is not known. */
export async function loadSpawnBook(ledger: LedgerStore): Promise<SpawnBook> {
  const bytes = await ledger.getBlob(BOOK);
  if (bytes === null) return EMPTY_BOOK;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as SpawnBook;
  } catch (error) {
    throw new HeadroomError('STORE_CORRUPT', `what was kept of VMs made for groups (${BOOK}) cannot be read`, { cause: error });
  }
}

export class Spawner {
  readonly #options: SpawnerOptions;
  #book: SpawnBook;
  #written: string;
  readonly boots: BootTimes;
  readonly groups: GroupDecider;
  readonly #sight: SpawnSight;
  /** Turns and people's words, one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SpawnerOptions, book: SpawnBook) {
    this.#options = options;
    this.#book = book;
    this.#written = JSON.stringify(book);
    this.boots = new BootTimes({ ...book.boots });
    this.#sight = new SpawnSight(options);
    this.groups = new GroupDecider({ ...options, boots: this.boots, away: (host) => this.#sight.away(host) });
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

  turn(): Promise<void> {
    return this.#alone(() => this.#turn());
  }

  /** Takes a member back that drains or is stopped. Throws NOT_FOUND, CONFLICT when it is too late. */
  undo(vm: VmId, by: string): Promise<void> {
    return this.#alone(async () => {
      const before = this.#recordOf(vm);
      const reason = `called back by ${by}`;
      const after = callBack(before, reason, this.#options.time.nowMs());
      if (after === null)
        throw new HeadroomError('CONFLICT', `VM ${before.name} is ${before.phase}: there is nothing to take back, or it is too late`);
      await this.#commit(withRecord(this.#book, after), [{ before, after, reason }], []);
    });
  }

  /** Whoever drains it says that nothing uses it any more. Throws NOT_FOUND. */
  drained(vm: VmId): void {
    this.#recordOf(vm);
    this.#sight.noteDrained(vm);
  }

  /** Null: the policy's again. Throws USAGE for bounds outside the policy's. */
  setBounds(group: GroupPolicy, bounds: GroupBounds | null): Promise<void> {
    return this.#alone(async () => {
      if (bounds !== null && !(group.least <= bounds.least && bounds.least <= bounds.most && bounds.most <= group.most)) {
        throw new HeadroomError(
          'USAGE',
          `${bounds.least}..${bounds.most} does not lie within the policy's ${group.least}..${group.most} of group ${group.name}`,
        );
      }
      await this.#commit(withGroup(this.#book, group.name, { bounds }), [], []);
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

  async #turn(): Promise<void> {
    if (this.records.length === 0 && (this.#options.state.policy.groups ?? []).length === 0) return;
    const nowMs = this.#options.time.nowMs();
    const snapshot = this.#options.snapshot();
    this.#sight.noteHosts(snapshot, this.records, nowMs);
    await this.#live(nowMs);
    let book = this.#book;
    const changes: SpawnChange[] = [];
    for (const group of this.#options.state.policy.groups ?? []) {
      const decided = await this.groups.decide(group, book, snapshot);
      book = decided.book;
      changes.push(...decided.changes);
    }
    await this.#commit(book, changes, []);
    // What was decided is begun at once.
    if (changes.length > 0) await this.#live(nowMs);
  }

  /** Each VM's next moment. */
  async #live(nowMs: number): Promise<void> {
    const templates = await this.#sight.templatesOf(this.records);
    const lived = liveOn(
      this.#book,
      (record) => this.#sight.seen(record, templates),
      (record) => this.#sight.terms(record, this.records, templates),
      nowMs,
    );
    for (const { before, after } of lived.changes) {
      if (before.phase === 'booting' && after?.phase === 'serving' && !before.warm) {
        this.boots.note(templateName(before.template), before.host, nowMs - before.orderedAtMs);
      }
    }
    await this.#commit({ ...lived.book, boots: this.boots.kept }, lived.changes, lived.orders);
  }

  /** Nothing is sent that is not on record. */
  async #commit(book: SpawnBook, changes: readonly SpawnChange[], orders: readonly SpawnSending[]): Promise<void> {
    const { ledger, time, reporter } = this.#options;
    const nowMs = time.nowMs();
    for (const change of changes) await ledger.append(nowMs, entryOf(change));
    const text = JSON.stringify(book);
    if (text !== this.#written) await ledger.putBlob(BOOK, new TextEncoder().encode(text));
    this.#written = text;
    this.#book = book;
    for (const change of changes) {
      this.#sight.changed(change.before, change.after);
      reporter.changed(change, nowMs, nowMs + this.#sight.drainMs(change.before.group));
    }
    for (const sending of orders) await this.#send(sending);
  }

  async #send({ record, order }: SpawnSending): Promise<void> {
    const { templates, epochOf, send, state, log } = this.#options;
    const { vm, host, orderId, generation, pool, group, name, template } = record;
    const frame = { type: 'build' as const, orderId, pair: { epoch: epochOf(host), generation }, leaseMs: ORDER_LEASE_MS };
    if (order === 'build') {
      const known = await templates.byId(template);
      if (known === null) log.error('a template is no longer kept; what was to be made from it is given up in time', { template, vm });
      else send(host, { ...frame, order: { action: 'build', vm, group, template, build: { ...known.build, name } } });
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
