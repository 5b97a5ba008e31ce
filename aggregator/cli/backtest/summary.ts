/** What a backtest found, for people and programs. Input: scores of each VM and row; output: the JSON object and the tables. */
import type { Against } from '../../core/backtest/advice.ts';
import { BASELINES, type Baseline } from '../../core/backtest/baselines.ts';
import type { ForecastScore } from '../../core/backtest/forecast-score.ts';
import { type FleetScore, scoreFleet, type VmScore } from '../../core/backtest/score.ts';
import type { BacktestResource } from '../../core/backtest/trace.ts';
import { printable, table } from '../output.ts';

export interface VmResult {
  vm: string;
  headroom: VmScore;
  baselines: Record<Baseline, VmScore>;
  forecasts: ForecastScore[] | null;
}

/** A VM on which Headroom should not be enabled. */
export interface Refusal {
  vm: string;
  against: readonly Against[];
}

export interface Failure {
  file: string;
  message: string;
}

export interface Summary extends FleetScore {
  resource: BacktestResource;
  violationBudget: number;
  baselines: Record<Baseline, FleetScore>;
  forecasts: ForecastScore[];
  doNotEnable: Refusal[];
  skipped: Failure[];
}

export function summaryOf(
  results: readonly VmResult[],
  { refusals, failures }: { refusals: readonly Refusal[]; failures: readonly Failure[] },
  resource: BacktestResource,
  violationBudget: number,
): Summary {
  const baselines = BASELINES.map((name) => [name, scoreFleet(results.map((result) => result.baselines[name]))] as const);
  return {
    ...scoreFleet(results.map(({ headroom }) => headroom)),
    resource,
    violationBudget,
    baselines: Object.fromEntries(baselines) as Record<Baseline, FleetScore>,
    forecasts: meanForecasts(results),
    doNotEnable: [...refusals],
    skipped: [...failures],
  };
}

function meanForecasts(results: readonly VmResult[]): ForecastScore[] {
  const rows = results.flatMap(({ forecasts }) => (forecasts === null ? [] : [forecasts]));
  const mean = (i: number, pick: (score: ForecastScore) => number): number =>
    rows.reduce((sum, row) => sum + pick(row[i]!), 0) / rows.length;
  return (rows[0] ?? []).map(({ minutesAhead, quantile }, i) => ({
    minutesAhead,
    quantile,
    pinballLoss: mean(i, (score) => score.pinballLoss),
    coverage: mean(i, (score) => score.coverage),
  }));
}

export const BASELINE_WORDS: Readonly<Record<Baseline, string>> = {
  granted: 'as granted',
  week1Peak: 'peak of the first week',
  reactive70: 'reactive, 70 % target',
  vpa: 'Kubernetes VPA, p90 + 15 %',
  vpaDefaultUpdater: 'Kubernetes VPA, its updater',
  autopilot: 'Autopilot-like, p98 + 15 %',
  persistenceQuantile: "last hour's peak + quantile",
  oracleNextHour: 'oracle of the next hour',
};

const percent = (share: number, digits = 1): string => (100 * share).toFixed(digits);

export function summaryText(summary: Summary, results: readonly VmResult[]): string {
  const { vms, resource, violationBudget } = summary;
  const head = `${vms} VMs, ${resource}, violation budget ${percent(violationBudget, 3)} %, first week not scored\n\n`;
  return `${head}${refusalTable(summary)}\n${fleetTable(summary)}\n${vmTable(results)}\n${forecastTable(summary.forecasts)}`;
}

/** Whom it will not serve comes first: with what remains the rest of the report is to be read. */
export function refusalTable({ doNotEnable, skipped }: Pick<Summary, 'doNotEnable' | 'skipped'>): string {
  const rows = [
    ...doNotEnable.map(({ vm, against }) => ({ vm, why: against.map(({ words }) => words).join('; ') })),
    ...skipped.map(({ file, message }) => ({ vm: file, why: `not read: ${message}` })),
  ];
  if (rows.length === 0) return 'Nothing speaks against enabling it on any of these VMs.\n';
  return table(
    rows,
    [
      { title: 'DO NOT ENABLE ON', text: ({ vm }) => vm },
      { title: 'BECAUSE', text: ({ why }) => why },
    ],
    true,
  );
}

function fleetTable(summary: Summary): string {
  const rows = [['Headroom', summary] as const, ...BASELINES.map((name) => [BASELINE_WORDS[name], summary.baselines[name]] as const)];
  return table(
    rows,
    [
      { title: 'ALLOCATION', text: ([words]) => words },
      { title: 'IDLE %', right: true, text: ([, score]) => percent(score.meanSlack) },
      { title: 'FLEET IDLE %', right: true, text: ([, score]) => percent(score.fleetSlack) },
      { title: 'VIOLATIONS %', right: true, text: ([, score]) => percent(score.violationRate, 3) },
      { title: 'WORST TENTH %', right: true, text: ([, score]) => percent(score.violationRateP90Vm, 3) },
      { title: 'VM-DAYS HIT %', right: true, text: ([, score]) => percent(score.vmDaysWithViolation) },
      { title: 'UNMET %', right: true, text: ([, score]) => percent(score.unmetShare, 3) },
      { title: 'RESIZES/DAY', right: true, text: ([, score]) => score.resizesPerVmDay.toFixed(1) },
    ],
    true,
  );
}

function vmTable(results: readonly VmResult[]): string {
  return table(
    results,
    [
      { title: 'VM', text: ({ vm }) => vm },
      { title: 'GRANTED NOW, IDLE %', right: true, text: ({ baselines }) => percent(baselines.granted.slack) },
      { title: 'WITH HEADROOM, IDLE %', right: true, text: ({ headroom }) => percent(headroom.slack) },
      { title: 'VIOLATIONS %', right: true, text: ({ headroom }) => percent(headroom.violationRate, 3) },
      { title: 'DAYS HIT %', right: true, text: ({ headroom }) => percent(headroom.daysWithViolation) },
      { title: 'UNMET %', right: true, text: ({ headroom }) => percent(headroom.unmetShare, 3) },
      { title: 'RESIZES/DAY', right: true, text: ({ headroom }) => headroom.resizesPerDay.toFixed(1) },
    ],
    true,
  );
}

function forecastTable(forecasts: readonly ForecastScore[]): string {
  return table(
    forecasts,
    [
      { title: 'FORECAST', text: ({ minutesAhead, quantile }) => `${minutesAhead} min ahead, ${quantile} quantile` },
      { title: 'COVERED %', right: true, text: ({ coverage }) => percent(coverage, 2) },
      { title: 'PINBALL LOSS, % OF DEMAND', right: true, text: ({ pinballLoss }) => percent(pinballLoss, 2) },
    ],
    true,
  );
}

export function failuresText(failures: readonly Failure[]): string {
  return failures.map(({ file, message }) => `headroom: ${printable(file)} was skipped: ${printable(message)}\n`).join('');
}
