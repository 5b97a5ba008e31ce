/** Where a backtest's traces come from: one trace a name, read when its turn comes. A directory of files is one such place. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { BacktestResource, Trace } from '../../core/backtest/trace.ts';
import { readTrace, TRACE_FILE } from './trace-file.ts';

export interface TraceSource {
  /** For messages. */
  readonly place: string;
  /** NOT_FOUND when the place cannot be read. */
  names(): Promise<string[]>;
  /** Null: it has no such series. USAGE: it cannot be used, and is skipped. */
  read(name: string, resource: BacktestResource): Promise<Trace | null>;
  close(): Promise<void>;
}

export function directorySource(directory: string): TraceSource {
  return {
    place: directory,
    async names() {
      try {
        return (await readdir(directory)).filter((file) => TRACE_FILE.test(file)).sort();
      } catch (error) {
        throw new HeadroomError('NOT_FOUND', `backtest: ${directory} cannot be read: ${errorText(error)}`, { cause: error });
      }
    },
    read: (name, resource) => readTrace(join(directory, name), resource),
    close: () => Promise.resolve(),
  };
}
