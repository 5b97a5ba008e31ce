/** The forecasters by name: what policies, backtest and simulation may ask for. */
import { HeadroomError } from '../../../shared/errors.ts';
import { DecayingHistogramForecaster } from './decaying-histogram.ts';
import { ExpertForecaster, type ExpertSet } from './expert-forecaster.ts';
import { EXPERTS } from './experts.ts';
import { FamilyEnsemble } from './family-ensemble.ts';
import type { Fitter } from './fitted/fit.ts';
import { FittedForecaster, PATH_FAMILIES } from './fitted/fitted-forecaster.ts';
import type { ForecasterFactory, ForecasterOptions } from './forecaster.ts';
import { factoryOf, type KeptForecaster } from './kept-state.ts';
import { LastValueForecaster } from './last-value.ts';
import { LstmForecaster } from './lstm/lstm-forecaster.ts';

export const AGGREGATE = 'aggregate';
/** The aggregate beside the heavy families, whose fits its owner sees to. */
export const ENSEMBLE = 'ensemble';

const SETS: readonly ExpertSet[] = [
  { name: AGGREGATE, experts: EXPERTS.map((expert) => expert.name), regression: true, search: true, correct: true },
  { name: 'seasonal-naive', experts: ['season'], regression: false, search: false, correct: false },
  { name: 'recent-peak', experts: ['recent-peak'], regression: false, search: false, correct: false },
  { name: 'quantile-regression', experts: [], regression: true, search: true, correct: false },
];

const BUILDERS: ReadonlyMap<string, (options: ForecasterOptions) => KeptForecaster> = new Map<
  string,
  (options: ForecasterOptions) => KeptForecaster
>([
  ['last-value', (options) => new LastValueForecaster(options)],
  ['decaying-histogram', (options) => new DecayingHistogramForecaster(options)],
  [ENSEMBLE, (options) => ensembleOf(options, { fitter: null, network: null })],
  ...SETS.map((set) => [set.name, (options: ForecasterOptions) => new ExpertForecaster(options, set)] as const),
]);

export const FORECASTERS: readonly string[] = [...BUILDERS.keys()];

export interface FamilyParts {
  /** Null: whoever owns the forecaster sees to its fits. */
  fitter: Fitter | null;
  /** Weights of the network; null while none was trained: then there is no such family. */
  network: Float32Array | null;
}

/** All families together. */
export function ensembleOf(options: ForecasterOptions, { fitter, network }: FamilyParts): FamilyEnsemble {
  const [aggregate, regression] = [AGGREGATE, 'quantile-regression'].map((name) => SETS.find((set) => set.name === name)!) as [
    ExpertSet,
    ExpertSet,
  ];
  const members = [
    { words: 'the online experts', forecaster: new ExpertForecaster(options, aggregate) },
    // Alone as well: uncorrected and unmixed it is the best family on some VMs.
    { words: 'the regression alone', forecaster: new ExpertForecaster(options, regression) },
    { words: 'a decaying histogram', forecaster: new DecayingHistogramForecaster(options) },
    ...(network ? [{ words: 'a network trained on many VMs', forecaster: new LstmForecaster(options, network) }] : []),
    // Fitted by the ensemble's owner: the ensemble decides which earn it.
    ...PATH_FAMILIES.map((family) => ({ words: family.words, forecaster: new FittedForecaster(options, family) })),
  ];
  return new FamilyEnsemble(options, members, fitter);
}

function builderOf(name: string): (options: ForecasterOptions) => KeptForecaster {
  const build = BUILDERS.get(name);
  if (!build) throw new HeadroomError('NOT_FOUND', `no forecaster is called "${name}"; there are ${FORECASTERS.join(', ')}`);
  return build;
}

/** NOT_FOUND, with the names there are, for an unknown one. */
export function forecasterFactory(name: string): ForecasterFactory {
  return factoryOf(builderOf(name));
}
