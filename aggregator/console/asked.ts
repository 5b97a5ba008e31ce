/**
 * What a page asks for beside the common state: at once, again when something happened, and every few seconds. Input: a question;
 * output: its newest answer, or why there is none. One question at a time; a hidden page asks nothing.
 */
export class Asked<T> {
  readonly #ask: () => Promise<T>;
  readonly #show: (answer: T) => void;
  readonly #failed: (reason: string | null) => void;
  readonly #everyMs: number;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  #seen = '';

  constructor(options: { ask: () => Promise<T>; show: (answer: T) => void; failed: (reason: string | null) => void; everyMs?: number }) {
    this.#ask = options.ask;
    this.#show = options.show;
    this.#failed = options.failed;
    this.#everyMs = options.everyMs ?? 5000;
  }

  /** `happened`: names the newest thing that may have changed the answer. */
  update(happened: string): void {
    const due = happened !== this.#seen || Date.now() - this.#askedAtMs >= this.#everyMs;
    if (due && !document.hidden) void this.now(happened);
  }

  async now(happened = this.#seen): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    this.#askedAtMs = Date.now();
    this.#seen = happened;
    try {
      this.#show(await this.#ask());
      this.#failed(null);
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error));
    } finally {
      this.#asking = false;
    }
  }
}
