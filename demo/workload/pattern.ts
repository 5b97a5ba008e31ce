/**
 * What each guest of the demo offers to do, as a function of time: a "day" of 100 seconds that repeats. Input: role and
 * time since the first day began; output: cores wanted by the workload and MiB it wants to hold. Pure, and the same for
 * everyone who asks, so a guest needs nothing but its clock and the first day's beginning to follow it.
 */
import { createPrng } from '../../shared/prng.ts';

export const ROLES = ['web', 'batch', 'idle', 'control'] as const;
export type Role = (typeof ROLES)[number];

/** The forecasting step that the day's events are laid out on. */
export const STEP_MS = 5000;
/** A demonstration shows several days within minutes: 100 s a day, a multiple of the 5 s step, seven of them in twelve minutes. */
export const DAY_MS = 100_000;

/** From the moment an agent is connected until its workload offers load: it settles, and measures its guest's base. */
export const WORKLOAD_SETTLE_MS = 45_000;
/** From the first guest's start until all agents are connected, about; emulated guests boot in 20 to 30 s. */
const BOOT_MS = 40_000;

/**
 * When the first day begins, for a fleet whose first guest starts now: shortly after all are up, on a forecasting step's
 * boundary. All that repeats then does so first in the learning cycles, at the same place of every run.
 */
export function firstDayMs(nowMs: number): number {
  return Math.ceil((nowMs + BOOT_MS) / STEP_MS) * STEP_MS;
}

export interface Offer {
  cores: number;
  memoryMiB: number;
}

/** Corners of one day: [second of the day, share of the way from low to high]; straight lines between. */
type Shape = readonly (readonly [second: number, share: number])[];

interface Pattern {
  shape: Shape;
  low: Offer;
  high: Offer;
  /** The guest's own day begins this much later than the fleet's: keeps the sum of all guests low. */
  shiftMs: number;
  /** Uneven use: each five seconds are up to this share lower or higher. */
  noiseShare: number;
}

/** Rises within 3 s in the morning (half an hour and a bit of a real day) and falls as fast in the evening. */
const INTERACTIVE: Shape = [
  [0, 0],
  [35, 0],
  [38, 1],
  [80, 1],
  [83, 0],
  [100, 0],
];
/** A job that starts on the clock, at once, and ends at once: nothing announces it but the day before. */
const SCHEDULED: Shape = [
  [0, 0],
  [20, 0],
  [20, 1],
  [55, 1],
  [55, 0],
  [100, 0],
];
/** Nearly nothing, but for ten seconds a day. */
const RARE: Shape = [
  [0, 0],
  [80, 0],
  [80, 1],
  [90, 1],
  [90, 0],
  [100, 0],
];

/**
 * Cores and MiB are small enough that four guests, their emulation and both agents stay well below two cores and 3 GiB, and
 * their middles lie well above what must never be undercut, the policy's floor and the working set at rest, whatever the
 * guest's own base comes to: a rise counts as led only if the allocation was below its middle before.
 */
const WEB: Pattern = {
  shape: INTERACTIVE,
  low: { cores: 0.22, memoryMiB: 110 },
  high: { cores: 0.5, memoryMiB: 232 },
  shiftMs: 25_000,
  noiseShare: 0.04,
};
const PATTERNS: Record<Role, Pattern> = {
  web: WEB,
  control: { ...WEB, shiftMs: WEB.shiftMs + DAY_MS / 2 },
  batch: {
    shape: SCHEDULED,
    low: { cores: 0.12, memoryMiB: 16 },
    high: { cores: 0.56, memoryMiB: 232 },
    shiftMs: 46_500,
    noiseShare: 0.02,
  },
  idle: { shape: RARE, low: { cores: 0.02, memoryMiB: 8 }, high: { cores: 0.52, memoryMiB: 120 }, shiftMs: 66_500, noiseShare: 0 },
};

/** Noise changes this often: each forecasting step sees about one draw. */
const NOISE_MS = 5000;
const NOISE_SEED = 7;

/** Share of the way from low to high at a moment of the day. */
function shareAt(shape: Shape, second: number): number {
  let before: readonly [number, number] = [0, 0];
  for (const corner of shape) {
    if (corner[0] > second) return before[1] + ((second - before[0]) / (corner[0] - before[0])) * (corner[1] - before[1]);
    before = corner;
  }
  return before[1];
}

/** One draw in −1..1 per slot, straight lines between: a jump of its own could cross a rise's middle twice. */
function smoothNoise(slot: number): number {
  const draw = (index: number): number => createPrng(NOISE_SEED, String(index)).next() * 2 - 1;
  const from = Math.floor(slot);
  return draw(from) + (slot - from) * (draw(from + 1) - draw(from));
}

/** `sinceMs`: since the first day began; may be negative. */
export function offerAt(role: Role, sinceMs: number): Offer {
  const { shape, low, high, shiftMs, noiseShare } = PATTERNS[role];
  const ownMs = sinceMs - shiftMs;
  const share = shareAt(shape, (((ownMs % DAY_MS) + DAY_MS) % DAY_MS) / 1000);
  // The control's noise at its own time of day is the web guest's, half a day earlier: the same load, shifted.
  const noise = 1 + noiseShare * smoothNoise(ownMs / NOISE_MS);
  const at = (from: number, to: number): number => (from + share * (to - from)) * noise;
  return { cores: at(low.cores, high.cores), memoryMiB: at(low.memoryMiB, high.memoryMiB) };
}
