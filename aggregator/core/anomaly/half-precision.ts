/** Arrays of 16-bit floats as state: their bits, and a change of unit. Half precision keeps 11 bits up to 65,504. */
import type { StateArray } from '../forecast/state-bytes.ts';

/** The same memory as integers: what serialises. */
export const bitsOf = (halves: Float16Array): StateArray => new Uint16Array(halves.buffer, halves.byteOffset, halves.length);

export function scaleAll(halves: Float16Array, factor: number): void {
  for (let i = 0; i < halves.length; i++) halves[i]! *= factor;
}
