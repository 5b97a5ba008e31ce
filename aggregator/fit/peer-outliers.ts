/**
 * Which series of a crowd stand apart: density-based clustering at each point (DBSCAN: Ester et al., KDD 1996; scale found from the
 * data) by `@bsull/augurs` (WebAssembly). Input: series of one length; output: for each whether it has stood apart for a third of
 * them at least and still does.
 */
import { initSync, OutlierDetector } from '@bsull/augurs/outlier';
import type { OutlierFinder } from '../core/anomaly/peers.ts';
import { augursModule } from './smoothing.ts';

/** 0.5 is the library's own middle: lower finds fewer. */
const SENSITIVITY = 0.5;
const LASTING_SHARE = 1 / 3;
let loaded = false;

export const peerOutliers: OutlierFinder = (series) => {
  if (!loaded) initSync(augursModule('outlier'));
  loaded = true;
  const length = series[0]?.length ?? 0;
  using detector = OutlierDetector.dbscan({ sensitivity: SENSITIVITY });
  const { seriesResults } = detector.detect([...series] as Float64Array[]);
  return series.map((_, i) => {
    const last = seriesResults[i]?.outlierIntervals.at(-1);
    if (last === undefined || (last.end !== undefined && last.end < length)) return false;
    return length - last.start >= LASTING_SHARE * length;
  });
};
