/**
 * How an open incident goes on: what it has been called, what it would be called now, how memory has moved meanwhile, since when
 * next to nothing weighs. Input: a point after the other; output: whether it is over, whether it has another name. A name is
 * changed when another has held for two points, so that an incident between two names does not swing; one that is for a moment,
 * and one of which nothing is heard, give way at once.
 */
import type { Incident } from './incident.ts';

/** Another name has to hold for so many points in a row. */
const HOLDS_POINTS = 2;
/** Standard deviations of a coin's tosses: four rises in a row are beyond it, as are 17 of 24. */
const BY_CHANCE = 2;
/** Words under the same name are brought up to date so often: each time the list of incidents is written. */
const WORDS_POINTS = 6;

export interface CourseState {
  points: number;
  /** Points at which memory was higher, and lower, than at its value before. */
  rises: number;
  falls: number;
  /** Points in a row that weighed next to nothing. */
  light: number;
  /** Most evidence so far. */
  peak: number;
  /** Names people were told, the newest last. */
  told: string[];
  /** Another name, and for how many points in a row. */
  next: { name: string; points: number } | null;
  /** Point at which words were last brought up to date. */
  wordsAt: number;
}

type Called = Pick<Incident, 'kind' | 'contributors'>;

export class IncidentCourse {
  #state: CourseState;

  constructor(state: Partial<CourseState> = {}) {
    // What an earlier build kept has less in it.
    this.#state = { points: 1, rises: 0, falls: 0, light: 0, peak: 0, told: [], next: null, wordsAt: 1, ...state };
  }

  get points(): number {
    return this.#state.points;
  }

  get light(): number {
    return this.#state.light;
  }

  /** Share of memory's movements that went up; 0 while that may be chance: noise alone goes up three times in a row soon enough. */
  get memoryRose(): number {
    const { rises, falls } = this.#state;
    const movements = rises + falls;
    return rises - falls < Math.max(1, BY_CHANCE * Math.sqrt(movements)) ? 0 : rises / movements;
  }

  opened(called: Called, weight: number): void {
    this.#state.told = [nameOf(called)];
    this.#state.peak = weight;
  }

  next(isLight: boolean): void {
    this.#state.points += 1;
    this.#state.light = isLight ? this.#state.light + 1 : 0;
  }

  memory(before: number, now: number): void {
    if (now > before) this.#state.rises += 1;
    if (now < before) this.#state.falls += 1;
  }

  /** True when there was never as much evidence. */
  weighs(weight: number): boolean {
    const higher = weight > this.#state.peak;
    this.#state.peak = Math.max(this.#state.peak, weight);
    return higher;
  }

  /** Is `now` what it is called, what it is to be called from now on, or what it would be called once that has held? */
  name(open: Called, now: Called): 'same' | 'another' | 'not yet' {
    const s = this.#state;
    const name = nameOf(now);
    s.next = name === nameOf(open) ? null : { name, points: s.next?.name === name ? s.next.points + 1 : 1 };
    if (s.next === null) return 'same';
    if (s.next.points < HOLDS_POINTS && open.kind !== 'spike' && now.kind !== 'silence') return 'not yet';
    s.next = null;
    return 'another';
  }

  /** It is called so now; answers the name people were told last, when they are to be told of this one: once each. */
  formerly(called: Called): string | null {
    const s = this.#state;
    const name = nameOf(called);
    if (called.kind === 'spike' || s.told.includes(name)) return null;
    const last = s.told.at(-1) ?? null;
    s.told = [...s.told, name];
    return last;
  }

  /** Under the same name: is it time for newer words? */
  dueWords(): boolean {
    return this.#state.points - this.#state.wordsAt >= WORDS_POINTS;
  }

  worded(): void {
    this.#state.wordsAt = this.#state.points;
  }

  toJSON(): CourseState {
    return { ...this.#state };
  }
}

/** Kind and metric: `level shift of cpu`; silence is of the whole VM, or says itself of what. */
function nameOf({ kind, contributors }: Called): string {
  const metric = contributors[0]?.name.split(': ')[0];
  return kind === 'silence' || metric === undefined ? kind : `${kind} of ${metric}`;
}
