/**
 * `bench families`: every model family alone, the online aggregate, and the ensemble of all, on real VMs' CPU. Input: the
 * traces of HEADROOM_TRACES or those that come with the repository; output: pinball loss and MASE of each, on how many VMs
 * aggregate and ensemble are within 1 % of the best single family in hindsight, and what a fit costs. The network is trained
 * in a worker thread on the first week of all traces; that week is not scored.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readTrace, TRACE_FILE } from '../../aggregator/cli/backtest/trace-file.ts';
import { type FamilyScore, scoreFamily } from '../../aggregator/core/backtest/family-score.ts';
import { SCORED_MINUTES, SCORED_QUANTILES } from '../../aggregator/core/backtest/forecast-score.ts';
import { DAY_MS, WARM_UP_MS } from '../../aggregator/core/backtest/score.ts';
import type { Trace } from '../../aggregator/core/backtest/trace.ts';
import { familyFactory, familyNames } from '../../aggregator/core/forecast/families.ts';
import type { Fitter } from '../../aggregator/core/forecast/fitted/fit.ts';
import { lstmSeries } from '../../aggregator/core/forecast/lstm/lstm-inputs.ts';
import { AGGREGATE, ENSEMBLE, type FamilyParts } from '../../aggregator/core/forecast/registry.ts';
import { FitPool } from '../../aggregator/fit/fit-pool.ts';
import { fitInPlace } from '../../aggregator/fit/fitters.ts';
import { systemClock } from '../../shared/clock.ts';
import { tracesDirectory } from '../support/traces.ts';
import { type Benchmark, measured, rounded } from './benchmark.ts';

const TRAIN_BATCHES = 1500;
const SEED = 1;
const WITHIN = 1.01;
const HISTOGRAM = 'decaying-histogram';
/** What is compared against single families: both are mixtures of experts. */
const MIXTURES = [AGGREGATE, ENSEMBLE] as const;

interface VmRow {
  vm: string;
  scores: Map<string, FamilyScore>;
}

/** Fits once what a family alone and the ensemble both ask for, and counts what it took. */
class CountingFitter {
  readonly cost = new Map<string, { fits: number; cpuSeconds: number }>();
  readonly #known = new Map<string, Float64Array | null>();

  forget(): void {
    this.#known.clear();
  }

  readonly fit: Fitter = (request) => {
    const key = `${request.family} ${request.fromStep} ${request.values.length} ${request.seasons}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const before = process.cpuUsage();
    const fit = fitInPlace(request);
    const { user, system } = process.cpuUsage(before);
    const cost = this.cost.get(request.family) ?? { fits: 0, cpuSeconds: 0 };
    this.cost.set(request.family, { fits: cost.fits + 1, cpuSeconds: cost.cpuSeconds + (user + system) / 1e6 });
    this.#known.set(key, fit);
    return fit;
  };
}

async function traces(): Promise<Trace[]> {
  const directory = tracesDirectory();
  const found: Trace[] = [];
  for (const file of readdirSync(directory).sort()) {
    const trace = TRACE_FILE.test(file) ? await readTrace(join(directory, file), 'cpu') : null;
    if (trace !== null) found.push(trace);
  }
  return found;
}

/** The first week of a trace, step by step. */
function firstWeek({ timesMs, used, granted, stepMs }: Trace): number[] {
  const values = new Array<number>(Math.round(WARM_UP_MS / stepMs)).fill(Number.NaN);
  for (let i = 0; i < used.length && timesMs[i]! - timesMs[0]! < WARM_UP_MS; i++) {
    values[Math.round((timesMs[i]! - timesMs[0]!) / stepMs)] = Math.min(used[i]!, granted);
  }
  return values;
}

async function trainedNetwork(all: readonly Trace[]): Promise<{ weights: Float32Array | null; cpuSeconds: number }> {
  const pool = new FitPool({ clock: systemClock, threads: 1, cpuShare: 1 });
  const series = all.map((trace) =>
    lstmSeries(
      firstWeek(trace),
      [DAY_MS, 7 * DAY_MS].map((ms) => Math.round(ms / trace.stepMs)),
      0.01 * trace.granted,
    ),
  );
  try {
    return await pool.train(series, SEED, TRAIN_BATCHES);
  } finally {
    await pool.close();
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function familyRow(name: string, rows: readonly VmRow[]) {
  const scores = rows.map((row) => row.scores.get(name)!);
  const pinball: Record<string, number> = {};
  const mase: Record<string, number> = {};
  SCORED_MINUTES.forEach((minutes, h) => {
    mase[`${minutes} min`] = rounded(mean(scores.map((score) => score.mase[h]!)));
    SCORED_QUANTILES.forEach((q, j) => {
      pinball[`${minutes} min, ${q}`] = rounded(mean(scores.map((score) => score.scores[h * SCORED_QUANTILES.length + j]!.pinballLoss)));
    });
  });
  return { name, pinballLoss: rounded(mean(scores.map((score) => score.pinballLoss))), pinball, mase };
}

/** A mixture against the best single family of each VM, known only afterwards. */
function againstBest(name: string, singles: readonly string[], rows: readonly VmRow[]) {
  const ratios = rows.map(({ vm, scores }) => {
    const ranked = singles.map((single) => [single, scores.get(single)!.pinballLoss] as const).sort((a, b) => a[1] - b[1]);
    const [best, loss] = ranked[0]!;
    const own = scores.get(name)!.pinballLoss;
    return { vm, best, ratio: rounded(own / loss), againstHistogram: rounded(own / scores.get(HISTOGRAM)!.pinballLoss) };
  });
  const meanOf = (one: string): number => mean(rows.map(({ scores }) => scores.get(one)!.pinballLoss));
  return {
    withinOnePercentOfBest: rounded(ratios.filter(({ ratio }) => ratio <= WITHIN).length / ratios.length),
    betterThanEveryFamilyInTheMean: singles.every((single) => meanOf(name) < meanOf(single)),
    worstAgainstHistogram: Math.max(...ratios.map(({ againstHistogram }) => againstHistogram)),
    vms: ratios,
  };
}

function table(families: readonly ReturnType<typeof familyRow>[]): string {
  const heads = [...Object.keys(families[0]!.pinball), ...SCORED_MINUTES.map((minutes) => `MASE ${minutes} min`), 'mean pinball'];
  const cells = families.map(({ name, pinball, mase, pinballLoss }) => [
    name,
    ...Object.values(pinball),
    ...Object.values(mase),
    pinballLoss,
  ]);
  const rows = [['family', ...heads], ...cells].map((row) => row.map(String));
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '))
    .join('\n');
}

export const families: Benchmark = {
  about: 'every model family alone and together on real VMs: pinball loss, MASE, distance to the best in hindsight, cost of fits',
  async run(tell) {
    const all = await traces();
    tell(`${all.length} VMs; training the network on their first week`);
    const { weights, cpuSeconds: trainingCpuSeconds } = await trainedNetwork(all);
    const fitter = new CountingFitter();
    const parts: FamilyParts = { fitter: fitter.fit, network: weights };
    const names = familyNames(parts);
    const cpuSeconds = new Map<string, number>();
    const rows: VmRow[] = [];
    for (const trace of all) {
      const scores = new Map<string, FamilyScore>();
      for (const name of names) {
        const { result, cpuSeconds: took } = await measured(() => scoreFamily(trace, familyFactory(name, parts)));
        if (result === null) break;
        cpuSeconds.set(name, (cpuSeconds.get(name) ?? 0) + took);
        scores.set(name, result);
      }
      fitter.forget();
      if (scores.size === names.length) rows.push({ vm: trace.vm, scores });
      const [one, two] = MIXTURES.map((name) => scores.get(name)?.pinballLoss.toFixed(4));
      tell(`${trace.vm}: ${MIXTURES[0]} ${one}, ${MIXTURES[1]} ${two}`);
    }
    const singles = names.filter((name) => !MIXTURES.some((mixture) => mixture === name));
    const found = names.map((name) => familyRow(name, rows)).sort((a, b) => a.pinballLoss - b.pinballLoss);
    tell(`pinball loss as a share of mean demand; MASE against the last value, one step ahead\n${table(found)}`);
    return {
      vms: rows.length,
      families: found,
      ...Object.fromEntries(MIXTURES.map((name) => [name, againstBest(name, singles, rows)])),
      cpuSecondsPerFit: Object.fromEntries([...fitter.cost].map(([name, { fits, cpuSeconds: took }]) => [name, rounded(took / fits)])),
      fits: Object.fromEntries([...fitter.cost].map(([name, { fits }]) => [name, fits])),
      trainingCpuSeconds: rounded(trainingCpuSeconds),
    };
  },
};
