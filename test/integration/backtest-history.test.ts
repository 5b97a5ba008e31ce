/**
 * Goal: `headroom backtest` on what Telegraf left in a real InfluxDB and a libvirt exporter in a real server of Prometheus' API
 * (VictoriaMetrics): traces are what was used, whoever recorded it; the first table names the VMs it would not serve.
 */
import t, { type Test } from 'tap';
import { influxSource } from '../../aggregator/cli/backtest/sources/influx-source.ts';
import { prometheusSource } from '../../aggregator/cli/backtest/sources/prometheus-source.ts';
import type { CliIo } from '../../aggregator/cli/command.ts';
import type { Trace } from '../../aggregator/core/backtest/trace.ts';
import { systemClock } from '../../shared/clock.ts';
import { headroom } from '../support/cli.ts';
import { keptSettings } from '../support/cli-world.ts';
import { influxQuery, startInfluxDb } from '../support/influxdb.ts';
import { startVictoriaMetrics } from '../support/victoria-metrics.ts';

// Two real servers and three reports: seconds, but on a machine that does much else at once more than tap's half minute.
t.setTimeout(120_000);

const MINUTE_MS = 60_000;
const BIN_MS = 300_000;
const DAYS = 15;
const FEW_DAYS = 3;
const MINUTES = DAYS * 24 * 60;
const END_MS = Math.floor(Date.now() / BIN_MS) * BIN_MS;
const START_MS = END_MS - MINUTES * MINUTE_MS;
const MIB = 1024 * 1024;

interface Made {
  name: string;
  vcpus: number;
  memoryMiB: number;
  /** Cores and MiB in a minute. */
  cores: (minute: number) => number;
  usedMiB: (minute: number) => number;
}

/** Bytes a second that a VM receives, sends, reads and writes in a minute. */
const traffic = (minute: number) => [1000 + (minute % 5 === 0 ? 500 : 0), 2000, 0, 4000 * (1 + (minute % 10 < 5 ? 1 : 0))] as const;
/** The same as counters since the first minute: traffic repeats every ten. */
function trafficUntil(minute: number): number[] {
  const tens = Math.floor(minute / 10);
  const since = Array.from({ length: minute % 10 }, (_, i) => traffic(10 * tens + 1 + i));
  return [1100, 2000, 0, 6000].map((mean, i) => 60 * (10 * mean * tens + since.reduce((sum, rates) => sum + rates[i]!, 0)));
}

const wave = (minute: number): number => 0.5 + 0.5 * Math.sin((2 * Math.PI * minute) / 1440);
const VMS: readonly Made[] = [
  { name: 'web', vcpus: 4, memoryMiB: 4096, cores: (m) => 0.4 + 1.2 * wave(m) + (m % 7) * 0.05, usedMiB: (m) => 800 + 1000 * wave(m) },
  { name: 'appliance', vcpus: 2, memoryMiB: 1024, cores: () => 0.1, usedMiB: () => 300 },
  {
    name: 'full',
    vcpus: 1,
    memoryMiB: 1024,
    cores: (m) => (m % 1440 < 300 ? 1 : 0.2 + (m % 11) * 0.02),
    usedMiB: (m) => 500 + 10 * (m % 13),
  },
];

/** CPU seconds spent until a minute. */
function countersOf({ cores }: Made): Float64Array {
  const seconds = new Float64Array(MINUTES);
  for (let m = 1; m < MINUTES; m++) seconds[m] = seconds[m - 1]! + 60 * cores(m);
  return seconds;
}

const io: CliIo = {
  out: () => undefined,
  err: () => undefined,
  env: {},
  read: async () => '',
  fetch,
  clock: systemClock,
  stop: new AbortController().signal,
  catchInterrupts: () => undefined,
  terminal: false,
  rows: () => 24,
  settings: keptSettings(),
};

/** Every bin of the trace against the minutes it was made of. */
function compare(t: Test, trace: Trace | null, vm: Made, resource: 'cpu' | 'memory', days = DAYS): void {
  if (trace === null) throw new Error(`${vm.name}: no trace of ${resource}`);
  t.ok(trace.timesMs.length > 0.98 * 288 * days, `${vm.name}: ${trace.timesMs.length} bins in ${days} days`);
  t.equal(trace.granted, resource === 'cpu' ? vm.vcpus : vm.memoryMiB, `${vm.name}: size`);
  let worst = 0;
  for (let i = 1; i < trace.timesMs.length; i++) {
    const first = Math.round((trace.timesMs[i]! - START_MS) / MINUTE_MS);
    const minutes = [0, 1, 2, 3, 4].map((n) => first + n);
    const mean = minutes.reduce((sum, m) => sum + vm.cores(m), 0) / 5;
    const truth = resource === 'cpu' ? mean : Math.max(...minutes.map((m) => vm.usedMiB(m)));
    worst = Math.max(worst, Math.abs(trace.used[i]! - truth) / (resource === 'cpu' ? vm.vcpus : vm.memoryMiB));
  }
  // Where a bin begins is a matter of a scrape: that moves a mean by a fifth of a minute's difference.
  t.ok(worst < 0.17, `${vm.name} ${resource}: off by ${worst.toFixed(4)} of its size at most`);
  const sum = trace.used.reduce((a, b) => a + b, 0) / trace.used.length;
  const asked = Array.from({ length: days * 1440 }, (_, m) => (resource === 'cpu' ? vm.cores(m) : vm.usedMiB(m)));
  const all = asked.reduce((a, b) => a + b, 0) / asked.length;
  t.ok(Math.abs(sum - all) < (resource === 'cpu' ? 0.02 : 0.07) * all, `${vm.name} ${resource}: ${sum} in the mean of ${all}`);
}

/** What is heard beside CPU: the other figure, and traffic in its last days, whose bins are two kinds on disk and one on the network. */
function compareHeard(t: Test, trace: Trace | null, who: string): void {
  const [memory, network, disk] = trace!.others!.map((series) => series.filter((value) => !Number.isNaN(value)).slice(2));
  const meanOf = (values: Float64Array): number => values.reduce((a, b) => a + b, 0) / values.length;
  t.equal(memory!.length, trace!.used.length - 2, `${who}: memory in every bin`);
  t.ok(network!.length > 280 * FEW_DAYS, `${who}: ${network!.length} bins of traffic`);
  t.ok(Math.abs(meanOf(network!) - 3100) < 60, `${who}: network ${meanOf(network!)}`);
  t.ok(Math.abs(meanOf(disk!) - 6000) < 120, `${who}: disk ${meanOf(disk!)}`);
  const far = disk!.filter((value, i) => i > 0 && Math.abs(value - disk![i - 1]!) > 2000).length;
  t.ok(far > 0.95 * (disk!.length - 1), `${who}: ${far} of ${disk!.length} bins on disk differ from the one before`);
  t.ok(
    network!.every((value) => Math.abs(value - 3100) < 300),
    `${who}: ${Math.max(...network!)} at most on the network`,
  );
}

t.test('Telegraf and Proxmox in InfluxDB', async (t) => {
  const influx = await startInfluxDb();
  t.teardown(() => influx.stop());
  await influxQuery(influx.url, '', 'CREATE DATABASE telegraf; CREATE DATABASE pve; CREATE DATABASE guests');
  const write = async (database: string, lines: string[]): Promise<void> => {
    const answer = await fetch(`${influx.url}/write?db=${database}&precision=ms`, { method: 'POST', body: lines.join('\n') });
    if (!answer.ok) throw new Error(await answer.text());
  };
  for (const vm of VMS) {
    const counters = countersOf(vm);
    const [host, pve, guest]: string[][] = [[], [], []];
    for (let m = 0; m < MINUTES; m++) {
      const at = START_MS + m * MINUTE_MS;
      const [cores, used] = [vm.cores(m), vm.usedMiB(m)];
      const tags = `domain_name=${vm.name},host=kvm1`;
      const nanoseconds = Math.round(counters[m]! * 1e9);
      const system = Math.round(nanoseconds / 5);
      host!.push(`libvirt_cpu,${tags} time=${nanoseconds}i,user=${nanoseconds - system}i,system=${system}i ${at}`);
      const kib = [vm.memoryMiB * 1024, Math.round((vm.memoryMiB - used) * 1024)];
      host!.push(`libvirt_balloon,${tags} current=${kib[0]}i,maximum=${kib[0]}i,usable=${kib[1]}i ${at}`);
      // Sizes come less often than use.
      if (m % 5 === 0) host!.push(`libvirt_vcpu_total,${tags} current=${vm.vcpus}i,maximum=${vm.vcpus}i ${at}`);
      const [bytes, size] = [used * MIB, vm.memoryMiB * MIB].map(Math.round);
      // Traffic, and the layouts of guests and of Proxmox, are tried on the last days of one VM.
      if (vm !== VMS[0] || m < MINUTES - FEW_DAYS * 1440) continue;
      const [received, sent, read, written] = trafficUntil(m) as [number, number, number, number];
      // Two interfaces and two disks, of which the first of each has three quarters.
      for (const [i, share] of [0.75, 0.25].entries()) {
        host!.push(`libvirt_net,${tags},interface_id=${i} rx_bytes=${received * share}i,tx_bytes=${sent * share}i ${at}`);
        host!.push(`libvirt_block,${tags},block_id=${i} rd_bytes=${read * share}i,wr_bytes=${written * share}i ${at}`);
        guest!.push(`net,host=${vm.name},interface=eth${i} bytes_recv=${received * share}i,bytes_sent=${sent * share}i ${at}`);
        guest!.push(`diskio,host=${vm.name},name=vd${'ab'[i]} read_bytes=${read * share}i,write_bytes=${written * share}i ${at}`);
      }
      guest!.push(`net,host=${vm.name},interface=lo bytes_recv=${1e9 + m * 1e6}i,bytes_sent=${1e9 + m * 1e6}i ${at}`);
      const flows = `netin=${received},netout=${sent},diskread=${read},diskwrite=${written}`;
      pve!.push(
        `system,object=qemu,vmid=100,nodename=pve1,host=${vm.name} cpu=${cores / vm.vcpus},cpus=${vm.vcpus},mem=${bytes},maxmem=${size},${flows} ${at}`,
      );
      guest!.push(`cpu,cpu=cpu-total,host=${vm.name} usage_idle=${100 - (100 * cores) / vm.vcpus} ${at}`);
      guest!.push(
        `system,host=${vm.name} n_cpus=${vm.vcpus}i ${at}`,
        `mem,host=${vm.name} total=${size}i,available=${size! - bytes!}i ${at}`,
      );
    }
    // A node reports itself beside its guests.
    pve!.push(`system,object=nodes,host=pve1 cpu=0.5,cpus=64 ${END_MS - MINUTE_MS}`);
    for (const [database, lines] of [
      ['telegraf', host!],
      ['pve', pve!],
      ['guests', guest!],
    ] as const)
      await write(database, lines);
  }
  const source = influxSource({ url: influx.url, database: 'telegraf', days: DAYS, layout: null }, io);
  t.same(await source.names(), ['appliance', 'full', 'web']);
  for (const vm of VMS) for (const resource of ['cpu', 'memory'] as const) compare(t, await source.read(vm.name, resource), vm, resource);
  for (const [database, layout] of [
    ['pve', null],
    ['guests', 'guest'],
  ] as const) {
    const other = influxSource({ url: influx.url, database, days: DAYS, layout }, io);
    t.same(await other.names(), ['web'], database);
    for (const resource of ['cpu', 'memory'] as const) compare(t, await other.read('web', resource), VMS[0]!, resource, FEW_DAYS);
    compareHeard(t, await other.read('web', 'cpu'), database);
  }
  compareHeard(t, await source.read('web', 'cpu'), 'telegraf');
  const most = (await source.read('web', 'cpumax'))!.used.reduce((a, b) => Math.max(a, b), 0);
  t.ok(most > 1.85 && most <= 1.91, `the largest minute of the web server: ${most}`);
  const report = await headroom(`backtest --from-influxdb ${influx.url} --days 15 --violation-budget 0.01`);
  t.equal(report.code, 0, report.err);
  const [, table = ''] = report.out.split('\n\n');
  t.match(table, /^DO NOT ENABLE ON +BECAUSE\n/);
  t.match(table, /appliance +its use hardly moves \(5 % of its size at most\)/);
  t.match(table, /full +at its limit in 21 % of samples/);
  t.notMatch(table, /^web/m);
  t.match(await headroom(`backtest --from-influxdb ${influx.url} --database nothing`), {
    code: 69,
    err: /database not found: nothing/,
  });
});

t.test('a libvirt exporter behind the API of Prometheus', async (t) => {
  const victoria = await startVictoriaMetrics();
  t.teardown(() => victoria.stop());
  for (const vm of VMS) {
    const counters = countersOf(vm);
    const rows: Record<string, (m: number) => number> = {
      libvirt_domain_info_cpu_time_seconds_total: (m) => counters[m]!,
      libvirt_domain_info_virtual_cpus: () => vm.vcpus,
      libvirt_domain_info_maximum_memory_bytes: () => vm.memoryMiB * MIB,
      libvirt_domain_info_memory_usage_bytes: () => vm.memoryMiB * MIB,
      libvirt_domain_memory_stats_usable_bytes: (m) => (vm.memoryMiB - vm.usedMiB(m)) * MIB,
      libvirt_domain_interface_stats_receive_bytes_total: (m) => trafficUntil(m)[0]!,
      libvirt_domain_interface_stats_transmit_bytes_total: (m) => trafficUntil(m)[1]!,
      libvirt_domain_block_stats_read_bytes_total: (m) => trafficUntil(m)[2]!,
      libvirt_domain_block_stats_write_bytes_total: (m) => trafficUntil(m)[3]!,
    };
    const lines = Object.entries(rows).map(([metric, valueAt]) =>
      JSON.stringify({
        metric: { __name__: metric, domain: vm.name, instance: 'kvm1:9177', job: 'libvirt' },
        values: Array.from({ length: MINUTES }, (_, m) => valueAt(m)),
        timestamps: Array.from({ length: MINUTES }, (_, m) => START_MS + m * MINUTE_MS),
      }),
    );
    const answer = await fetch(`${victoria.url}/api/v1/import`, { method: 'POST', body: lines.join('\n') });
    if (!answer.ok) throw new Error(await answer.text());
  }
  await victoria.flush();
  const source = prometheusSource({ url: victoria.url, days: DAYS, match: 'job="libvirt"', layout: null }, io);
  t.same(await source.names(), ['appliance', 'full', 'web']);
  for (const vm of VMS) for (const resource of ['cpu', 'memory'] as const) compare(t, await source.read(vm.name, resource), vm, resource);
  compareHeard(t, await source.read('web', 'cpu'), 'prometheus');
  const report = await headroom(`backtest --from-prometheus ${victoria.url} --days 15 --resource memory --json`);
  t.equal(report.code, 0, report.err);
  const { vms, doNotEnable } = JSON.parse(report.out.trimEnd().split('\n').at(-1)!);
  t.equal(vms, 3);
  t.same(
    doNotEnable.map(({ vm }: { vm: string }) => vm),
    ['appliance'],
  );
  t.match(await headroom(`backtest --from-prometheus ${victoria.url} --layout node`), { code: 3 });
});
