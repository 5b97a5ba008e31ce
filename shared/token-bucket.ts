/**
 * A rate with a burst. Input: amounts and monotonic times. Output: how long to wait. It may go into debt by one amount,
 * so that something larger than the burst still passes, once, and is paid for afterwards.
 */
export interface TokenBucketOptions {
  ratePerSecond: number;
  burst: number;
}

export class TokenBucket {
  #rate: number;
  #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(options: TokenBucketOptions, nowMs: number) {
    this.#rate = options.ratePerSecond;
    this.#burst = options.burst;
    this.#tokens = options.burst;
    this.#atMs = nowMs;
  }

  /** What may be taken now, negative while in debt. */
  available(nowMs: number): number {
    const elapsedSeconds = Math.max(0, nowMs - this.#atMs) / 1000;
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.#tokens = Math.min(this.#burst, this.#tokens + elapsedSeconds * this.#rate);
    return this.#tokens;
  }

  /** Takes the amount whatever is there; answers the milliseconds until the debt is paid, 0 when there is none. */
  take(amount: number, nowMs: number): number {
    this.#tokens = this.available(nowMs) - amount;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate) * 1000;
  }

  setRate(options: TokenBucketOptions): void {
    this.#rate = options.ratePerSecond;
    this.#burst = options.burst;
    this.#tokens = Math.min(this.#tokens, this.#burst);
  }
}
