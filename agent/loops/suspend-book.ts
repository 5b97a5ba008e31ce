/**
 * What this host knows of each VM it suspended or brought back, written down before it counts. Input: changes; output: the records as
 * they are now. A change is durable when its call returns.
 */
import type { Clock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import type { SuspendPhase } from '../../shared/protocol/suspend-frames.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import type { SuspendJournal } from '../suspend-journal.ts';

const NEW = {
  ...{ phase: null, recipe: 'memory-file' as const, reason: '', snapshot: null, older: [], sinceMs: 0, memoryBytes: 0, filledBytes: 0 },
  ...{ ownMemory: null, file: null, touches: null, score: null, problems: [], lentTo: null, from: null, disks: [] },
};

export class SuspendBook {
  readonly #records = new Map<VmId, SuspendRecord>();
  readonly #journal: SuspendJournal;
  readonly #clock: Clock;

  constructor(journal: SuspendJournal, clock: Clock) {
    this.#journal = journal;
    this.#clock = clock;
  }

  /** What an agent before us wrote; answers problems in words. */
  load(): string[] {
    const { records, problems } = this.#journal.load();
    for (const record of records) this.#records.set(record.vm, record);
    return problems;
  }

  all(): SuspendRecord[] {
    return [...this.#records.values()];
  }

  find(vm: VmId): SuspendRecord | undefined {
    return this.#records.get(vm);
  }

  phase(vm: VmId): SuspendPhase | null {
    return this.#records.get(vm)?.phase ?? null;
  }

  /** The record there is, or one of a VM that was never suspended, which is written with its first change. */
  begin(vm: VmId, name: string, tenant: string): SuspendRecord {
    const record: SuspendRecord = this.#records.get(vm) ?? { ...NEW, vm, name, tenant };
    this.#records.set(vm, record);
    return record;
  }

  note(vm: VmId, change: Partial<SuspendRecord>): void {
    const before = this.#records.get(vm) as SuspendRecord;
    const moved = change.phase !== undefined && change.phase !== before.phase;
    const record = { ...before, ...change, ...(moved ? { sinceMs: this.#clock.wallMs() } : {}) };
    this.#journal.save(record);
    this.#records.set(vm, record);
  }

  /** As if nothing had been noted since. */
  revert(before: SuspendRecord): void {
    this.#records.set(before.vm, before);
    if (before.phase === null) this.forget(before.vm);
    else this.note(before.vm, {});
  }

  /** It is neither suspended nor on a snapshot; what was learnt of it stays, and the host that holds its snapshot must still be told. */
  forget(vm: VmId): void {
    const record = this.#records.get(vm);
    if (record === undefined || (record.touches === null && record.from === null)) {
      this.erase(vm);
      return;
    }
    // Its images outlive what it was suspended into, and lack what they still read from here.
    const disks = record.disks.filter(({ served }) => served !== undefined);
    this.note(vm, { phase: null, snapshot: null, older: [], ownMemory: null, file: null, problems: [], lentTo: null, disks });
  }

  /** As if it had never been here. */
  erase(vm: VmId): void {
    this.#journal.remove(vm);
    this.#records.delete(vm);
  }
}
