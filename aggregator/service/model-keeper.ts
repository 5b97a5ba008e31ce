/**
 * Models outlive a restart: checkpoints of VMs to the ledger's blobs, so many bytes a period, and back when a VM is first
 * seen; those of VMs that are gone for long are deleted. Input: live state, the ledger, the time; output: blobs, restored
 * models. A checkpoint that cannot be read costs that VM its models and nothing else.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { VmRecord } from '../core/state/vm-record.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import type { DemandHistory } from './demand-history.ts';
import { GoneModels } from './gone-models.ts';

/** VMs written at a stretch before others have their turn. */
const BATCH = 16;
/** Restores that wait: a host that connects may bring hundreds of VMs. */
const RESTORES_MAX = 10_000;
/** VMs whose past is asked for in one query: alone, each costs the series' server as much as all of them (planning, not rows). */
const RELEARN_BATCH = 50;
/** Written in one period: a thousand VMs with all their models, a second or two of an old disk; the others have the next turn. */
const BYTES_PER_PERIOD = 64 * 1024 * 1024;

const PREFIX = 'model/';
const GONE_BLOB = 'models-gone';

/** What of live state is needed here. */
export interface ModelState extends Pick<FleetState, 'vmIds' | 'policy'> {
  vm(
    id: VmId,
  ):
    | (Pick<VmRecord, 'restore' | 'relearn' | 'checkpoint'> & { models: Pick<VmRecord['models'], 'stateBytes' | 'knownUntilMs'> })
    | undefined;
}

export interface ModelKeeperOptions {
  ledger: Pick<LedgerStore, 'getBlob' | 'putBlob' | 'removeBlob' | 'blobNames'>;
  state: ModelState;
  log: Logger;
  nowMs: () => number;
  /** How long models of a VM that is gone are kept, ms. */
  keptMs: number;
  /** It was gone for so long: whatever else was learnt of it may go, too. */
  onForgotten?: (vm: VmId) => void;
  bytesPerPeriod?: number;
  /** What each VM wanted since then, as another aggregator wrote it down; null = as far back as is of use. Absent: there is no other. */
  histories?: (vms: readonly { vm: VmId; sinceMs: number | null }[]) => Promise<DemandHistory[]>;
  /** Waits after so much work: a successor has hundreds of VMs to learn about, and must look after their hosts meanwhile. */
  rest?: (workedMs: number) => Promise<void>;
  monotonicMs?: () => number;
}

export class ModelKeeper {
  readonly #options: ModelKeeperOptions;
  readonly #gone: GoneModels;
  /** Whose models are in the ledger; null until the ledger was asked. */
  #kept: Set<VmId> | null = null;
  readonly #writtenAtMs = new Map<VmId, number>();
  #restoring = false;
  #restores: Promise<void> = Promise.resolve();
  #waiting: VmId[] = [];
  #ended = false;
  /** What was learnt of these before is not read yet: nothing younger may take its place. */
  readonly #unread = new Set<VmId>();
  restored = 0;
  /** Steps that models learnt from the series. */
  relearntSteps = 0;
  refused = 0;
  written = 0;
  writtenBytes = 0;
  dropped = 0;
  forgotten = 0;
  /** VMs whose turn did not come in the last period. */
  behind = 0;

  constructor(options: ModelKeeperOptions) {
    this.#options = options;
    this.#gone = new GoneModels(options.keptMs);
  }

  /** VMs that are gone and whose models are kept for their return. */
  get gone(): number {
    return this.#gone.count;
  }

  /** A VM seen for the first time: its models, if there are any, come soon. */
  seen(vm: VmId): void {
    if (this.#ended || this.#waiting.length >= RESTORES_MAX) {
      this.dropped++;
      return;
    }
    this.#waiting.push(vm);
    if (!this.#restoring) this.#restores = this.#restoreAll();
  }

  /** Nothing more is read of the past; what is known is still written down. */
  end(): void {
    this.#ended = true;
    for (const vm of this.#waiting.splice(0)) this.#unread.add(vm);
  }

  async #restoreAll(): Promise<void> {
    this.#restoring = true;
    // The rest of the same inventory is about to be seen.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, RELEARN_BATCH);
      for (const vm of batch) await this.#restore(vm);
      await this.#relearn(batch);
    }
    this.#restoring = false;
  }

  async #restore(vm: VmId): Promise<void> {
    const { ledger, state } = this.#options;
    try {
      const bytes = await ledger.getBlob(PREFIX + vm);
      if (bytes !== null) this.restored += state.vm(vm)?.restore(bytes, state.policy) ?? 0;
    } catch (error) {
      this.#refuse([vm], error);
    }
  }

  async #relearn(vms: readonly VmId[]): Promise<void> {
    const { histories, rest, state, monotonicMs = () => 0 } = this.#options;
    if (histories === undefined) return;
    const present = vms.flatMap((vm) => {
      const record = state.vm(vm);
      return record === undefined ? [] : [{ vm, sinceMs: record.models.knownUntilMs }];
    });
    if (present.length === 0) return;
    let beganMs = monotonicMs();
    const worked = async (): Promise<void> => {
      if (!this.#ended) await rest?.(monotonicMs() - beganMs);
      beganMs = monotonicMs();
    };
    try {
      const wanted = await histories(present);
      await worked();
      for (const [i, { vm }] of present.entries()) {
        this.relearntSteps += state.vm(vm)?.relearn(wanted[i]!, state.policy) ?? 0;
        await worked();
      }
    } catch (error) {
      this.#refuse(
        present.map(({ vm }) => vm),
        error,
      );
    }
  }

  #refuse(vms: readonly VmId[], error: unknown): void {
    this.refused += vms.length;
    const of = { vm: vms[0], vms: vms.length };
    this.#options.log.warn('models of VMs could not be restored and start anew', { ...of, problem: errorText(error) });
  }

  /**
   * Writes VMs' checkpoints, those that waited longest first, and forgets VMs that are gone for long; `pause` lets others work
   * in between. `all`: whatever it takes, for the end. Rejects when the ledger fails.
   */
  async checkpoint(pause: () => Promise<void>, all = false): Promise<void> {
    const { state, bytesPerPeriod = BYTES_PER_PERIOD } = this.#options;
    await this.#restores;
    const kept = await this.#keptModels();
    const longestFirst = [...state.vmIds()].sort((a, b) => (this.#writtenAtMs.get(a) ?? 0) - (this.#writtenAtMs.get(b) ?? 0));
    let bytes = 0;
    let at = 0;
    while (at < longestFirst.length && (all || bytes < bytesPerPeriod)) {
      const sizes = await Promise.all(longestFirst.slice(at, at + BATCH).map((vm) => this.#write(vm, kept)));
      bytes += sizes.reduce((sum, size) => sum + size, 0);
      at += BATCH;
      await pause();
    }
    this.writtenBytes += bytes;
    this.behind = Math.max(0, longestFirst.length - at);
    await this.#forgetOld(kept);
  }

  async #keptModels(): Promise<Set<VmId>> {
    if (this.#kept !== null) return this.#kept;
    const { ledger } = this.#options;
    const gone = await ledger.getBlob(GONE_BLOB);
    if (gone !== null) this.#gone.load(new TextDecoder().decode(gone));
    this.#kept = new Set((await ledger.blobNames(PREFIX)).map((name) => name.slice(PREFIX.length) as VmId));
    return this.#kept;
  }

  /** Answers the bytes written. */
  async #write(vm: VmId, kept: Set<VmId>): Promise<number> {
    const { ledger, state, nowMs } = this.#options;
    const record = state.vm(vm);
    if (record === undefined || record.models.stateBytes === 0 || this.#unread.has(vm)) return 0;
    const bytes = record.checkpoint();
    await ledger.putBlob(PREFIX + vm, bytes);
    kept.add(vm);
    this.#writtenAtMs.set(vm, nowMs());
    this.written++;
    return bytes.length;
  }

  async #forgetOld(kept: Set<VmId>): Promise<void> {
    const { ledger, state } = this.#options;
    const nowMs = this.#options.nowMs();
    for (const vm of this.#writtenAtMs.keys()) if (state.vm(vm) === undefined) this.#writtenAtMs.delete(vm);
    const changed = this.#gone.note(kept, (vm) => state.vm(vm) !== undefined, nowMs);
    const due = this.#gone.due(nowMs);
    for (const vm of due) {
      await ledger.removeBlob(PREFIX + vm);
      kept.delete(vm);
      this.#gone.forget(vm);
      this.#options.onForgotten?.(vm);
      this.forgotten++;
    }
    if (changed || due.length > 0) await ledger.putBlob(GONE_BLOB, new TextEncoder().encode(this.#gone.text()));
  }
}
