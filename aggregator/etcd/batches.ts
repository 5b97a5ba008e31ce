/**
 * Calls that come while others are under way, made together: a thousand hosts that change hands are some ten transactions and not a
 * thousand, each of which every member of etcd would write to its disk. Input: how several are carried out at once; output: to each call its
 * own answer, or the error of all it went with. Who comes alone waits for nobody.
 */
export interface BatchesOptions<Item, Answer> {
  /** Made together at most. */
  itemsMax: number;
  /** Under way at the same time: others wait, and are made together. */
  atOnce: number;
  /** Answers in the order of the items. */
  run: (items: readonly Item[]) => Promise<readonly Answer[]>;
}

interface Waiting<Item, Answer> {
  item: Item;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

export class Batches<Item, Answer> {
  readonly #options: BatchesOptions<Item, Answer>;
  #waiting: Waiting<Item, Answer>[] = [];
  #running = 0;
  #soon = false;

  constructor(options: BatchesOptions<Item, Answer>) {
    this.#options = options;
  }

  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#soon) return;
      this.#soon = true;
      // Whoever asks for many does so in one turn.
      queueMicrotask(() => {
        this.#soon = false;
        this.#next();
      });
    });
  }

  #next(): void {
    const { itemsMax, atOnce } = this.#options;
    while (this.#running < atOnce && this.#waiting.length > 0) void this.#run(this.#waiting.splice(0, itemsMax));
  }

  /** Never rejects: those that asked are told. */
  async #run(batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    this.#running++;
    try {
      const answers = await this.#options.run(batch.map(({ item }) => item));
      for (const [i, { resolve }] of batch.entries()) resolve(answers[i]!);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.#running--;
    this.#next();
  }
}
