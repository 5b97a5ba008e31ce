/**
 * Numbers for series and field lists, so that their names travel and are kept once and not with every row. The writer gives
 * numbers and says what they mean when they are first used; the reader keeps what it was told. Both count from 0 again at
 * once: a list of names that begins at 0 begins a new numbering.
 */
import { assert } from '../../../shared/assert.ts';
import type { Source, Subject, TelemetryBlock } from '../../../shared/telemetry.ts';

export interface SeriesName {
  readonly subject: Subject;
  readonly source: Source;
}

/** What new numbers stand for, as JSON: the first of `series` has the number `seriesFrom`, and so on. */
export interface NewNames {
  seriesFrom: number;
  series: [kind: Subject['kind'], id: string, source: Source][];
  layoutsFrom: number;
  layouts: (readonly string[])[];
}

/** Names known at a time: a hundred thousand VMs with host's and guest's rows. Beyond it the numbering begins anew. */
const SERIES_MAX = 200_000;
const LAYOUTS_MAX = 4096;

export class NameWriter {
  /** By kind, source and id: no key need be put together. */
  #byId = numberMaps();
  #series = 0;
  /** Whoever makes blocks keeps its field lists. */
  #byList = new WeakMap<readonly string[], number>();
  readonly #byText = new Map<string, number>();
  #fresh: NewNames | null = null;
  #begun = false;

  /** Call before the blocks of one buffer are numbered: may begin anew, which it must not do halfway. */
  begin(): void {
    if (this.#begun && this.#series < SERIES_MAX && this.#byText.size < LAYOUTS_MAX) return;
    this.#begun = true;
    this.#byId = numberMaps();
    this.#series = 0;
    this.#byList = new WeakMap();
    this.#byText.clear();
    this.#news();
  }

  series({ subject, source }: TelemetryBlock): number {
    const known = this.#byId[subject.kind][source];
    let number = known.get(subject.id);
    if (number === undefined) {
      const news = this.#news();
      number = this.#series++;
      known.set(subject.id, number);
      news.series.push([subject.kind, subject.id, source]);
    }
    return number;
  }

  layout(fields: readonly string[]): number {
    let number = this.#byList.get(fields);
    if (number !== undefined) return number;
    const text = fields.join('\n');
    number = this.#byText.get(text);
    if (number === undefined) {
      const news = this.#news();
      number = this.#byText.size;
      this.#byText.set(text, number);
      news.layouts.push(fields);
    }
    this.#byList.set(fields, number);
    return number;
  }

  /** Names that were given numbers since the last call, null when there are none: they must reach the reader, in order. */
  takeNews(): string | null {
    const news = this.#fresh;
    this.#fresh = null;
    return news && JSON.stringify(news);
  }

  #news(): NewNames {
    this.#fresh ??= { seriesFrom: this.#series, series: [], layoutsFrom: this.#byText.size, layouts: [] };
    return this.#fresh;
  }
}

function numberMaps(): Record<Subject['kind'], Record<Source, Map<string, number>>> {
  return { vm: { host: new Map(), guest: new Map() }, host: { host: new Map(), guest: new Map() } };
}

/** The names of one numbering. */
export class NameTable {
  readonly series: SeriesName[] = [];
  readonly layouts: (readonly string[])[] = [];

  learn(news: NewNames): void {
    assert(news.seriesFrom === this.series.length && news.layoutsFrom === this.layouts.length, 'names are numbered without a gap');
    for (const [kind, id, source] of news.series) this.series.push({ subject: { kind, id }, source });
    this.layouts.push(...news.layouts);
  }
}

export function beginsAnew({ seriesFrom, layoutsFrom }: NewNames): boolean {
  return seriesFrom === 0 && layoutsFrom === 0;
}
