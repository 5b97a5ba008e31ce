/**
 * The Detector seam: one watcher of one series (one VM and metric). Points come one by one, each is judged from what came
 * before it and then learnt from; nothing is ever judged again. Deterministic, no clock, no I/O, no pass over history;
 * state of a fixed size that serialises.
 */
export interface AnomalyPoint {
  /** UTC ms. */
  timeMs: number;
  /** Any unit. NaN = the point was due and did not come: unknown, never zero. */
  value: number;
}

/** What an anomaly looks like. `none`: nothing worth a word. */
export type AnomalyKind =
  | 'none'
  | 'spike'
  | 'level shift'
  | 'change of activity'
  | 'unusual for the time'
  | 'unusual shape'
  | 'stuck'
  | 'silence';

export interface Contributor {
  /** The signal, e.g. `level over 24 points`; for a VM its metric stands before it. */
  name: string;
  /** 0..1; those of one judgement sum to 1 at most. */
  share: number;
}

export interface Judgement {
  /** 0..1, the likelihood that something is wrong; an alarm from `ALARM_SCORE` on. 0 while learning and while an alarm rests. */
  score: number;
  kind: AnomalyKind;
  /** The strongest first, three at most; none when the score is 0. */
  contributors: readonly Contributor[];
}

/** One threshold for every series. */
export const ALARM_SCORE = 0.5;

export const QUIET: Judgement = { score: 0, kind: 'none', contributors: [] };

export interface Detector {
  /** e.g. `ensemble`. */
  readonly name: string;
  score(point: AnomalyPoint): Judgement;
  /** Versioned bytes; `restore` of the same build reads them exactly, of another build refuses with STORE_CORRUPT. */
  serialise(): Uint8Array;
  readonly stateBytes: number;
}

export type DetectorFactory = {
  create(): Detector;
  restore(bytes: Uint8Array): Detector;
};
