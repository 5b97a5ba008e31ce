/**
 * What applications sent by StatsD since the last reading. Input: a gatherer that a listener fills; output: Readings under
 * `vm_app`.
 */
import type { AppNames } from '../core/app-names.ts';
import type { StatsdGatherer } from '../core/statsd.ts';
import { namedReading } from './app-reading.ts';
import { type Collector, noData } from './collector.ts';

export function createStatsd(gatherer: StatsdGatherer, names: AppNames): Collector {
  const fields: string[] = [];
  let lastMs = Number.NaN;
  return {
    name: 'statsd',
    fields,
    required: [],
    update(nowMs) {
      const elapsedSeconds = (nowMs - lastMs) / 1000;
      lastMs = nowMs;
      // What came before the first reading has no known length of time.
      const values = gatherer.flush(elapsedSeconds > 0 ? elapsedSeconds : Number.NaN);
      return Object.keys(values).length === 0 ? noData('nothing was sent') : namedReading(values, names, fields);
    },
  };
}
