/**
 * The embedded series store in memory and in this thread, for simulations and tests: the same core, every call finished
 * when it returns, nothing left to timers. Input: a clock. Output: a SeriesStore.
 */
import type { Clock } from '../../../shared/clock.ts';
import type { SeriesStore } from '../series-store.ts';
import { encodeBlocks } from './block-bytes.ts';
import { NameWriter } from './block-names.ts';
import { SeriesCore } from './series-core.ts';
import { type SeriesOptions, seriesOptions } from './series-options.ts';

export interface MemorySeriesStoreOptions extends Partial<SeriesOptions> {
  clock: Clock;
  onReport?: (message: string) => void;
}

export function createMemorySeriesStore(given: MemorySeriesStoreOptions): SeriesStore {
  const { clock, onReport = () => undefined, ...limits } = given;
  const core = new SeriesCore(null, seriesOptions(limits), onReport, clock.wallMs());
  const names = new NameWriter();
  const work = (nowMs: number): void => {
    while (core.step(nowMs));
  };
  return {
    async append(blocks) {
      if (blocks.length > 0) core.append([encodeBlocks(blocks, names)], clock.wallMs());
      work(clock.wallMs());
    },
    async query(query) {
      return core.query(query);
    },
    async queryMany({ subjects, ...rest }) {
      return subjects.map((subject) => core.query({ ...rest, subject }));
    },
    async last(withinMs, nowMs, subjects) {
      return core.last(withinMs, nowMs, subjects);
    },
    async subjects() {
      return core.subjects();
    },
    async maintain(nowMs) {
      work(nowMs);
      core.maintain(nowMs);
    },
    async status() {
      return core.status();
    },
    async close() {
      core.close();
    },
  };
}
