/** A quantile between those that are known. Levels and their values in, the value at any level out. */

const logit = (q: number): number => Math.log(q / (1 - q));

/** `levels` and `values` ascend together; linear on the logit scale, held beyond the ends. */
export function quantileBetween(levels: readonly number[], values: ArrayLike<number>, q: number): number {
  let j = 1;
  while (j < levels.length - 1 && levels[j]! < q) j++;
  const [below, above] = [logit(levels[j - 1]!), logit(levels[j]!)];
  const share = Math.min(1, Math.max(0, (logit(q) - below) / (above - below)));
  return values[j - 1]! + share * (values[j]! - values[j - 1]!);
}
