/**
 * Where to try next: the aggregators an agent was given, and the one it was sent to. Input: addresses, what became of each
 * attempt, the time; output: the next address and how long to wait before it. One address alone is tried for ever with
 * growing pauses; of several the others come first. Who has just failed, or could not look after it, is not gone to on another's word. Pure.
 */
import { type BackoffOptions, backoffMs } from '../../shared/backoff.ts';
import type { Prng } from '../../shared/prng.ts';

/** An aggregator that is gone is named as the owner until its lease ends, some seconds. */
const SHUNNED_MS = 3000;
/** So long what failed is told to the others: they need not send us there until its lease has surely ended. */
const TOLD_MS = 10_000;
const TOLD_MAX = 16;
/** Sent on so often without being taken in: they do not agree, and asking faster will not help. */
const REDIRECTS_MAX = 6;

export class Addresses {
  /** Where it was told to look, and after those the ones it was told of. */
  #known: readonly string[];
  readonly #given: readonly string[];
  readonly #failedAtMs = new Map<string, number>();
  #at = 0;
  #sentTo: string | null = null;
  #failures = 0;
  #redirects = 0;

  constructor(given: readonly string[]) {
    this.#known = given;
    this.#given = given;
  }

  get several(): boolean {
    return this.#known.length > 1;
  }

  /** The address to try now. */
  get next(): string {
    return this.#sentTo ?? this.#known[this.#at % this.#known.length]!;
  }

  /** Looked for in vain within the last seconds. */
  unreachable(nowMs: number): string[] {
    return (
      [...this.#failedAtMs]
        // The only place there is has no name.
        .filter(([url, atMs]) => url !== '' && nowMs - atMs < TOLD_MS)
        .map(([url]) => url)
        .slice(-TOLD_MAX)
    );
  }

  /** It was taken in, and that lasted. */
  steady(): void {
    this.#failures = 0;
  }

  /** `others`: where aggregators live, as the one that took it in knows; absent: it did not tell. */
  welcomed(others?: readonly string[]): void {
    this.#redirects = 0;
    if (others === undefined) return;
    const current = this.#known[this.#at % this.#known.length]!;
    this.#known = [...new Set([...this.#given, ...others])];
    this.#at = Math.max(0, this.#known.indexOf(current));
  }

  /** No connection to `next`, or it ended. Answers how long to wait, ms. */
  failed(nowMs: number, backoff: BackoffOptions, random: Prng): number {
    this.#noteFailed(nowMs);
    if (this.#sentTo === null) this.#at++;
    this.#sentTo = null;
    this.#skipShunned(nowMs);
    return backoffMs(Math.floor(this.#failures++ / this.#known.length), backoff, random);
  }

  /** `next` sent it elsewhere, or, with null, to any other: that one is no use now. Answers how long to wait, ms. */
  redirected(url: string | null, retryMs: number, nowMs: number, backoff: BackoffOptions, random: Prng): number {
    if (url === null) this.#noteFailed(nowMs);
    const known = url !== null && !this.#isShunned(url, nowMs);
    if (this.#sentTo === null) this.#at++;
    this.#sentTo = known ? url : null;
    this.#skipShunned(nowMs);
    const shunned = this.#isShunned(url ?? this.next, nowMs);
    // Somebody lives and answers.
    this.#failures = 0;
    if (++this.#redirects > REDIRECTS_MAX) return backoffMs(this.#redirects - REDIRECTS_MAX, backoff, random);
    return (shunned ? Math.max(retryMs, backoff.baseMs) : retryMs) * (0.5 + random.next() / 2);
  }

  #noteFailed(nowMs: number): void {
    const url = this.next;
    // The newest last.
    this.#failedAtMs.delete(url);
    this.#failedAtMs.set(url, nowMs);
  }

  #isShunned(url: string, nowMs: number): boolean {
    return nowMs - (this.#failedAtMs.get(url) ?? Number.NEGATIVE_INFINITY) < SHUNNED_MS;
  }

  /** Those that have not just failed come first; when all have, they keep their turns. */
  #skipShunned(nowMs: number): void {
    for (let i = 0; i < this.#known.length; i++) {
      if (!this.#isShunned(this.#known[(this.#at + i) % this.#known.length]!, nowMs)) {
        this.#at += i;
        return;
      }
    }
  }
}
