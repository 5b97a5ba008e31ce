/**
 * A VM unlike its peers of the same class: the newest CPU use of each, side by side. Input: every VM's use a step, and who is of
 * which class; output: who has come to stand apart. What finds outliers among series is handed in. 150 bytes a VM.
 */

/** Answers for each series whether it stands apart from the others at its newest point. */
export type OutlierFinder = (series: readonly Float64Array[]) => readonly boolean[];

/** Compared: three hours of five-minute steps, in twelve means. */
const MEANS = 12;
const STEPS_PER_MEAN = 3;
/** Fewer than these are no crowd to stand apart from. */
const CLASS_MIN = 5;
/** More than these are drawn from: a class's first by name stand for it. */
const CLASS_MAX = 100;

interface Use {
  means: Float32Array;
  /** Means written, for ever. */
  written: number;
  sum: number;
  steps: number;
  apart: boolean;
}

export class Peers {
  readonly #find: OutlierFinder;
  readonly #uses = new Map<string, Use>();

  constructor(find: OutlierFinder) {
    this.#find = find;
  }

  remove(vm: string): void {
    this.#uses.delete(vm);
  }

  /** `share` of the VM's size, 0..1. True when a mean was completed: then it is worth looking. */
  note(vm: string, share: number): boolean {
    const use = this.#uses.get(vm) ?? { means: new Float32Array(MEANS), written: 0, sum: 0, steps: 0, apart: false };
    this.#uses.set(vm, use);
    use.sum += share;
    use.steps += 1;
    if (use.steps < STEPS_PER_MEAN) return false;
    use.means[use.written % MEANS] = use.sum / use.steps;
    use.written += 1;
    use.sum = 0;
    use.steps = 0;
    return true;
  }

  /** VMs of one class; answers those that stand apart since now, and did not before. */
  look(members: readonly string[]): string[] {
    const known = [...members]
      .sort()
      .filter((vm) => (this.#uses.get(vm)?.written ?? 0) >= MEANS)
      .slice(0, CLASS_MAX);
    if (known.length < CLASS_MIN) return [];
    const series = known.map((vm) => {
      const { means, written } = this.#uses.get(vm)!;
      return Float64Array.from({ length: MEANS }, (_, i) => means[(written + i) % MEANS]!);
    });
    const apart = this.#find(series);
    return known.filter((vm, i) => {
      const use = this.#uses.get(vm)!;
      const newly = apart[i] === true && !use.apart;
      use.apart = apart[i] === true;
      return newly;
    });
  }
}
