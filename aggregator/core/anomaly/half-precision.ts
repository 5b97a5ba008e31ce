/** A change of unit of 16-bit floats, in place. */
export function scaleAll(halves: Float16Array, factor: number): void {
  for (let i = 0; i < halves.length; i++) halves[i]! *= factor;
}
