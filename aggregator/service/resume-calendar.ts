/**
 * When each VM was suspended and wanted back, kept over restarts beside its models. Input: suspensions as they begin and end, the
 * ledger's store of blobs; output: predictions. What cannot be kept is logged and learnt anew.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { comingsTogether, type Moments } from '../core/resume/resume-company.ts';
import { noteSpan, predictResume, type ResumePrediction, type SuspendedSpan } from '../core/resume/resume-times.ts';
import { type ShelfBlobs, VmShelf } from './vm-shelf.ts';

export class ResumeCalendar {
  readonly #shelf: VmShelf<SuspendedSpan[]>;
  #spans = new Map<VmId, SuspendedSpan[]>();
  /** At which others of its rule came back together. */
  readonly #moments = new Map<VmId, Moments>();

  constructor(ledger: ShelfBlobs, log: Pick<Logger, 'warn'>) {
    this.#shelf = new VmShelf({ ledger, log, prefix: 'resume-times/', what: 'when a VM is wanted' });
  }

  async load(): Promise<void> {
    this.#spans = await this.#shelf.load();
  }

  note(vm: VmId, atMs: number, suspended: boolean): void {
    const before = this.#spans.get(vm) ?? [];
    const spans = noteSpan(before, atMs, suspended);
    if (spans.length === before.length && spans.at(-1)?.untilMs === before.at(-1)?.untilMs) return;
    this.#spans.set(vm, spans);
    this.#shelf.keep(vm, spans);
  }

  /** It is gone for good. */
  forget(vm: VmId): void {
    this.#moments.delete(vm);
    if (this.#spans.delete(vm)) this.#shelf.forget(vm);
  }

  /** These are wanted together, maybe: what each did when the others came back counts from now on. */
  together(vms: readonly VmId[]): void {
    const moments = comingsTogether(vms.map((vm) => this.#spans.get(vm) ?? []));
    for (const vm of vms) this.#moments.set(vm, moments);
  }

  /** Null: it was never suspended. */
  predict(vm: VmId, nowMs: number, withinMs: number): ResumePrediction | null {
    const spans = this.#spans.get(vm);
    return spans === undefined ? null : predictResume(spans, nowMs, withinMs, this.#moments.get(vm));
  }
}
