/**
 * A word to whoever waits for a balloon that something urgent is to be done to the same VM. Output: a handle with which one
 * side asks and the other sleeps until asked.
 */
import { type Clock, sleep } from '../../shared/clock.ts';

export interface Hurry {
  readonly asked: boolean;
  ask(): void;
  /** Sleeps for `ms`, or until asked. */
  sleep(clock: Clock, ms: number): Promise<void>;
}

export function createHurry(): Hurry {
  let wake = (): void => {};
  let asked = false;
  const called = new Promise<void>((resolve) => {
    wake = resolve;
  });
  return {
    get asked() {
      return asked;
    },
    ask() {
      asked = true;
      wake();
    },
    sleep: (clock, ms) => (asked ? called : Promise.race([called, sleep(clock, ms)])),
  };
}
