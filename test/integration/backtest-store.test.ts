/**
 * Goal: `headroom backtest --from-store` on a store that an aggregator wrote says the very same as on a file with the same
 * samples; a VM without a size is told and skipped; places that hold no store are told, and nothing is made there.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { createPrng } from '../../shared/prng.ts';
import { BIN_MS, block, DAY_MS, HOUR_MS, START_MS, standingClock, VM_A, VM_B } from '../contract/series-store-contract.ts';
import { headroom } from '../support/cli.ts';

const DAYS = 9;
const BINS_PER_HOUR = HOUR_MS / BIN_MS;
const directory = mkdtempSync(join(tmpdir(), 'headroom-from-store-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const clock = standingClock(START_MS);
const run = (line: string) => headroom(line, { clock });

const OTHER_FIELDS = ['vm_memory.demandMiB', 'vm_network.demandBytesPerSecond', 'vm_disk.demandBytesPerSecond'];
const random = createPrng(1, 'from-store');
const demand = Array.from({ length: (DAYS * DAY_MS) / BIN_MS }, (_, i) =>
  Number((1 + 0.5 * Math.sin((2 * Math.PI * i * BIN_MS) / DAY_MS) + 0.3 * random.next()).toFixed(4)),
);

/** Memory that rises a step before CPU does, and traffic. */
const others = demand.map((value, i) => [900 + 400 * (demand[i + 1] ?? value), Math.round(1e5 * random.next()), Math.round(1e4 * value)]);

t.before(async () => {
  const store = await openSqliteSeriesStore({ directory: join(directory, 'series'), clock, groupMs: 2 });
  for (let bin = 0; bin < demand.length; bin += BINS_PER_HOUR) {
    clock.stepWall(HOUR_MS);
    const rows = Array.from({ length: BINS_PER_HOUR }, (_, i) => [START_MS + (bin + i) * BIN_MS, demand[bin + i]!, 4, ...others[bin + i]!]);
    await store.append([
      block(VM_A, ['vm_cpu.demandCores', 'vm_cpu.vcpusOnline', ...OTHER_FIELDS], rows),
      block(
        VM_B,
        ['vm_cpu.usageCores'],
        rows.map(([timeMs, value]) => [timeMs!, value!]),
      ),
    ]);
  }
  await store.close();
});

t.test('the store and a file with the same samples have the same report', async (t) => {
  const traces = join(directory, 'traces');
  mkdirSync(traces);
  const rows = demand.map((value, bin) => {
    const [memory, network, disk] = others[bin]!;
    return `${(START_MS + bin * BIN_MS) / 1000},${value},4,${memory},${network! - 1},1,0,${disk}`;
  });
  const head = 'timestamp,cpu_cores_used,cpu_cores_alloc,mem_mib_used,net_rx_Bps,net_tx_Bps,disk_read_Bps,disk_write_Bps';
  writeFileSync(join(traces, `${VM_A.id}.csv`), [head, ...rows].join('\n'));
  const fromFile = await run(`backtest --traces ${traces} --json`);
  const fromStore = await run(`backtest --from-store ${directory} --json --out ${join(directory, 'out')}`);
  t.equal(fromFile.code, 0, fromFile.err);
  t.equal(fromStore.code, 1, 'a VM was skipped');
  t.match(fromStore.err, new RegExp(`${VM_B.id} was skipped: the VM's size is not in the store`));
  const [file, store] = [fromFile, fromStore].map(({ out }) => JSON.parse(out.trimEnd().split('\n').at(-1)!));
  t.equal(store.vms, 1);
  t.same({ ...store, skipped: [] }, { ...file, skipped: [] });
  t.ok(existsSync(join(directory, 'out', `${VM_A.id}.csv`)));
  const deaf = join(directory, 'deaf');
  mkdirSync(deaf);
  writeFileSync(join(deaf, `${VM_A.id}.csv`), [head, ...rows].map((row) => row.split(',').slice(0, 3).join(',')).join('\n'));
  const alone = JSON.parse((await run(`backtest --traces ${deaf} --json`)).out.trimEnd().split('\n').at(-1)!);
  t.not(alone.meanSlack, store.meanSlack, 'what the others do is heard');
});

t.test('a configuration names the store as well', async (t) => {
  const config = join(directory, 'aggregator.yaml');
  writeFileSync(config, `dataDir: ${directory}\n`);
  const { out, err } = await run(`backtest --from-store ${config} --json`);
  t.equal(JSON.parse(out.trimEnd().split('\n').at(-1)!).vms, 1, err);
});

t.test('what is no store is told', async (t) => {
  const empty = mkdtempSync(join(directory, 'empty-'));
  const wrong = join(directory, 'wrong.yaml');
  writeFileSync(wrong, 'stepMs: soon\n');
  const lines: [string, number, RegExp][] = [
    [`backtest --from-store ${empty}`, 3, /holds no series/],
    [`backtest --from-store ${empty}/nowhere`, 3, /neither a configuration file nor a data directory/],
    [`backtest --from-store ${wrong}`, 2, /stepMs/],
    [`backtest --from-store ${directory} --traces ${directory}`, 2, /exclude each other/],
    [`backtest --from-store ${directory} --resource memory`, 3, /nothing in .* memory/],
  ];
  for (const [line, code, message] of lines) {
    const ended = await run(line);
    t.match(ended.err, message, line);
    t.equal(ended.code, code, line);
  }
  t.notOk(existsSync(join(empty, 'series')), 'nothing was made');
});
