/**
 * Opens a store whose server may not answer yet. Input: how it is opened, a clock; output: whether it is open, and why not.
 * A server that is away is tried again with backoff until it answers; meanwhile nothing is taken, so that senders keep
 * their rows. What an operator has to change (credentials, another kind of server) is told at the first try.
 */
import { type BackoffOptions, backoffMs } from '../../../shared/backoff.ts';
import type { Clock, Timer } from '../../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { Prng } from '../../../shared/prng.ts';

/** A restart of the server is noticed at once, an outage of hours costs a request every half minute. */
const BACKOFF: BackoffOptions = { baseMs: 500, capMs: 30_000 };

export interface OpeningOptions {
  /** What people know the server as. */
  name: string;
  /** Makes the server ready. Rejects with STORE_UNAVAILABLE while it is away. */
  open: () => Promise<void>;
  clock: Clock;
  prng: Prng;
  /** Hears that it is waited for, when the reason changes, and that it answers. */
  onReport: (message: string) => void;
}

export class Opening {
  readonly #options: OpeningOptions;
  #problem: string | null = 'it was not tried yet';
  #attempts = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: OpeningOptions) {
    this.#options = options;
  }

  /** Why it is not open; null: it is. */
  get problem(): string | null {
    return this.#problem;
  }

  /** One try, as strict as `open`. */
  async now(): Promise<void> {
    await this.#options.open();
    this.#problem = null;
  }

  /** The same, but a server that is away is waited for. Rejects with what waiting would not mend. */
  async patiently(): Promise<void> {
    try {
      await this.now();
    } catch (error) {
      if (!isHeadroomError(error, 'STORE_UNAVAILABLE')) throw error;
      this.#away(error);
    }
  }

  /** Throws STORE_UNAVAILABLE while it is not open. */
  check(): void {
    if (this.#problem === null) return;
    throw new HeadroomError('STORE_UNAVAILABLE', `${this.#options.name} is waited for since the start: ${this.#problem}`);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #away(error: unknown): void {
    const { name, clock, prng, onReport } = this.#options;
    const problem = errorText(error);
    if (problem !== this.#problem)
      onReport(`${name} is waited for; nothing is acknowledged until it answers, agents keep their rows: ${problem}`);
    this.#problem = problem;
    if (this.#closed) return;
    this.#timer = clock.setTimeout(() => void this.#again(), backoffMs(this.#attempts++, BACKOFF, prng));
  }

  async #again(): Promise<void> {
    try {
      await this.now();
    } catch (error) {
      // Under way there is nobody to refuse to start: what is wrong is told, and may be mended over there.
      this.#away(error);
      return;
    }
    this.#options.onReport(`${this.#options.name} answers now; rows are stored and acknowledged`);
  }
}
