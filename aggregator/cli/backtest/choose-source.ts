/** Which place a backtest reads. Input: the options as typed; output: its source. USAGE when none or several are named. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { CliIo } from '../command.ts';
import type { TraceSource } from './trace-source.ts';

/** Each names a place. */
export const PLACES = ['traces', 'from-store', 'from-prometheus', 'from-influxdb', 'from-proxmox', 'from-csv'] as const;

export interface SourceOptions extends Partial<Record<(typeof PLACES)[number], string>> {
  days: string;
  database: string;
  columns: string;
  match: string;
  layout?: string;
}

/** Further back than this is another workload. */
const DAYS_MAX = 400;

export async function chooseSource(options: SourceOptions, io: CliIo): Promise<TraceSource> {
  const named = PLACES.filter((place) => options[place] !== undefined);
  if (named.length > 1) throw usage(`--${named[0]} and --${named[1]} exclude each other`);
  const [place] = named;
  if (place === undefined)
    throw usage(
      `--traces DIR is missing, or one of ${PLACES.slice(1)
        .map((one) => `--${one}`)
        .join(', ')}`,
    );
  const where = options[place]!;
  const { match, database, columns, layout = null } = options;
  switch (place) {
    case 'traces':
      return (await import('./trace-source.ts')).directorySource(where);
    case 'from-store':
      return (await import('./store-source.ts')).storeSource(where, io.clock, (message) => io.err(`headroom: ${message}\n`));
    case 'from-prometheus':
      return (await import('./sources/prometheus-source.ts')).prometheusSource({ url: where, days: daysOf(options), match, layout }, io);
    case 'from-influxdb':
      return (await import('./sources/influx-source.ts')).influxSource({ url: where, database, days: daysOf(options), layout }, io);
    case 'from-proxmox':
      return (await import('./sources/proxmox-source.ts')).proxmoxSource(where, io);
    case 'from-csv':
      return (await import('./sources/csv-source.ts')).csvSource(where, columns);
  }
}

function daysOf({ days }: SourceOptions): number {
  const count = Number(days);
  if (!(count >= 1 && count <= DAYS_MAX)) throw usage(`--days ${days}: a number from 1 to ${DAYS_MAX} is needed`);
  return count;
}

const usage = (what: string): HeadroomError =>
  new HeadroomError('USAGE', `backtest: ${what}; "headroom help backtest" tells how it is used`);
