/**
 * Seeded random numbers (sfc32, Chris Doty-Humphrey, PractRand) with named streams, so that a draw for one VM does not
 * move the draws of another. Seeds and stream names in, fractions in [0, 1) out.
 */
export interface Prng {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, n). */
  below(n: number): number;
  /** An independent generator, the same for the same name. */
  stream(name: string): Prng;
}

/** FNV-1a, 32 bits: spreads a stream's name over the seed space. */
function hash(text: string, basis: number): number {
  let h = (0x811c9dc5 ^ basis) >>> 0;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193) >>> 0;
  }
  return h;
}

export function createPrng(seed: number, name = ''): Prng {
  let a = hash(name, seed >>> 0);
  let b = hash(name, (seed ^ 0x9e3779b9) >>> 0);
  let c = hash(name, Math.floor(seed / 2 ** 32) >>> 0);
  let counter = 1;
  const next = (): number => {
    const t = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 15; i++) next();
  return {
    next,
    below: (n) => Math.floor(next() * n),
    stream: (child) => createPrng(seed, `${name}/${child}`),
  };
}
