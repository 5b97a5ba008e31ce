/**
 * Everything applications of a guest may hand metrics over by, put together: the metrics file, StatsD, Prometheus endpoints,
 * under one limit of names. Input: addresses and the inputs to open them with; output: collectors, and a way to close.
 */
import { createAppMetrics } from './collectors/app-metrics.ts';
import type { Collector } from './collectors/collector.ts';
import type { KernelFiles } from './collectors/files.ts';
import { createScrape } from './collectors/scrape.ts';
import { createStatsd } from './collectors/statsd.ts';
import { AppNames } from './core/app-names.ts';
import { StatsdGatherer } from './core/statsd.ts';
import type { Listener } from './loops/app-inputs.ts';

export interface AppInputs {
  listenStatsd: (where: string, take: (text: string) => void) => Promise<Listener>;
  fetchLocalText: (url: string) => Promise<string>;
  /** Throws CONFIG_INVALID. */
  checkScrapeUrl: (url: string) => void;
}

export interface AppSourceOptions {
  files: KernelFiles;
  /** Null where neither StatsD nor an endpoint is asked for. */
  inputs: AppInputs | null;
  /** Relative to the files' root; null = none. */
  workloadMetrics: string | null;
  statsd: readonly string[];
  scrape: readonly string[];
  monotonicMs: () => number;
  gapMsMax: number;
}

export interface AppSources {
  /** Run at every sample. */
  collectors: Collector[];
  slowCollectors: Collector[];
  close(): Promise<void>;
}

/** Rejects with CONFIG_INVALID, or the system's error where the StatsD socket cannot be opened. */
export async function openAppSources(options: AppSourceOptions): Promise<AppSources> {
  const { files, inputs, workloadMetrics, statsd, scrape, monotonicMs, gapMsMax } = options;
  const names = new AppNames();
  const slowCollectors: Collector[] = [];
  const listeners: Listener[] = [];
  if (inputs !== null) {
    for (const url of scrape) {
      inputs.checkScrapeUrl(url);
      slowCollectors.push(createScrape({ url, fetchText: inputs.fetchLocalText, names, monotonicMs, gapMsMax }));
    }
    const gatherer = new StatsdGatherer();
    for (const where of statsd) listeners.push(await inputs.listenStatsd(where, (text) => gatherer.take(text)));
    if (listeners.length > 0) slowCollectors.push(createStatsd(gatherer, names));
  }
  return {
    collectors: workloadMetrics === null ? [] : [createAppMetrics(files, workloadMetrics, names)],
    slowCollectors,
    close: async () => {
      for (const listener of listeners) await listener.close();
    },
  };
}
