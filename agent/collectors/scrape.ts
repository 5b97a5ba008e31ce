/**
 * Metrics that local applications offer as Prometheus text. Input: a function that fetches one endpoint; output: Readings
 * under `vm_app`: gauges as they are, counters as a rate a second. An endpoint is fetched in the background after each reading;
 * what it told is reported with the next.
 */
import { errorText } from '../../shared/errors.ts';
import type { AppNames } from '../core/app-names.ts';
import { parsePrometheus } from '../core/prometheus-text.ts';
import { createRate, type Rate } from '../core/rates.ts';
import { namedReading } from './app-reading.ts';
import { type Collector, noData } from './collector.ts';

export interface ScrapeOptions {
  url: string;
  fetchText: (url: string) => Promise<string>;
  names: AppNames;
  monotonicMs: () => number;
  gapMsMax: number;
}

/** Names of one endpoint, of which the agent's limit may take fewer. */
const METRICS_MAX = 64;

export function createScrape({ url, fetchText, names, monotonicMs, gapMsMax }: ScrapeOptions): Collector {
  const fields: string[] = [];
  const rates = new Map<string, Rate>();
  let values: Record<string, number> | null = null;
  let failure = '';
  let fetching = false;

  const take = (text: string): void => {
    const nowMs = monotonicMs();
    const fresh: Record<string, number> = {};
    const told = [...parsePrometheus(text)].slice(0, METRICS_MAX);
    // An application that makes up names all the time must not fill our memory with their counters.
    const present = new Set(told.map(([name]) => name));
    for (const name of rates.keys()) if (!present.has(name)) rates.delete(name);
    for (const [name, { value, counter }] of told) {
      let rate = rates.get(name);
      if (counter && !rate) {
        rate = createRate({ gapMsMax });
        rates.set(name, rate);
      }
      fresh[name] = counter ? rate!.next(value, nowMs) : value;
    }
    values = fresh;
    failure = '';
  };

  const fetchOne = async (): Promise<void> => {
    if (fetching) return;
    fetching = true;
    try {
      take(await fetchText(url));
    } catch (error) {
      failure = errorText(error);
    } finally {
      fetching = false;
    }
  };

  return {
    name: `scrape ${url}`,
    fields,
    required: [],
    update() {
      const told = values;
      values = null;
      void fetchOne();
      if (told === null && failure !== '') throw new Error(`${url}: ${failure}`);
      return told === null ? noData(`${url} has not answered yet`) : namedReading(told, names, fields);
    },
  };
}
