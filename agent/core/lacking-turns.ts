/**
 * Which of the records that a VM's snapshot lacks are asked of other hosts now, where they are more than one frame may name. Input: the names
 * that are lacking, the time; output: the few whose turn it is, and when the next turn begins. What came makes room at once; what nobody
 * gave within its turn goes behind what was never asked for, and its next turns are longer: hosts that have none of it are left in peace.
 */

/** Hosts are asked and answer well within it, over a slow wire too. */
const TURN_MS = 2000;
/** As long as the aggregator waits until it asks anew. */
const TURN_MS_MAX = 30_000;

export interface Turn {
  names: string[];
  /** Null: all that is lacking is named, and nothing changes by itself. */
  nextAtMs: number | null;
}

interface Asked {
  /** Turns that ended and brought nothing. */
  vain: number;
  /** Null: it waits for its turn. */
  untilMs: number | null;
}

export class LackingTurns {
  readonly #atOnceMax: number;
  #asked = new Map<string, Asked>();

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax;
  }

  at(lacking: readonly string[], nowMs: number): Turn {
    this.#asked = new Map(lacking.map((name) => [name, ended(this.#asked.get(name) ?? { vain: 0, untilMs: null }, nowMs)]));
    const entries = [...this.#asked];
    const free = this.#atOnceMax - entries.filter(([, { untilMs }]) => untilMs !== null).length;
    const waiting = entries.filter(([, { untilMs }]) => untilMs === null).toSorted(([, a], [, b]) => a.vain - b.vain);
    for (const [, asked] of waiting.slice(0, free)) asked.untilMs = nowMs + Math.min(TURN_MS * 2 ** asked.vain, TURN_MS_MAX);
    const ends = entries.flatMap(([, { untilMs }]) => untilMs ?? []);
    return {
      names: entries.filter(([, { untilMs }]) => untilMs !== null).map(([name]) => name),
      nextAtMs: lacking.length > this.#atOnceMax ? Math.min(...ends) : null,
    };
  }
}

function ended({ vain, untilMs }: Asked, nowMs: number): Asked {
  return untilMs !== null && untilMs <= nowMs ? { vain: vain + 1, untilMs: null } : { vain, untilMs };
}
