/**
 * What a VM touches first after a resume, learned online from each resume: per chunk of memory, how likely it is and how early it
 * comes. Pure. Input: the chunks touched, in order; output: a prediction, most likely first and among equals earliest first, and
 * how the last one fared. Its state is plain data, a few bytes per chunk ever touched.
 *
 * A chunk's probability is the mean over the resumes seen, the last few counting alike and older ones fading by a third each: the
 * working set of a steady guest repeats by 97 to 100 % from resume to resume, and what a reboot moved should be gone in three.
 */
const FADE_AFTER = 3;
/**
 * About as likely waste as not, and worth it: a chunk that was fetched for nothing costs a fifth of a millisecond before the guest runs,
 * one that was not fetched some five while it waits. What was touched in one resume of three is touched in the next in one of eight.
 */
export const PROBABILITY_MIN = 0.4;
/** Six gibibytes: no guest touches more before it answers. */
export const PREDICTED_CHUNKS_MAX = 100_000;
/** Below that a chunk is forgotten. */
const FORGET_BELOW = 0.05;

interface ChunkModel {
  /** 0..1. */
  probability: number;
  /** Mean place in the order, 0 = first, 1 = last. */
  place: number;
}

export interface TouchState {
  resumes: number;
  chunks: [chunk: number, probability: number, place: number][];
}

export interface PredictedChunk {
  chunk: number;
  probability: number;
}

export interface TouchScore {
  /** Share of what was touched that had been predicted. */
  hitRate: number;
  /** Share of what was predicted that was not touched. */
  wasteRate: number;
}

export interface TouchModel {
  readonly resumes: number;
  /** Empty before the first resume was seen. */
  /** `share`: of the mass of all predicted, the likeliest first. */
  predict(chunksMax: number, share?: number): PredictedChunk[];
  /**
   * `inPlace`: chunks that nobody waited for, so that nothing is seen of when they were touched. `unseen`: of these nobody can tell whether
   * they were, either; they stay as likely as they were.
   */
  observe(touched: readonly number[], aside?: { inPlace?: ReadonlySet<number>; unseen?: ReadonlySet<number> }): void;
  state(): TouchState;
}

export function createTouchModel(kept: TouchState | null = null): TouchModel {
  let resumes = kept?.resumes ?? 0;
  const chunks = new Map<number, ChunkModel>(kept?.chunks.map(([chunk, probability, place]) => [chunk, { probability, place }]));
  return {
    get resumes() {
      return resumes;
    },
    predict(chunksMax, share = 1) {
      const likely = [...chunks].filter(([, { probability }]) => probability >= PROBABILITY_MIN);
      likely.sort(([a, one], [b, other]) => other.probability - one.probability || one.place - other.place || a - b);
      const predicted = likely.slice(0, chunksMax).map(([chunk, { probability }]) => ({ chunk, probability }));
      return share >= 1 ? predicted : ofMass(predicted, share);
    },
    observe(touched, { inPlace = new Set(), unseen = new Set() } = {}) {
      resumes++;
      const weight = 1 / Math.min(resumes, FADE_AFTER);
      const places = new Map(touched.map((chunk, index) => [chunk, index / touched.length]));
      for (const [chunk, model] of chunks) {
        if (unseen.has(chunk)) continue;
        const place = places.get(chunk);
        model.probability += weight * ((place === undefined ? 0 : 1) - model.probability);
        if (place !== undefined && !inPlace.has(chunk)) model.place += weight * (place - model.place);
        if (model.probability < FORGET_BELOW) chunks.delete(chunk);
      }
      for (const [chunk, place] of places) if (!chunks.has(chunk) && !unseen.has(chunk)) chunks.set(chunk, { probability: weight, place });
    },
    state: () => ({ resumes, chunks: [...chunks].map(([chunk, { probability, place }]) => [chunk, probability, place]) }),
  };
}

function ofMass(predicted: readonly PredictedChunk[], share: number): PredictedChunk[] {
  let left = share * predicted.reduce((sum, { probability }) => sum + probability, 0);
  const taken: PredictedChunk[] = [];
  for (const one of predicted) {
    if (one.probability > left) break;
    left -= one.probability;
    taken.push(one);
  }
  return taken;
}

/** A rate over nothing is 0: nothing was hit, nothing wasted. */
export function scoreTouches(predicted: readonly number[], touched: readonly number[]): TouchScore {
  const found = new Set(touched);
  const hits = predicted.filter((chunk) => found.has(chunk)).length;
  return {
    hitRate: touched.length === 0 ? 0 : hits / touched.length,
    wasteRate: predicted.length === 0 ? 0 : (predicted.length - hits) / predicted.length,
  };
}
