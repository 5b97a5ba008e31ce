/**
 * What resumed guests touch first, looked at some time after each resume and learnt into their models. Input: what a guest was brought
 * back with; output: its record's model and score. Needs the right to read its process's page map; without it the order in which
 * chunks were asked for has to do.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { PreparedResume, Residence } from '../actuators/resume-vm.ts';
import { createTouchModel, scoreTouches } from '../core/touch-model.ts';
import { qemuProcess, touchedChunks } from '../snapshot/touched-chunks.ts';
import type { SuspendBook } from './suspend-book.ts';

/** A VM between its preparation and its next suspension, or its end. */
export interface Live {
  /** Until it is set going. */
  prepared: PreparedResume | null;
  /** From then on. */
  residence: Residence | null;
  predicted: readonly number[];
  inPlace: ReadonlySet<number>;
}

export interface ResumeLearnerOptions {
  book: SuspendBook;
  clock: Clock;
  learnMs: number;
  liveOf(vm: VmId): Live | undefined;
  /** The same of its disks. */
  learnDisks(vm: VmId): void;
  tell(vm: VmId, words: string): void;
  changed(): void;
}

export class ResumeLearner {
  readonly #options: ResumeLearnerOptions;
  readonly #due = new Map<VmId, { cancel(): void }>();

  constructor(options: ResumeLearnerOptions) {
    this.#options = options;
  }

  later(vm: VmId): void {
    const { clock, learnMs, tell } = this.#options;
    const timer = clock.setTimeout(() => {
      void this.learn(vm).catch((error: unknown) => tell(vm, `what it touched could not be learnt: ${errorText(error)}`));
    }, learnMs);
    this.#due.set(vm, timer);
  }

  cancel(vm: VmId): void {
    this.#due.get(vm)?.cancel();
    this.#due.delete(vm);
  }

  cancelAll(): void {
    for (const vm of [...this.#due.keys()]) this.cancel(vm);
  }

  async learn(vm: VmId): Promise<void> {
    this.#due.delete(vm);
    const { book, liveOf, changed, learnDisks } = this.#options;
    learnDisks(vm);
    const live = liveOf(vm);
    const place = live?.residence?.place;
    const record = book.find(vm);
    if (live === undefined || place === undefined || record?.phase !== 'running') return;
    const pid = await qemuProcess(vm, place.identity);
    const present = pid === null ? null : await touchedChunks(pid, place.identity).catch(() => null);
    // Without the page map, of what lay in place nobody saw whether it was touched.
    const seen = present ?? place.order.filter((chunk) => !live.inPlace.has(chunk));
    const turn = new Map(place.order.map((chunk, index) => [chunk, index]));
    const touched = seen.toSorted((a, b) => (turn.get(a) ?? 0) - (turn.get(b) ?? 0));
    if (touched.length === 0) return;
    const model = createTouchModel(record.touches);
    const score = present === null ? null : scoreTouches(live.predicted, touched);
    model.observe(touched, present === null ? { unseen: live.inPlace } : { inPlace: live.inPlace });
    book.note(vm, { touches: model.state(), ...(score === null ? {} : { score }) });
    changed();
  }
}
