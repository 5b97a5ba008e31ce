/** `headroom backtest`: replays recorded usage through the core that runs live, beside baselines. Needs no aggregator. */
import { createInterface } from 'node:readline';
import type { BacktestResource } from '../../core/backtest/trace.ts';
import { chooseSource, PLACES } from '../backtest/choose-source.ts';
import type { CliIo, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { ownArguments, usageOf } from '../own-arguments.ts';

const HELP = `headroom backtest [OPTIONS]: what Headroom would have granted, and what that would have saved and cost

  --traces DIR          one CSV (or .csv.gz) a VM: timestamp (s), cpu_cores_used, cpu_cores_alloc, mem_mib_used,
                        mem_mib_alloc, cpu_cores_used_max; an empty field or a missing row is unknown
  --from-store PLACE    the same out of a series store: the aggregator's configuration file, or its data directory
                        (while it is stopped, or a copy); demand in bins of five minutes
  --from-prometheus URL what a libvirt exporter, prometheus-pve-exporter or node_exporter left in Prometheus
  --from-influxdb URL   what Telegraf or Proxmox wrote to InfluxDB
  --from-proxmox PLACE  Proxmox' own records: its address, or a directory of VM.json with what rrddata answers
  --from-csv FILE       one CSV with many VMs: a row a VM and time
  --days N              how far back Prometheus and InfluxDB are asked (default 30)
  --match MATCHERS      Prometheus: only these, such as 'job="libvirt"'
  --database NAME       InfluxDB: default telegraf
  --layout NAME         whose names are read, where several are there: libvirt, pve, node; InfluxDB: libvirt, pve, proxmox, guest
  --columns LIST        CSV: MEANING=HEADING,… where headings are not known: vm, time, cpu, cpu-percent, cpu-max, cpus,
                        memory, memory-percent, memory-size (cores and MiB)
  --resource RESOURCE   cpu (default), memory or cpumax (the maximum within each sample)
  --violation-budget F  share of samples in which demand may exceed the allocation (default 0.01)
  --out DIR             writes DIR/VM.csv: timestamp,allocation
  --html FILE           a report with charts, one file
  --json                one object on the last line instead of tables
  --stdio               one sample in, one decision out, as JSON lines; see the guide

The first seven days are for learning and are not scored. The first table names the VMs on which Headroom should not be
enabled, and why. Servers that ask who reads: user:password@ in the address, or the whole Authorization header in the
variable HEADROOM_HISTORY_AUTHORIZATION.
`;

const OPTIONS = {
  ...(Object.fromEntries(PLACES.map((place) => [place, { type: 'string' }])) as Record<(typeof PLACES)[number], { type: 'string' }>),
  days: { type: 'string', default: '30' },
  match: { type: 'string', default: '' },
  database: { type: 'string', default: 'telegraf' },
  layout: { type: 'string' },
  columns: { type: 'string', default: '' },
  resource: { type: 'string', default: 'cpu' },
  'violation-budget': { type: 'string', default: '0.01' },
  out: { type: 'string' },
  html: { type: 'string' },
  json: { type: 'boolean', default: false },
  stdio: { type: 'boolean', default: false },
} as const;
const usage = usageOf('backtest');

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

export const backtest: OwnCommand = {
  kind: 'own',
  name: 'backtest',
  summary: 'recorded usage replayed: what would have been granted, saved and missed',
  async run(argv, io) {
    const values = ownArguments('backtest', argv, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const violationBudget = budgetOf(values['violation-budget']);
    if (values.stdio) return stream(violationBudget, io);
    const { BACKTEST_RESOURCES } = await import('../../core/backtest/trace.ts');
    const resource = BACKTEST_RESOURCES.find((one) => one === values.resource);
    if (resource === undefined) throw usage(`--resource ${values.resource}: there are ${BACKTEST_RESOURCES.join(', ')}`);
    const { out, html, json } = values;
    const source = await chooseSource(values, io);
    const { runBacktest } = await import('../backtest/run-backtest.ts');
    return runBacktest({ source, out, html, json, resource: resource satisfies BacktestResource, violationBudget }, io);
  },
};
