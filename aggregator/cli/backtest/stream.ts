/**
 * `backtest --stdio`: one sample in, one decision out, a line each, so that whoever drives it can be sure that nothing looks
 * ahead. In: {"type":"vm","id","step":seconds,"alloc":{"cpu","mem"}} starts a VM afresh, {"t":seconds,"cpu","mem","disk_r","disk_w","net_rx","net_tx"} is a
 * sample (absent fields are unknown), {"type":"end"} ends the VM. Out, after each sample: {"cpu":cores,"mem":MiB,"f":{…}}, the allocation
 * in force from t + step on, and forecasts 15 and 60 minutes ahead.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../../../shared/errors.ts';
import type { Resource } from '../../../shared/resources.ts';
import { BacktestAllocator } from '../../core/backtest/allocator.ts';
import { bothWays, othersHeard } from '../../core/forecast/heard.ts';

const NotNegative = Type.Number({ minimum: 0 });
const VmLine = Type.Object({
  type: Type.Literal('vm'),
  id: Type.String({ minLength: 1 }),
  step: Type.Number({ exclusiveMinimum: 0 }),
  alloc: Type.Object({
    cpu: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    mem: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  }),
});
const EndLine = Type.Object({ type: Type.Literal('end') });
const SampleLine = Type.Object({ t: Type.Number(), cpu: Type.Optional(NotNegative), mem: Type.Optional(NotNegative) });
const isVm = Compile(VmLine);
const isEnd = Compile(EndLine);
const isSample = Compile(SampleLine);

type Key = 'cpu' | 'mem';
const RESOURCE = { cpu: 'cpu', mem: 'memory' } as const satisfies Record<Key, Resource>;
/** What tells of each resource when another is decided: one field, or both directions. */
const HEARD_FIELDS: Readonly<Record<Resource, readonly string[]>> = {
  cpu: ['cpu'],
  memory: ['mem'],
  network: ['net_rx', 'net_tx'],
  disk: ['disk_r', 'disk_w'],
};
const FORECAST_MINUTES = [15, 60] as const;
const FORECAST_QUANTILES = [0.5, 0.9, 0.95] as const;
/** Figures are told to seven digits: a millionth of a core, and a tenth of what four-byte floats hold. */
const DIGITS = 7;

/** One VM at a time: all that was learnt goes with it. */
export class BacktestStream {
  readonly #violationBudget: number;
  #allocators = new Map<Key, BacktestAllocator>();
  #stepSeconds = 0;
  #started = false;
  #lines = 0;

  constructor(violationBudget: number) {
    this.#violationBudget = violationBudget;
  }

  /** The answer to a line, null where none is due. USAGE, with the number of the line, for one that is not of the protocol. */
  line(text: string): string | null {
    this.#lines++;
    if (text.trim() === '') return null;
    const message = this.#parsed(text);
    if (isVm.Check(message)) return this.#start(message);
    if (isEnd.Check(message)) {
      this.#started = false;
      this.#allocators.clear();
      return null;
    }
    if (!isSample.Check(message)) throw this.#wrong('it is neither a vm, a sample nor an end');
    if (!this.#started) throw this.#wrong('a sample came before its vm line');
    return this.#decide(message);
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.#wrong('it is not JSON', error);
    }
  }

  #wrong(what: string, cause?: unknown): HeadroomError {
    return new HeadroomError('USAGE', `backtest: line ${this.#lines} of the input cannot be used: ${what}`, { cause });
  }

  #start({ step, alloc }: Static<typeof VmLine>): null {
    this.#stepSeconds = step;
    this.#started = true;
    this.#allocators = new Map();
    for (const key of ['cpu', 'mem'] as const) {
      const granted = alloc[key];
      if (granted === undefined) continue;
      const options = { resource: RESOURCE[key], stepMs: step * 1000, violationBudget: this.#violationBudget, granted };
      this.#allocators.set(key, new BacktestAllocator(options));
    }
    return null;
  }

  #decide(sample: Static<typeof SampleLine>): string {
    const answer: Partial<Record<Key, number>> & { f?: Partial<Record<Key, Record<string, number>>> } = {};
    for (const [key, allocator] of this.#allocators) {
      const others = othersHeard(RESOURCE[key], (other) => HEARD_FIELDS[other].map((name) => knownOf(sample, name)).reduce(bothWays));
      answer[key] = rounded(allocator.next(sample.t * 1000, sample[key] ?? Number.NaN, others));
      const ahead = this.#ahead(allocator);
      if (ahead !== null) {
        answer.f ??= {};
        answer.f[key] = ahead;
      }
    }
    return JSON.stringify(answer);
  }

  #ahead(allocator: BacktestAllocator): Record<string, number> | null {
    const horizons = FORECAST_MINUTES.map((minutes) => Math.max(1, Math.round((minutes * 60) / this.#stepSeconds)));
    const forecast = allocator.forecast(horizons, FORECAST_QUANTILES);
    if (forecast === null) return null;
    const named: Record<string, number> = {};
    FORECAST_MINUTES.forEach((minutes, i) => {
      FORECAST_QUANTILES.forEach((q, j) => {
        named[`q${Math.round(q * 100)}_${minutes}`] = rounded(forecast.values[i * FORECAST_QUANTILES.length + j]!);
      });
    });
    return named;
  }
}

/** What only helps may be of any kind: it is unknown unless it is a number. */
function knownOf(sample: object, name: string): number {
  const value: unknown = (sample as Record<string, unknown>)[name];
  return typeof value === 'number' ? value : Number.NaN;
}

const rounded = (value: number): number => Number(value.toPrecision(DIGITS));
