/**
 * When each VM was suspended and wanted back, kept over restarts beside its models. Input: suspensions as they begin and end, the
 * ledger's store of blobs; output: predictions. What cannot be kept is logged and learnt anew.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { comingsTogether, type Moments } from '../core/resume/resume-company.ts';
import { noteSpan, predictResume, type ResumePrediction, type SuspendedSpan } from '../core/resume/resume-times.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

const PREFIX = 'resume-times/';

export class ResumeCalendar {
  readonly #ledger: LedgerStore;
  readonly #log: Logger;
  readonly #spans = new Map<VmId, SuspendedSpan[]>();
  /** At which others of its rule came back together. */
  readonly #moments = new Map<VmId, Moments>();

  constructor(ledger: LedgerStore, log: Logger) {
    this.#ledger = ledger;
    this.#log = log;
  }

  async load(): Promise<void> {
    for (const name of await this.#ledger.blobNames(PREFIX)) {
      const bytes = await this.#ledger.getBlob(name);
      if (bytes !== null) this.#spans.set(name.slice(PREFIX.length) as VmId, JSON.parse(Buffer.from(bytes).toString('utf8')));
    }
  }

  note(vm: VmId, atMs: number, suspended: boolean): void {
    const before = this.#spans.get(vm) ?? [];
    const spans = noteSpan(before, atMs, suspended);
    if (spans.length === before.length && spans.at(-1)?.untilMs === before.at(-1)?.untilMs) return;
    this.#spans.set(vm, spans);
    this.#ledger.putBlob(PREFIX + vm, Buffer.from(JSON.stringify(spans))).catch((error: unknown) => {
      this.#log.warn('when a VM is wanted could not be kept', { vm, problem: errorText(error) });
    });
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
