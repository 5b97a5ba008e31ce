/**
 * What was answered to requests that carry a key of their own, so that the same request is done once: the seam, and the memory of one
 * aggregator alone. Input: keys, what was asked, answers; output: the first answer once more. Adapters: memory, the table of leases that
 * several aggregators share (`service/shared-answers.ts`).
 */
export interface GivenAnswer {
  status: number;
  headers: Record<string, string>;
  /** Null: it held a secret, which is shown once, or is larger than is kept. */
  body: string | null;
}

export interface KeptAnswer {
  /** Of what was asked. */
  fingerprint: string;
  /** Null: under way. */
  answer: GivenAnswer | null;
}

export interface KeptAnswers {
  /** Null: nobody asked with this key before, and it is under way from now on. */
  begin(key: string, fingerprint: string): Promise<KeptAnswer | null>;
  /** What it ended with; null: it may be done again. */
  end(key: string, fingerprint: string, answer: GivenAnswer | null): Promise<void>;
}

export const ANSWERS_KEPT_MS = 24 * 60 * 60_000;
export const KEPT_MAX = 10_000;
/** All of them together: an answer of usual size is a kilobyte. */
export const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** `nowMs` only judges age. After a restart a key is new again. */
export function memoryAnswers(nowMs: () => number): KeptAnswers {
  const answers = new Map<string, KeptAnswer & { atMs: number }>();
  let bytes = 0;
  const forget = (key: string): void => {
    bytes -= answers.get(key)?.answer?.body?.length ?? 0;
    answers.delete(key);
  };
  /** Oldest first: a map keeps the order in which its keys came. What is under way is never forgotten. */
  const makeRoom = (): void => {
    for (const [key, { atMs, answer }] of answers) {
      const over = answers.size > KEPT_MAX || bytes > KEPT_BYTES_MAX;
      if (!over && nowMs() - atMs < ANSWERS_KEPT_MS) break;
      if (answer !== null) forget(key);
    }
  };
  return {
    async begin(key, fingerprint) {
      makeRoom();
      const before = answers.get(key);
      if (before !== undefined) return before;
      answers.set(key, { fingerprint, atMs: nowMs(), answer: null });
      return null;
    },
    async end(key, _fingerprint, answer) {
      const entry = answers.get(key);
      if (entry === undefined) return;
      if (answer === null) forget(key);
      else {
        entry.answer = answer;
        bytes += answer.body?.length ?? 0;
      }
    },
  };
}
