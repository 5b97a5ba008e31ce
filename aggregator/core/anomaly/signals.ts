/**
 * The signals an ensemble watches in one series, in families. Each is one number a point; the detector asks how surprising
 * that number is. Many plain signals of different families do better than one clever one: leaving any family out
 * costs 1 to 4 points on the Numenta benchmark, leaving any single signal out hardly any.
 */
import type { AnomalyKind } from './detector.ts';

export interface Signal {
  name: string;
  /** Too low is as telling as too high; otherwise only too high is. */
  bothSides: boolean;
}

export interface Family {
  kind: AnomalyKind;
  /** How much its surprise counts beside that of the others. */
  weight: number;
  signals: readonly Signal[];
}

const both = (name: string): Signal => ({ name, bothSides: true });
const high = (name: string): Signal => ({ name, bothSides: false });

/** No other family answers to a series that stands still: alone it would hardly ever be enough for an alarm. 1.3 to 1.5 score alike. */
const STUCK_WEIGHT = 1.5;

/** The order of the signals is the order in which `readSignals` writes them. */
export const FAMILIES: readonly Family[] = [
  { kind: 'spike', weight: 1, signals: [both('value')] },
  { kind: 'spike', weight: 1, signals: [high('jump'), both('residual over 24 points'), both('residual over 72 points')] },
  { kind: 'level shift', weight: 1, signals: [both('level over 3 points'), both('level over 24 points'), both('level over 72 points')] },
  { kind: 'level shift', weight: 1, signals: [both('change over 8 points'), both('change over 24 points'), both('change over 72 points')] },
  {
    kind: 'change of activity',
    weight: 1,
    signals: [
      both('movement over 8 points'),
      both('movement over 24 points'),
      both('movement over 72 points'),
      both('spread over 12 points'),
    ],
  },
  {
    kind: 'unusual for the time',
    weight: 1,
    signals: [both('against the usual time of day'), both('against the usual day, 8 points'), both('against the usual day, 36 points')],
  },
  { kind: 'unusual for the time', weight: 1, signals: [both('against the usual time of week'), both('against the usual week, 8 points')] },
  { kind: 'unusual for the time', weight: 1, signals: [both('against yesterday'), both('against yesterday, 12 points')] },
  { kind: 'level shift', weight: 1, signals: [both('lowest of 6 points'), both('lowest of 24 points')] },
  { kind: 'unusual shape', weight: 1, signals: [high('shape of 6 points'), high('shape of 36 points')] },
  { kind: 'stuck', weight: STUCK_WEIGHT, signals: [high('same value again')] },
];

export const SIGNALS: readonly Signal[] = FAMILIES.flatMap(({ signals }) => signals);
