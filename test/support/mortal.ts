/**
 * A process that dies at a step of its own choosing, within a test's process. Input: steps until it dies, what it works with; output: the
 * same, each call two steps: one that dies before it did nothing, one that dies after it did all of it and never heard the answer.
 */
export class Life {
  #stepsLeft: number;
  #dead = false;

  constructor(steps: number) {
    this.#stepsLeft = steps;
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** Whatever it still wants to do fails from now on. */
  end(): void {
    this.#dead = true;
  }

  step(): void {
    if (this.#stepsLeft-- <= 0) this.#dead = true;
    if (this.#dead) throw new Error('the process is dead');
  }

  /** The same object for this life only. */
  mortal<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (_, name) => {
        const method = Reflect.get(target, name, target);
        if (typeof method !== 'function') return method;
        return (...args: unknown[]) => {
          this.step();
          const answer = Reflect.apply(method, target, args);
          if (!(answer instanceof Promise)) return answer;
          return answer.then((value) => {
            this.step();
            return value;
          });
        };
      },
    });
  }
}
