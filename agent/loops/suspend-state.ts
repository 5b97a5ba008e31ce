/**
 * What this host has of VMs that are suspended or were brought back: their records, what each lives on, and who looks after what is still
 * to come, to be learnt or to be made certain. Input: the seam to the hypervisor, stores, a journal, the clock; output: parts that those
 * share who suspend, bring back and lend VMs, and the few steps that all of them take.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import { hasEnded, type VmSnapshotter } from '../hypervisor/snapshotter.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { SuspendJournal } from '../suspend-journal.ts';
import { Arrivals } from './arrivals.ts';
import { type DiskMeans, LocalDisks } from './local-disks.ts';
import { type Live, ResumeLearner } from './resume-learner.ts';
import { SuspendBook } from './suspend-book.ts';
import { SuspendRecovery } from './suspend-recovery.ts';

export type Measured = FrameOf<'suspend-result'>['measured'];

export interface SuspenderOptions {
  snapshotter: VmSnapshotter;
  /** One per tenant, opened when it is first needed. */
  store(tenant: string): Promise<SnapshotStore>;
  journal: SuspendJournal;
  clock: Clock;
  /** See `Arrivals`. */
  adoptKey(tenant: string, key: Buffer): Promise<string>;
  /** A VM that was lent is not any more: who asks for it is cut off. */
  onTakenBack(vm: VmId): void;
  /** In RAM: what resumed guests write goes there. */
  folder: string;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  /** A guest is looked at for what it touched this long after it was brought back. */
  learnMs: number;
  /** A guest that gives no sign of life within this time keeps its older snapshots. */
  aliveMs: number;
  /** A guest's own word that it lives; null = nobody in it speaks, and its CPU time has to do. */
  speaks(vm: VmId): boolean | null;
  /** Of what it is predicted to touch first, how much is made ready now; absent = all of it. */
  shareOf?(vm: VmId): number;
  /** Something that nobody asked for happened to a VM, in words. */
  tell(vm: VmId, words: string): void;
  changed(): void;
  /** Absent: every disk is taken for one that other hosts see, too. */
  disks?: DiskMeans;
}

export interface Done {
  /** What was done instead and why; empty = what was asked for. */
  reason: string;
  measured: Measured;
}

/** What it answers is waited for before the next bytes are fetched. */
export type OnProgress = (doneBytes: number, totalBytes: number) => unknown;

const WAITS = 'it waits for chunk';
const PROBLEMS_MAX = 16;
const PROBLEM_MAX = 512;

export class SuspendState {
  readonly options: SuspenderOptions;
  readonly book: SuspendBook;
  readonly live = new Map<VmId, Live>();
  readonly learner: ResumeLearner;
  readonly recovery: SuspendRecovery;
  readonly arrivals: Arrivals;
  readonly disks: LocalDisks;
  /** The process ends. */
  handedOver = false;

  constructor(options: SuspenderOptions) {
    const { clock, journal, learnMs, tell, changed } = options;
    this.options = options;
    this.book = new SuspendBook(journal, clock);
    this.disks = new LocalDisks({ ...options, book: this.book, means: options.disks ?? null });
    this.learner = new ResumeLearner({
      ...{ book: this.book, clock, learnMs, tell, changed, liveOf: (vm) => this.live.get(vm) },
      learnDisks: (vm) => this.disks.served.learn(vm),
    });
    this.arrivals = new Arrivals({ ...options, book: this.book, disks: this.disks });
    this.recovery = new SuspendRecovery({
      ...options,
      book: this.book,
      open: (record) => this.arrivals.open(record),
      onTakenOver: (vm, residence) => this.live.set(vm, { prepared: null, residence, predicted: [], inPlace: new Set() }),
      onStuck: (vm, chunk, problem) => this.stuck(vm, chunk, problem),
    });
  }

  note(vm: VmId, change: Partial<SuspendRecord>): void {
    this.book.note(vm, change);
  }

  /** Throws CONFLICT unless it is suspended. */
  suspended(vm: VmId): SuspendRecord {
    const record = this.book.find(vm);
    if (record?.phase === 'suspended' || record?.phase === 'prepared') return record;
    if (record?.phase === 'away')
      throw new HeadroomError('CONFLICT', `${record.name} was set going on host ${record.lentTo?.host ?? '?'}: it is brought back there`);
    throw new HeadroomError('CONFLICT', `VM ${vm} is not suspended on this host`);
  }

  takeBack(vm: VmId): void {
    this.note(vm, { lentTo: null });
    this.options.onTakenBack(vm);
  }

  /** Names of records that what it lives on was asked for, and that could not be had. */
  lacking(vm: VmId): string[] {
    const { prepared = null, residence = null } = this.live.get(vm) ?? {};
    const snapshot = (residence ?? prepared)?.snapshot;
    return [...new Set([...(snapshot?.lacking() ?? []), ...this.disks.served.lacking(vm)])];
  }

  /** The rest of what was brought here from another host, and a word to that host. */
  settle(vm: VmId): void {
    const record = this.book.find(vm);
    if (record?.from != null && (record.phase === null || record.phase === 'running')) this.arrivals.settle(vm);
  }

  /** A guest that was brought back ended by itself or by others: nothing of it is needed any more. */
  async ended(vm: VmId): Promise<void> {
    if (this.book.phase(vm) !== 'running' || !(await hasEnded(this.options.snapshotter, vm))) return;
    this.learner.cancel(vm);
    await this.live.get(vm)?.residence?.leave();
    this.live.delete(vm);
    this.book.forget(vm);
    this.settle(vm);
    this.options.changed();
  }

  /** Whether others started a VM that is suspended or on a snapshot here, now or at any time since: its snapshot is given up then. */
  async startedElsewhere(vm: VmId): Promise<boolean> {
    if (!(await this.recovery.letGoIfMoved(vm))) return false;
    this.learner.cancel(vm);
    await this.live.get(vm)?.residence?.leave();
    this.live.delete(vm);
    this.settle(vm);
    this.options.changed();
    return true;
  }

  stuck(vm: VmId, chunk: number, problem: unknown): void {
    const words =
      problem === null
        ? `chunk ${chunk} of its memory came after all; it goes on`
        : `${WAITS} ${chunk} of its memory, which is tried again until it comes: ${errorText(problem)}`;
    this.options.tell(vm, words);
    const record = this.book.find(vm);
    if (record === undefined) return;
    const others = record.problems.filter((one) => !one.startsWith(WAITS));
    this.note(vm, { problems: problem === null ? others : [words.slice(0, PROBLEM_MAX), ...others].slice(0, PROBLEMS_MAX) });
    this.options.changed();
  }
}
