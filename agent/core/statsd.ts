/**
 * StatsD: what applications send, gathered until the next sample. Input: lines `name:value|type|@rate|#tags`; output: values
 * by name: counters as a rate a second (NAME), gauges as they are (NAME), timers and histograms as mean and maximum
 * (NAME.mean, NAME.max), sets as their size (NAME). Tags are left out: metrics of one name are one. Pure. Format: the StatsD
 * server's docs/metric_types.md.
 */

/** Names held between two samples; the names that are reported are bounded elsewhere. */
const NAMES_MAX = 256;
const SET_MEMBERS_MAX = 1024;
const LINE = /^([^:|@#\s]{1,64}):([^|]{1,128})\|(c|g|ms|h|d|s)((?:\|[^|]*)*)$/;

interface Timer {
  sum: number;
  count: number;
  max: number;
}

export class StatsdGatherer {
  readonly #counters = new Map<string, number>();
  /** Keep their value until it is changed, as the StatsD server does. */
  readonly #gauges = new Map<string, number>();
  readonly #timers = new Map<string, Timer>();
  readonly #sets = new Map<string, Set<string>>();
  lines = 0;
  /** Lines that are no metric. */
  malformed = 0;
  /** Lines of names beyond the limit. */
  refused = 0;

  /** One packet, or as many whole lines as have arrived. */
  take(text: string): void {
    for (const line of text.split('\n')) if (line.trim() !== '') this.#line(line.trim());
  }

  /** What came since the last call, `elapsedSeconds` ago. Counters that saw nothing are zero once, then gone. */
  flush(elapsedSeconds: number): Record<string, number> {
    const values: Record<string, number> = {};
    for (const [name, sum] of this.#counters) {
      values[name] = sum / elapsedSeconds;
      if (sum === 0) this.#counters.delete(name);
      else this.#counters.set(name, 0);
    }
    for (const [name, value] of this.#gauges) values[name] = value;
    for (const [name, { sum, count, max }] of this.#timers) {
      values[`${name}.mean`] = sum / count;
      values[`${name}.max`] = max;
    }
    for (const [name, members] of this.#sets) values[name] = members.size;
    this.#timers.clear();
    this.#sets.clear();
    return values;
  }

  #line(line: string): void {
    this.lines++;
    const match = LINE.exec(line);
    const [, name = '', text = '', type = '', rest = ''] = match ?? [];
    const value = Number(text);
    if (!match || (type !== 's' && (text.trim() === '' || !Number.isFinite(value)))) {
      this.malformed++;
      return;
    }
    if (type === 'c') this.#add(this.#counters, name, (this.#counters.get(name) ?? 0) + value / sampleRate(rest));
    else if (type === 'g') this.#add(this.#gauges, name, /^[+-]/.test(text) ? (this.#gauges.get(name) ?? 0) + value : value);
    else if (type === 's') this.#member(name, text);
    else {
      const before = this.#timers.get(name) ?? { sum: 0, count: 0, max: Number.NEGATIVE_INFINITY };
      this.#add(this.#timers, name, { sum: before.sum + value, count: before.count + 1, max: Math.max(before.max, value) });
    }
  }

  #member(name: string, member: string): void {
    const members = this.#sets.get(name) ?? new Set();
    if (members.size < SET_MEMBERS_MAX) members.add(member);
    this.#add(this.#sets, name, members);
  }

  #add<T>(map: Map<string, T>, name: string, value: T): void {
    if (!map.has(name) && this.#counters.size + this.#gauges.size + this.#timers.size + this.#sets.size >= NAMES_MAX) this.refused++;
    else map.set(name, value);
  }
}

/** `|@0.1`: one in ten was sent. */
function sampleRate(rest: string): number {
  const rate = Number(/\|@([0-9.]+)/.exec(rest)?.[1] ?? 1);
  return rate > 0 && rate <= 1 ? rate : 1;
}
