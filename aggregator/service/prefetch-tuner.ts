/**
 * How each VM is made ready, tuned from what its suspensions cost, where a policy asks for it. Input: what its rule allows, phases and
 * orders as they end, the ledger's store of blobs; output: the way for the suspension under way, within the rule, and words. What is kept
 * lies beside the VM's model, the suspension under way included: after a restart all goes on as it was.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { SuspendPhase } from '../../shared/protocol/suspend-frames.ts';
import type { SuspendRule } from '../core/plan/suspend-rule.ts';
import { costSeconds, missedOf, type PrefetchPrices } from '../core/resume/prefetch-cost.ts';
import { type ArmCost, chooseArm, noteCost, PREFETCH_ARMS } from '../core/resume/prefetch-tuning.ts';
import { type TuningView, tuningView } from '../core/resume/tuning-words.ts';
import { type ShelfBlobs, VmShelf } from './vm-shelf.ts';

/** Of other VMs under the same rule, the newest: what more of them would add is not felt. */
const OTHERS_COSTS_MAX = 480;

/** A suspension whose cost is not known yet. */
interface Open {
  arm: number;
  prices: PrefetchPrices;
  /** The rule's own terms would have had it made ready: without that no arm is better than another. */
  counts: boolean;
  fetchedBytes: number;
  /** The last time. */
  inPlaceBytes: number;
  heldByteMs: number;
  /** UTC ms; null = it holds nothing now. */
  holdsSinceMs: number | null;
  holdsBytes: number;
  /** Null: it is not back yet. */
  resumeMs: number | null;
  /** Resumes its host had learnt from before this one. */
  learnt: number | null;
}

interface Kept {
  rule: string;
  leadMs: number;
  window: ArmCost[];
  open: Open | null;
}

/** As the rule says where nothing is tuned. */
export interface PrefetchWay {
  share: number;
  leadMs: number;
}

type Learnt = { phase: SuspendPhase; resumes: number; hitRate: number | null; wasteRate: number | null };

export class PrefetchTuner {
  readonly #shelf: VmShelf<Kept>;
  #kept = new Map<VmId, Kept>();
  /** Those whose rule asks for it now. */
  readonly #asked = new Set<VmId>();

  constructor(ledger: ShelfBlobs, log: Pick<Logger, 'warn'>) {
    this.#shelf = new VmShelf({ ledger, log, prefix: 'prefetch-tuning/', what: 'how a VM is best made ready' });
  }

  async load(): Promise<void> {
    this.#kept = await this.#shelf.load();
  }

  /** It is gone for good. */
  forget(vm: VmId): void {
    this.#asked.delete(vm);
    if (this.#kept.delete(vm)) this.#shelf.forget(vm);
  }

  /** For a VM that is suspended: never more, and never earlier, than its rule says. */
  way(vm: VmId, { name, prefetch }: Pick<SuspendRule, 'name' | 'prefetch'>): PrefetchWay {
    if (prefetch?.learn == null) this.#asked.delete(vm);
    if (prefetch === null) return { share: 0, leadMs: 0 };
    const { leadMs, learn } = prefetch;
    if (learn === null) return { share: 1, leadMs };
    this.#asked.add(vm);
    const kept = this.#of(vm, name, leadMs);
    if (kept.open === null || kept.open.resumeMs !== null) {
      // One that is put aside again before all of the last was seen: what was seen counts.
      this.#close(vm, kept, null);
      const { arm } = chooseArm(kept.window, this.#others(vm, name));
      kept.open = {
        ...{ arm, prices: learn, counts: false, fetchedBytes: 0, inPlaceBytes: 0, heldByteMs: 0 },
        ...{ holdsSinceMs: null, holdsBytes: 0, resumeMs: null, learnt: null },
      };
      this.#keep(vm, kept);
    }
    const arm = PREFETCH_ARMS[kept.open.arm] ?? PREFETCH_ARMS[0]!;
    return { share: Math.min(1, arm.share), leadMs: Math.min(leadMs, arm.lead * leadMs) };
  }

  /** By its rule's own terms it is to be made ready by now. */
  noteExpected(vm: VmId): void {
    const open = this.#kept.get(vm)?.open ?? null;
    if (open === null || open.counts) return;
    open.counts = true;
    this.#keep(vm, this.#kept.get(vm) as Kept);
  }

  /** It was made ready, and holds what was fetched. */
  notePrepared(vm: VmId, bytesFirst: number, nowMs: number): void {
    const kept = this.#kept.get(vm);
    if (kept?.open == null) return;
    this.#letGo(kept.open, nowMs);
    const fetchedBytes = kept.open.fetchedBytes + bytesFirst;
    Object.assign(kept.open, { fetchedBytes, inPlaceBytes: bytesFirst, holdsBytes: bytesFirst, holdsSinceMs: nowMs });
    this.#keep(vm, kept);
  }

  /** As its host tells, after each change: it holds nothing any more, or what the guest touched is known. */
  noteSeen(vm: VmId, { phase, resumes, hitRate, wasteRate }: Learnt, nowMs: number): void {
    const kept = this.#kept.get(vm);
    if (kept?.open == null) return;
    const { open } = kept;
    if (phase !== 'prepared' && phase !== 'going' && open.holdsSinceMs !== null) {
      this.#letGo(open, nowMs);
      this.#keep(vm, kept);
    }
    // It was put aside before its way was chosen, and told of again as soon as it is back: what it touched is learnt some time after that.
    if (open.resumeMs === null || open.learnt === null) {
      const told = open.learnt === resumes;
      open.learnt = resumes;
      if (!told) this.#keep(vm, kept);
    } else if (phase === 'running' && resumes > open.learnt) this.#close(vm, kept, { hitRate, wasteRate });
  }

  /** It is back, after so long. `bytesFirst`: fetched before it ran. */
  noteBack(vm: VmId, resumeMs: number, bytesFirst: number, nowMs: number): void {
    const kept = this.#kept.get(vm);
    if (kept?.open == null) return;
    this.#letGo(kept.open, nowMs);
    const { fetchedBytes, inPlaceBytes } = kept.open;
    // What was made ready before is not fetched again.
    const fetched = bytesFirst === 0 ? { inPlaceBytes } : { inPlaceBytes: bytesFirst, fetchedBytes: fetchedBytes + bytesFirst };
    Object.assign(kept.open, { resumeMs, ...fetched });
    this.#keep(vm, kept);
  }

  /** Null: nothing is tuned for it. */
  explain(vm: VmId): TuningView | null {
    const kept = this.#kept.get(vm);
    if (kept === undefined || !this.#asked.has(vm)) return null;
    const current = kept.open === null || kept.open.resumeMs !== null ? null : kept.open.arm;
    return tuningView(kept.window, this.#others(vm, kept.rule), kept.leadMs, current);
  }

  #of(vm: VmId, rule: string, leadMs: number): Kept {
    const kept = this.#kept.get(vm) ?? { rule, leadMs, window: [], open: null };
    // Another lead is another thing to learn; what another rule had taught may still hold.
    if (kept.leadMs !== leadMs) Object.assign(kept, { window: [], leadMs });
    kept.rule = rule;
    this.#kept.set(vm, kept);
    return kept;
  }

  #others(vm: VmId, rule: string): ArmCost[] {
    const others: ArmCost[] = [];
    for (const [other, { rule: theirs, window }] of this.#kept) {
      if (other !== vm && theirs === rule) others.push(...window);
    }
    return others.slice(-OTHERS_COSTS_MAX);
  }

  #letGo(open: Open, nowMs: number): void {
    if (open.holdsSinceMs !== null) open.heldByteMs += open.holdsBytes * Math.max(0, nowMs - open.holdsSinceMs);
    Object.assign(open, { holdsSinceMs: null, holdsBytes: 0 });
  }

  /** `seen` null: nobody could see what it touched. */
  #close(vm: VmId, kept: Kept, seen: Pick<Learnt, 'hitRate' | 'wasteRate'> | null): void {
    const { open } = kept;
    kept.open = null;
    if (open === null) return;
    const { arm, prices, counts, fetchedBytes, inPlaceBytes, heldByteMs, resumeMs } = open;
    if (counts && resumeMs !== null) {
      const missedChunks = seen === null ? null : missedOf(inPlaceBytes, seen.hitRate, seen.wasteRate);
      const cost = costSeconds({ fetchedBytes, heldByteMs, resumeMs, missedChunks }, prices);
      kept.window = noteCost(kept.window, { arm, costSeconds: cost });
    }
    this.#keep(vm, kept);
  }

  #keep(vm: VmId, kept: Kept): void {
    this.#shelf.keep(vm, kept);
  }
}
