/**
 * Goal: the agent's small parts: configuration that names what is wrong, queues in which one stuck VM delays no other,
 * vCPUs online in a guest, VM states, the pace of statistics, name patterns.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { setCpusOnline } from '../../agent/actuators/cpus-online.ts';
import { createVmQueues, VM_QUEUE_MAX } from '../../agent/actuators/vm-queue.ts';
import { HOST_OPTIONS, RESTORE_OPTIONS } from '../../agent/config.ts';
import { matchesAny } from '../../agent/core/name-pattern.ts';
import { asksForProbe, readyIn } from '../../agent/core/readiness.ts';
import { smoothedCostMs, statsPeriodMs } from '../../agent/core/stats-pace.ts';
import { vmState } from '../../agent/core/vm-state.ts';
import { GUEST_OPTIONS } from '../../agent/guest-options.ts';
import { optionHelp, parseOptions } from '../../agent/options.ts';
import { VERSION } from '../../agent/version.ts';
import { virtioPortPath } from '../../agent/virtio-port-path.ts';
import { vmId } from '../../shared/ids.ts';

const noFile = (): string => {
  throw new Error('ENOENT: no such file');
};

t.test('configuration: defaults, file, flags, in that order', async (t) => {
  t.equal((await parseOptions(HOST_OPTIONS, [], noFile)).statsSeconds, 10);
  const file = () => parse('host: kvm-7\nstatsSeconds: 20\nballoonStatsSeconds: 2\ninclude: [web-*, db-*]\n');
  const config = await parseOptions(HOST_OPTIONS, ['--config', '/x', '--stats-seconds', '30', '--memory-reserve-mib=64'], file);
  t.same([config.host, config.statsSeconds, config.balloonStatsSeconds, config.memoryReserveMiB], ['kvm-7', 30, 2, 64]);
  t.same(config.include, ['web-*', 'db-*']);
  t.same((await parseOptions(HOST_OPTIONS, ['--include', 'a*', '--include', 'b'], noFile)).include, ['a*', 'b']);
  t.same((await parseOptions(HOST_OPTIONS, ['--config', '/x'], () => parse('{"host": "json-1"}'))).host, 'json-1', 'JSON too');
  t.equal((await parseOptions(RESTORE_OPTIONS, ['--all'], noFile)).all, true);
});

t.test('configuration: what is wrong is named, with its value', async (t) => {
  const wrong: [string[], () => string, string, RegExp][] = [
    [['--stats-seconds', 'soon'], noFile, 'CONFIG_INVALID', /statsSeconds = "soon"/],
    [['--stats-seconds', '0'], noFile, 'CONFIG_INVALID', /statsSeconds = 0/],
    [['--include', ''], noFile, 'CONFIG_INVALID', /include = \[""\]/],
    [['--balloon-settle-seconds', '61'], noFile, 'CONFIG_INVALID', /balloonSettleSeconds = 61: must be a number from 0 to 60/],
    [['--config', '/x'], () => 'include: web\n', 'CONFIG_INVALID', /include = "web": must be a list/],
    [['--host', 'a b'], noFile, 'CONFIG_INVALID', /host = "a b"/],
    [['--log-level', 'loud'], noFile, 'CONFIG_INVALID', /logLevel = "loud"/],
    [['--nonsense'], noFile, 'USAGE', /nonsense/],
    [['stray'], noFile, 'USAGE', /stray/],
    [['--config', '/x'], () => 'statSeconds: 5\n', 'CONFIG_INVALID', /unknown key "statSeconds" \(value 5\)/],
    [['--config', '/x'], () => '- a\n', 'CONFIG_INVALID', /keys and values/],
    [['--config', '/x'], () => 'a: [\n', 'CONFIG_INVALID', /\/x/],
    [['--config', '/gone'], noFile, 'CONFIG_INVALID', /\/gone.*no such file/],
  ];
  for (const [args, read, code, message] of wrong)
    await t.rejects(
      parseOptions(HOST_OPTIONS, args, () => parse(read())),
      { code, message },
      args.join(' '),
    );
  t.match(optionHelp(GUEST_OPTIONS), /--workload-metrics PATH/);
});

t.test('queues: in order for one VM, apart for two, bounded', async (t) => {
  const errors: unknown[] = [];
  const queues = createVmQueues((_vm, error) => errors.push(error));
  const [a, b] = [vmId('00000000-0000-4000-8000-00000000000a'), vmId('00000000-0000-4000-8000-00000000000b')];
  const done: string[] = [];
  let release = (): void => {};
  const stuck = new Promise<void>((resolve) => {
    release = resolve;
  });
  queues.add(a, () => stuck);
  for (let i = 1; i < VM_QUEUE_MAX; i++) t.ok(queues.add(a, async () => void done.push(`a${i}`)));
  t.notOk(
    queues.add(a, async () => void done.push('never')),
    'full',
  );
  t.equal(queues.dropped, 1);
  queues.add(b, async () => {
    throw new Error('b failed');
  });
  queues.add(b, async () => void done.push('b'));
  await new Promise((resolve) => setImmediate(resolve));
  t.same([done, errors.length], [['b'], 1], 'a is stuck, b goes on, also after a failure');
  release();
  await queues.idle();
  t.same(done, ['b', ...Array.from({ length: VM_QUEUE_MAX - 1 }, (_, i) => `a${i + 1}`)]);
  t.equal(queues.waiting(a), 0);
});

t.test('vCPUs online', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-cpus-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const file = (n: number): string => join(root, `sys/devices/system/cpu/cpu${n}/online`);
  for (const n of [0, 1, 2, 10]) mkdirSync(dirname(file(n)), { recursive: true });
  for (const n of [1, 2, 10]) writeFileSync(file(n), '1\n');
  mkdirSync(join(root, 'sys/devices/system/cpu/cpufreq'));
  t.equal(setCpusOnline(root, 2), 2);
  t.same(
    [1, 2, 10].map((n) => readFileSync(file(n), 'utf8').trim()),
    ['1', '0', '0'],
    'the lowest stay',
  );
  t.equal(setCpusOnline(root, 4), 4);
  t.throws(() => setCpusOnline(root, 5), { code: 'USAGE', message: /this guest has 4/ });
  t.throws(() => setCpusOnline(root, 0), { code: 'USAGE' });
});

t.test('the guest finds its port, with udev or without', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-port-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  t.throws(() => virtioPortPath(root, 'org.headroom.agent.0'), { code: 'UNAVAILABLE', message: /org.headroom.agent.0/ });
  mkdirSync(join(root, 'sys/class/virtio-ports/vport1p2'), { recursive: true });
  writeFileSync(join(root, 'sys/class/virtio-ports/vport1p2/name'), 'org.headroom.agent.0\n');
  t.equal(virtioPortPath(root, 'org.headroom.agent.0'), join(root, 'dev/vport1p2'));
  mkdirSync(join(root, 'dev/virtio-ports'), { recursive: true });
  writeFileSync(join(root, 'dev/virtio-ports/org.headroom.agent.0'), '');
  t.equal(virtioPortPath(root, 'org.headroom.agent.0'), join(root, 'dev/virtio-ports/org.headroom.agent.0'));
});

t.test('states', async (t) => {
  const state = (power: Parameters<typeof vmState>[0]['power'], guestAgent = false, runningMs = 0) =>
    vmState({ power, guestAgent, runningMs, bootDeadlineMs: 100 });
  t.same(
    [
      state('running', true),
      state('running'),
      state('running', false, 100),
      state('paused'),
      state('suspended'),
      state('shutoff'),
      state('shutdown'),
      state('crashed'),
      state('unknown'),
    ],
    ['ready', 'launching', 'ready', 'paused', 'paused', 'stopped', 'unknown', 'error', 'unknown'],
  );
  t.equal(
    vmState({ power: 'running', guestAgent: false, runningMs: Number.NaN, bootDeadlineMs: 100 }),
    'launching',
    'unknown running time is no ready',
  );
});

t.test("ready by the application's own word, where its administrator asks for it", async (t) => {
  const asked = (probe: boolean | null, guestAgent = true) =>
    vmState({ power: 'running', guestAgent, probe, runningMs: 1e9, bootDeadlineMs: 100 });
  t.same([asked(null), asked(false), asked(true), asked(true, false)], ['launching', 'launching', 'ready', 'launching']);
  t.same([asksForProbe({}), asksForProbe({ readiness: 'app' }), asksForProbe({ readiness: 'agent' })], [false, true, false]);
  const rows = (values: number[], fields = ['vm_app.ready', 'vm_app.orders']) => ({
    subject: { kind: 'vm' as const, id: 'x' },
    source: 'guest' as const,
    fields,
    timesMs: Float64Array.from({ length: values.length / fields.length }, (_, i) => i),
    values: Float64Array.from(values),
  });
  t.equal(readyIn([rows([0, 5, 1, 6])]), true, 'the newest word');
  t.equal(readyIn([rows([1, 5, 0, 6])]), false);
  t.equal(readyIn([rows([1, 5, Number.NaN, 6])]), true, 'no word is no change');
  t.equal(readyIn([rows([3], ['vm_app.orders'])]), null);
});

t.test('pace of statistics: dear groups are read more seldom', async (t) => {
  t.equal(statsPeriodMs(10_000, Number.NaN), 10_000);
  t.equal(statsPeriodMs(10_000, 50), 10_000);
  t.equal(statsPeriodMs(2000, 376), 3760);
  t.equal(statsPeriodMs(2000, 20_000), 120_000, 'but never seldomer than every two minutes');
  t.equal(smoothedCostMs(Number.NaN, 40), 40);
  t.ok(smoothedCostMs(100, 0) < 100);
});

t.test('patterns and version', async (t) => {
  t.ok(matchesAny('anything', []));
  t.ok(matchesAny('web-1', ['db-*', 'web-?']));
  t.notOk(matchesAny('web-10', ['web-?']));
  t.notOk(matchesAny('xweb-1', ['web-*']));
  t.ok(matchesAny('a.b(c)', ['a.b(c)']) && !matchesAny('aXb(c)', ['a.b(c)']), 'other characters stand for themselves');
  const manifest = JSON.parse(readFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../package.json'), 'utf8')) as {
    version: string;
  };
  t.equal(VERSION, manifest.version);
});
