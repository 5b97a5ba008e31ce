/**
 * What must be undone at the end, in reverse order, whatever happened before: each step is run even if another failed.
 * Input: steps with a name; output: the failures, in words.
 */
import { errorText } from '../shared/errors.ts';

interface Step {
  what: string;
  undo: () => void | Promise<void>;
}

export class Teardown {
  readonly #steps: Step[] = [];

  add(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Undoes everything once; a second call finds nothing to do. */
  async run(): Promise<string[]> {
    const failures: string[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        failures.push(`${step.what}: ${errorText(error)}`);
      }
    }
    return failures;
  }
}
