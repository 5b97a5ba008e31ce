/** `headroom backtest`: replays recorded usage through the core that runs live, beside baselines. Needs no aggregator. */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { BacktestResource } from '../../core/backtest/allocator.ts';
import type { TraceSource } from '../backtest/trace-source.ts';
import type { CliIo, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

const HELP = `headroom backtest [OPTIONS]: what Headroom would have granted, and what that would have saved and cost

  --traces DIR          one CSV (or .csv.gz) a VM: timestamp (s), cpu_cores_used, cpu_cores_alloc, mem_mib_used,
                        mem_mib_alloc, cpu_cores_used_max; an empty field or a missing row is unknown
  --from-store PLACE    the same out of a series store: the aggregator's configuration file, or its data directory
                        (while it is stopped, or a copy); demand in bins of five minutes
  --resource RESOURCE   cpu (default), memory or cpumax (the maximum within each sample)
  --violation-budget F  share of samples in which demand may exceed the allocation (default 0.01)
  --out DIR             writes DIR/VM.csv: timestamp,allocation
  --html FILE           a report with charts, one file
  --json                one object on the last line instead of tables
  --stdio               one sample in, one decision out, as JSON lines; see the guide

The first seven days are for learning and are not scored.
`;

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        traces: { type: 'string' },
        'from-store': { type: 'string' },
        resource: { type: 'string', default: 'cpu' },
        'violation-budget': { type: 'string', default: '0.01' },
        out: { type: 'string' },
        html: { type: 'string' },
        json: { type: 'boolean', default: false },
        stdio: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw usage(errorText(error).split('. ')[0]!);
  }
}

const usage = (what: string): HeadroomError =>
  new HeadroomError('USAGE', `backtest: ${what}; "headroom help backtest" tells how it is used`);

function budgetOf(text: string): number {
  const budget = Number(text);
  if (!(budget > 0 && budget < 1)) throw usage(`--violation-budget ${text}: a share between 0 and 1 is needed, such as 0.01`);
  return budget;
}

async function stream(violationBudget: number, io: CliIo): Promise<number> {
  const { BacktestStream } = await import('../backtest/stream.ts');
  const session = new BacktestStream(violationBudget);
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    const answer = session.line(line);
    if (answer !== null) io.out(`${answer}\n`);
  }
  return EXIT.ok;
}

async function sourceOf(traces: string | undefined, store: string | undefined, io: CliIo): Promise<TraceSource> {
  if (traces !== undefined && store !== undefined) throw usage('--traces and --from-store exclude each other');
  if (traces !== undefined) return (await import('../backtest/trace-source.ts')).directorySource(traces);
  if (store === undefined) throw usage('--traces DIR is missing, or --from-store PLACE');
  const { storeSource } = await import('../backtest/store-source.ts');
  return storeSource(store, io.clock, (message) => io.err(`headroom: ${message}\n`));
}

export const backtest: OwnCommand = {
  kind: 'own',
  name: 'backtest',
  summary: 'recorded usage replayed: what would have been granted, saved and missed',
  async run(argv, io) {
    const values = parsed(argv);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const violationBudget = budgetOf(values['violation-budget']);
    if (values.stdio) return stream(violationBudget, io);
    const { BACKTEST_RESOURCES } = await import('../../core/backtest/allocator.ts');
    const resource = BACKTEST_RESOURCES.find((one) => one === values.resource);
    if (resource === undefined) throw usage(`--resource ${values.resource}: there are ${BACKTEST_RESOURCES.join(', ')}`);
    const { out, html, json } = values;
    const source = await sourceOf(values.traces, values['from-store'], io);
    const { runBacktest } = await import('../backtest/run-backtest.ts');
    return runBacktest({ source, out, html, json, resource: resource satisfies BacktestResource, violationBudget }, io);
  },
};
