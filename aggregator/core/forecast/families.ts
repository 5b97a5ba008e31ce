/**
 * Every model family by name, each alone: those of the registry, those that are fitted, the network, and all of them
 * together. Input: what fits and what was trained; output: factories. For comparing them.
 */
import { FittedForecaster, PATH_FAMILIES } from './fitted/fitted-forecaster.ts';
import type { ForecasterFactory, ForecasterOptions } from './forecaster.ts';
import { factoryOf, type KeptForecaster } from './kept-state.ts';
import { LstmForecaster } from './lstm/lstm-forecaster.ts';
import { ENSEMBLE, ensembleOf, type FamilyParts, FORECASTERS, forecasterFactory } from './registry.ts';

/** Names of all families there are with these parts. */
export function familyNames({ network }: FamilyParts): string[] {
  return [...FORECASTERS, ...PATH_FAMILIES.map(({ name }) => name), ...(network ? ['lstm'] : [])];
}

/** NOT_FOUND for an unknown name. */
export function familyFactory(name: string, parts: FamilyParts): ForecasterFactory {
  const build = builderOf(name, parts);
  return build === null ? forecasterFactory(name) : factoryOf(build);
}

type Build = (options: ForecasterOptions) => KeptForecaster;

function builderOf(name: string, parts: FamilyParts): Build | null {
  const path = PATH_FAMILIES.find((family) => family.name === name);
  const { fitter, network } = parts;
  if (path) return (options) => new FittedForecaster(options, path, fitter);
  if (name === 'lstm' && network) return (options) => new LstmForecaster(options, network);
  if (name === ENSEMBLE) return (options) => ensembleOf(options, parts);
  return null;
}
