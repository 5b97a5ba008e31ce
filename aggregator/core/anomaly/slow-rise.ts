/**
 * A metric that rises slowly and does not come back: a leak, whatever bursts ride on it. Input: the metric's value a point; output:
 * whether its floor has risen for hours to where it never was. Looks at lowest values of stretches, which bursts do not touch, and
 * at signs, not sizes (as the test of Mann 1945 does), so that no noise is too large for it. State: a ring of floors and a record.
 */

/** Points of a stretch: an hour of five-minute samples. */
const STRETCH = 12;
/** Stretches looked at together. */
const STRETCHES = 8;
/** Of the pairs of stretches, this share must have risen: 1 = each is above all before it. */
const RISING_SHARE = 0.9;
/** Share of the VM's size by which the floor must have risen, and by which it must lie above its record. */
const RISE_MIN = 0.1;
/** The record sinks by this share of the way to the floor a stretch: what happened a month ago counts little. */
const FORGOTTEN = 0.002;

export interface SlowRiseState {
  floors: number[];
  lowest: number | null;
  points: number;
  record: number | null;
}

export class SlowRise {
  #state: SlowRiseState = { floors: [], lowest: null, points: 0, record: null };

  /** @param size of the VM, in the metric's unit. True: it rises, and is where it never was. */
  next(value: number, size: number): boolean {
    const s = this.#state;
    s.lowest = Math.min(s.lowest ?? value, value);
    s.points += 1;
    if (s.points === STRETCH) {
      this.#stretch(s.lowest);
      s.points = 0;
      s.lowest = null;
    }
    return this.#rises(size);
  }

  get stateBytes(): number {
    return (STRETCHES + 3) * 8;
  }

  serialise(): SlowRiseState {
    return { ...this.#state, floors: [...this.#state.floors] };
  }

  restore(state: SlowRiseState): void {
    this.#state = { ...state, floors: [...state.floors].slice(-STRETCHES) };
  }

  #stretch(floor: number): void {
    const s = this.#state;
    // A stretch becomes part of the record when it leaves the ring: what rises now is held against what was before.
    if (s.floors.length === STRETCHES) {
      const leaving = s.floors.shift()!;
      s.record = s.record === null ? leaving : Math.max(leaving, s.record + (leaving - s.record) * FORGOTTEN);
    }
    s.floors.push(floor);
  }

  #rises(size: number): boolean {
    const { floors, record } = this.#state;
    if (floors.length < STRETCHES || record === null) return false;
    const newest = floors.at(-1)!;
    if (newest - floors[0]! < RISE_MIN * size || newest - record < RISE_MIN * size) return false;
    let rising = 0;
    for (let i = 0; i < floors.length; i++) for (let j = i + 1; j < floors.length; j++) if (floors[j]! > floors[i]!) rising += 1;
    return rising >= (RISING_SHARE * floors.length * (floors.length - 1)) / 2;
  }
}
