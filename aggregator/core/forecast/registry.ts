/** The forecasters by name: what policies, backtest and simulation may ask for. */
import { HeadroomError } from '../../../shared/errors.ts';
import { DecayingHistogramForecaster } from './decaying-histogram.ts';
import { ExpertForecaster, type ExpertSet } from './expert-forecaster.ts';
import { EXPERTS } from './experts.ts';
import type { Forecaster, ForecasterFactory, ForecasterOptions } from './forecaster.ts';
import { LastValueForecaster } from './last-value.ts';

export const AGGREGATE = 'aggregate';

const SETS: readonly ExpertSet[] = [
  { name: AGGREGATE, experts: EXPERTS.map((expert) => expert.name), regression: true, search: true, correct: true },
  { name: 'seasonal-naive', experts: ['season'], regression: false, search: false, correct: false },
  { name: 'recent-peak', experts: ['recent-peak'], regression: false, search: false, correct: false },
  { name: 'quantile-regression', experts: [], regression: true, search: true, correct: false },
];

type Restorable = Forecaster & { restoreFrom(bytes: Uint8Array): void };

const BUILDERS: ReadonlyMap<string, (options: ForecasterOptions) => Restorable> = new Map<
  string,
  (options: ForecasterOptions) => Restorable
>([
  ['last-value', (options) => new LastValueForecaster(options)],
  ['decaying-histogram', (options) => new DecayingHistogramForecaster(options)],
  ...SETS.map((set) => [set.name, (options: ForecasterOptions) => new ExpertForecaster(options, set)] as const),
]);

export const FORECASTERS: readonly string[] = [...BUILDERS.keys()];

/** NOT_FOUND, with the names there are, for an unknown one. */
export function forecasterFactory(name: string): ForecasterFactory {
  const build = BUILDERS.get(name);
  if (!build) throw new HeadroomError('NOT_FOUND', `no forecaster is called "${name}"; there are ${FORECASTERS.join(', ')}`);
  return {
    create: build,
    restore(options, bytes) {
      const forecaster = build(options);
      forecaster.restoreFrom(bytes);
      return forecaster;
    },
  };
}
