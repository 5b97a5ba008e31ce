/** Goal: what the demo reads, shows and compares is right: options, table, virsh's words, series, teardown, verdict. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { ResourceView, VmView } from '../../aggregator/http/service.ts';
import { differencesOf, parseShown } from '../../demo/cross-check.ts';
import { parseOptions } from '../../demo/options.ts';
import { type Verdict, verdictJson, verdictLines } from '../../demo/report.ts';
import { leftOverDirectories, RunDirectory, removeLeftOver } from '../../demo/run-directory.ts';
import { guestSeconds } from '../../demo/scoring/series.ts';
import { bandOf, tableLines } from '../../demo/table.ts';
import { Teardown } from '../../demo/teardown.ts';
import { hostId, vmId } from '../../shared/ids.ts';

const view = (unit: ResourceView['unit'], change: Partial<ResourceView> = {}): ResourceView => ({
  mode: 'auto',
  rule: 'defaults',
  eligible: { allowed: true },
  unit,
  allocation: null,
  uncapped: false,
  setting: null,
  baseline: null,
  usage: null,
  demand: null,
  suppressed: false,
  ageMs: 0,
  floor: null,
  ceiling: null,
  forecast: null,
  holds: [],
  lastVerdict: null,
  coolUntilMs: null,
  infeasible: null,
  lastDecision: null,
  ...change,
});

const forecast = {
  model: 'aggregate',
  stepMs: 5000,
  fromMs: 0,
  quantiles: [0.5, 0.95],
  horizons: [1, 2],
  values: [0.2, 0.3, 0.25, 0.6],
  confidence: 0.8,
  explanation: '',
};

const vm = (change: Partial<VmView['resources']> = {}): VmView => ({
  id: vmId('6f1b0000-0000-4000-8000-0000000000a1'),
  name: 'headroom-demo-web',
  host: hostId('demo'),
  state: 'ready',
  labels: {},
  guestAgent: true,
  missingSignals: [],
  contention: null,
  workload: { class: null, confidence: 0, setByHand: false, reasons: [] },
  resources: {
    cpu: view('cores', { allocation: 0.45, usage: 0.31, forecast }),
    memory: view('MiB', { allocation: 320, usage: 250 }),
    network: view('bytes/s', { mode: 'observe' }),
    disk: view('bytes/s', { mode: 'observe', usage: 1500 }),
    ...change,
  },
});

t.test('options are checked, and wrong ones are named', async (t) => {
  t.match(parseOptions([]), { check: false, minutes: 12, simulated: false, port: 7400 });
  t.match(parseOptions(['--check', '--minutes', '20', '--port', '0', '--simulated', '--keep']), {
    check: true,
    minutes: 20,
    port: 0,
    simulated: true,
    keep: true,
  });
  for (const [args, words] of [
    [['--minutes', '5'], /--minutes must be a whole number from 6/],
    [['--minutes', 'x'], /not "x"/],
    [['--port', '70000'], /--port must be/],
    [['--nonsense'], /--nonsense/],
    [['stray'], /stray/],
  ] as const) {
    t.throws(() => parseOptions([...args]), { code: 'USAGE', message: words });
  }
});

t.test('the table shows band, allocation and decision, and leaves out what says nothing', async (t) => {
  t.equal(bandOf(view('cores', { forecast }), 0.95), 0.6);
  t.equal(bandOf(view('cores'), 0.95), null);
  const lastDecision = { atMs: 0, planId: 'p', done: true, reason: 'a rise is expected', constraint: 'forecast', outcome: 'applied' };
  const lines = tableLines([vm({ cpu: view('cores', { allocation: 0.45, usage: 0.31, forecast, lastDecision }) })], 'footer');
  const cpu = lines.find((line) => line.includes(' cpu '));
  t.match(cpu, /auto\s+0\.31\s+0\.25\s+0\.60\s+0\.45\s+applied: a rise is expected/);
  t.ok(lines.some((line) => line.includes(' disk ') && line.includes('1.5 kB/s')));
  t.notOk(lines.some((line) => line.includes(' network ')));
  t.equal(lines.at(-1), 'footer');
  t.match(tableLines([vm({ cpu: view('cores', { uncapped: true, allocation: 1 }) })], '').join('\n'), /no limit/);
});

const SCHEDINFO = `Scheduler      : posix
cpu_shares     : 1024
vcpu_period    : 100000
vcpu_quota     : 45000
global_period  : 100000
global_quota   : -1
`;

t.test("virsh's own figures are read and held against the claim", async (t) => {
  const shown = parseShown(SCHEDINFO, 'actual 327680\nswap_in 0\nusable 1\n', 1);
  t.same(shown, { capCores: 0.45, balloonMiB: 320 });
  t.same(parseShown(SCHEDINFO.replace('45000', '-1'), 'actual 327680\n', 1).capCores, null);
  t.equal(parseShown(SCHEDINFO, 'actual 327680\n', 2).capCores, 0.9);
  t.same(differencesOf(vm(), shown), []);
  t.match(differencesOf(vm(), { capCores: null, balloonMiB: 400 }), [
    /claims 0\.45, virsh shows no cap/,
    /claims 320 MiB, virsh shows 400 MiB/,
  ]);
  t.match(differencesOf(vm({ cpu: view('cores', { uncapped: true, allocation: 1 }) }), shown), [/claims no cap, virsh shows 0\.45/]);
});

t.test('stored series become seconds: no cap is all vCPUs, unknown stays unknown', async (t) => {
  const host = {
    timesMs: [500, 1500, 2500],
    columns: {
      'vm_cpu.usageCores': [0.1, 0.2, null],
      'vm_cpu.capCores': [null, 0.5, null],
      'vm_cpu.weight': [100, 100, null],
      'vm_cpu.vcpusOnline': [1, 1, 1],
      'vm_memory.balloonMiB': [640, null, 300],
      'vm_memory.availableMiB': [500, null, 100],
    },
  };
  const guest = { timesMs: [600, 1600], columns: { 'vm_app.offeredCores': [0.1, 0.3], 'vm_app.offeredMemoryMiB': [150, 160] } };
  t.same(guestSeconds('cpu', host, guest, 0, 3000), { offered: [0.1, 0.3, 0.3], allocation: [1, 0.5, 0.5], usage: [0.1, 0.2, 0.2] });
  t.same(guestSeconds('memory', host, guest, 0, 3000), { offered: [150, 160, 160], allocation: [640, 640, 300], usage: [140, 140, 200] });
});

t.test('teardown undoes in reverse, whatever fails, once', async (t) => {
  const done: string[] = [];
  const teardown = new Teardown();
  teardown.add('first', () => void done.push('first'));
  teardown.add('second', () => {
    throw new Error('stuck');
  });
  teardown.add('third', async () => void done.push('third'));
  t.same(await teardown.run(), ['second: stuck']);
  t.same(done, ['third', 'first']);
  t.same(await teardown.run(), []);
});

t.test("a killed run's directory is found and removed, a living one's is left", async (t) => {
  const own = new RunDirectory('real');
  t.teardown(() => own.remove());
  t.match(
    leftOverDirectories().find(({ path }) => path === own.path),
    { inUse: true },
  );
  const dead = `${own.path}-dead`;
  mkdirSync(dead);
  t.teardown(() => rmSync(dead, { recursive: true, force: true }));
  writeFileSync(`${dead}/processes.json`, JSON.stringify([{ id: process.pid, startTicks: '1' }]));
  const found = leftOverDirectories().find(({ path }) => path === dead);
  t.match(found, { inUse: false, processIds: [] });
  if (found) t.match(removeLeftOver(found), /removed/);
  t.notOk(existsSync(dead));
});

t.test('the verdict is one JSON object with the promised keys', async (t) => {
  const score = {
    name: 'web',
    role: 'web' as const,
    resource: 'cpu' as const,
    rises: 4,
    led: 4,
    leadSecondsMedian: 7,
    unmetShare: 0.01,
    meanAllocation: 0.4,
    meanUsage: 0.3,
    peakOffered: 0.5,
    knownShare: 1,
  };
  const verdict: Verdict = { scores: [score], commands: { sent: 3, applied: 2, readBack: 2 }, lintRejections: 0, broken: ['a rule'] };
  const { peakOffered: _peak, knownShare: _known, ...keys } = score;
  t.same(JSON.parse(verdictJson(verdict)), { guests: [keys], commands: { sent: 3, applied: 2, readBack: 2 }, lintRejections: 0 });
  t.match(verdictLines(verdict).join('\n'), /failed:\n {2}a rule/);
  t.match(verdictLines({ ...verdict, broken: [] }).join('\n'), /passed/);
});
