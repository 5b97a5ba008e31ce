/** Goal: the aggregator's configuration is filled in sensibly, and every mistake is told with its key. Loops keep their pace. */
import t from 'tap';
import { AGGREGATOR_HELP, decisionConfig, parseFlags, resolveConfig } from '../../aggregator/config.ts';
import { Loop } from '../../aggregator/loops/loop.ts';
import { Loops } from '../../aggregator/loops/loops.ts';
import { untilAfterEnd } from '../../aggregator/loops/step-loop.ts';
import { SteadyTime } from '../../aggregator/service/steady-time.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const NO_FLAGS = parseFlags([]);

t.test('nothing given: loopback, five-minute steps, a plan a minute, leases of five plans', async (t) => {
  const config = resolveConfig(null, NO_FLAGS);
  t.match(config, {
    listen: { host: '127.0.0.1', port: 7400 },
    agents: null,
    policyFile: null,
    store: { kind: 'sqlite' },
    stepMs: 300_000,
    planPeriodMs: 60_000,
    demandWindowMs: 60_000,
    leaseMs: 300_000,
    seasonsMs: [86_400_000, 604_800_000],
  });
});

t.test('short steps bring short periods; flags win over the file', async (t) => {
  const config = resolveConfig(
    '{"stepMs": 5000, "planPeriodMs": 2000, "listen": {"port": 1}, "dataDir": "/a"}',
    parseFlags(['--port', '9', '--data-dir', '/b', '--policy', 'p.yaml']),
  );
  t.match(config, {
    stepMs: 5000,
    demandWindowMs: 2500,
    graceMs: 1000,
    leaseMs: 10_000,
    listen: { port: 9 },
    dataDir: '/b',
    policyFile: 'p.yaml',
  });
  t.equal(decisionConfig({ stepMs: 1000 }).planPeriodMs, 1000);
});

const CLUSTER = '{name: a, agentsUrl: "wss://a/v1/agents", etcd: {endpoints: ["https://e:2379"]}}';

t.test('one of several aggregators: with a series store that all share', async (t) => {
  const store = '{kind: influxdb, url: "http://127.0.0.1:8086"}';
  const { cluster } = resolveConfig(`{store: ${store}, cluster: ${CLUSTER}}`, parseFlags([]));
  t.match(cluster, { name: 'a', prefix: 'headroom/', leaseMs: 3000, heartbeatMs: 600 });
  t.equal(resolveConfig(null, parseFlags([])).cluster, null);
});

const MISTAKES: [string, string, RegExp][] = [
  [
    'several aggregators, each with series of its own',
    `cluster: ${CLUSTER}`,
    /need a series store that they share.*influxdb or victoriametrics/,
  ],
  ['several without a name', 'cluster: {}', /\/cluster/],
  ['unknown key', 'stepMS: 1', /unknown key "stepMS".*stepMs/],
  ['wrong type', 'stepMs: soon', /\/stepMs/],
  ['unknown nested key', 'listen: {prt: 1}', /\/listen/],
  ['not YAML', '{', /neither YAML nor JSON/],
  ['window longer than a step', '{stepMs: 1000, demandWindowMs: 2000}', /demandWindowMs is 2000/],
  ['grace longer than a step', '{stepMs: 1000, graceMs: 1000}', /graceMs is 1000/],
  ['unknown kind of store', '{store: {kind: mysql}}', /store\.kind is mysql.*sqlite, influxdb, victoriametrics/],
  ['store without a kind', '{store: here}', /store\.kind is missing/],
  [
    'unknown key of a store',
    '{store: {kind: influxdb, url: "http://a", token: x}}',
    /unknown key "token" under store of kind influxdb.*auth/,
  ],
  ['store without its address', '{store: {kind: victoriametrics}}', /\/store/],
  ['database that could break out', '{store: {kind: influxdb, url: "http://a", database: "a\\"b"}}', /\/store\/database/],
  [
    'basic without a name',
    '{store: {kind: influxdb, url: "http://a", auth: {scheme: basic, secretFile: s}}}',
    /store\.auth\.username is missing/,
  ],
  ['lease shorter than two plans', '{leaseMs: 60000}', /leaseMs is 60000/],
];
for (const [name, source, told] of MISTAKES) {
  t.test(`refused: ${name}`, async (t) => {
    t.throws(() => resolveConfig(source, NO_FLAGS), { code: 'CONFIG_INVALID', message: told });
  });
}

t.test('flags: mistakes and help', async (t) => {
  t.throws(() => parseFlags(['--prot', '1']), { code: 'USAGE' });
  t.throws(() => parseFlags(['--port', 'x']), { code: 'USAGE', message: /"x"/ });
  t.equal(parseFlags(['--help']).help, true);
  t.match(AGGREGATOR_HELP, /--config FILE[\s\S]*planPeriodMs/);
});

const world = () => {
  const time = new SimulatedTime(createPrng(1), 1_700_000_000_000);
  return { time, clock: new NodeClock(time) };
};

t.test('a loop keeps its pace, never runs twice at once, counts overruns and failures, and stops after the run under way', async (t) => {
  const { time, clock } = world();
  let running = 0;
  let most = 0;
  const errors: string[] = [];
  let takesMs = 100;
  const loop = new Loop({
    name: 'test',
    clock,
    periodMs: 1000,
    run: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => clock.setTimeout(resolve, takesMs));
      running--;
      if (takesMs === 150) throw new Error('broken');
    },
    onError: (name, error) => errors.push(`${name}: ${(error as Error).message}`),
  });
  loop.start();
  await time.runUntil(10_000);
  t.equal(loop.figures.runs, 9, 'a period after the last one began');
  takesMs = 2500;
  await time.runUntil(21_000);
  t.ok(loop.figures.overruns >= 3);
  takesMs = 150;
  await time.runUntil(30_000);
  t.ok(errors.length > 3 && loop.figures.failures === errors.length);
  t.equal(errors[0], 'test: broken');
  t.equal(most, 1);
  await loop.stop();
  const { runs } = loop.figures;
  await time.runUntil(40_000);
  t.equal(loop.figures.runs, runs);
});

t.test('a step loop wakes after the step and its grace', async (t) => {
  t.equal(untilAfterEnd(10_000, 5000, 1000), 1005);
  t.equal(untilAfterEnd(11_000, 5000, 1000), 5005);
  t.equal(untilAfterEnd(14_999, 5000, 1000), 1006);
});

t.test('steady time follows the wall slowly and never runs back', async (t) => {
  const { time, clock } = world();
  const steady = new SteadyTime(clock);
  const startMs = steady.nowMs();
  await time.runUntil(60_000);
  t.equal(steady.nowMs() - startMs, 60_000);
  clock.stepWall(-3_600_000);
  await time.runUntil(120_000);
  const later = steady.nowMs() - startMs;
  t.ok(later >= 114_000 - 1 && later < 120_000, `${later} ms went by`);
  let last = steady.nowMs();
  let ranBack = false;
  clock.stepWall(3_600_000);
  for (let at = 121_000; at <= 720_000; at += 1000) {
    await time.runUntil(at);
    ranBack ||= steady.nowMs() < last;
    last = steady.nowMs();
  }
  t.equal(ranBack, false);
  t.ok(Math.abs(steady.asideMs()) <= 1, 'a minute and more is caught up within ten');
});

t.test('what waits by steady time wakes on time whichever way the wall was stepped', async (t) => {
  for (const byMs of [-3_600_000, -60_000, -500, 0, 500, 60_000, 3_600_000]) {
    const { time, clock } = world();
    const steady = new SteadyTime(clock);
    await time.runUntil(10_000);
    clock.stepWall(byMs);
    for (const wantedMs of [1000, 300_000, 4_000_000]) {
      const beganMs = steady.nowMs();
      await time.runUntil(time.nowMs + steady.waitMs(wantedMs));
      t.ok(Math.abs(steady.nowMs() - beganMs - wantedMs) <= 1, `${steady.nowMs() - beganMs} of ${wantedMs} ms after a step of ${byMs}`);
    }
  }
});

for (const [words, byMs] of [
  ['back', -3_600_000],
  ['on', 3_600_000],
] as const) {
  t.test(`a wall stepped ${words} by an hour: each step is closed once, each period has one plan`, async (t) => {
    const { time, clock } = world();
    const steady = new SteadyTime(clock);
    const ran: Record<'step' | 'plan', number[]> = { step: [], plan: [] };
    const config = decisionConfig({});
    const nothing = async (): Promise<void> => undefined;
    const loops = new Loops({
      ...{ clock, config, spawnPeriodMs: 60_000, planned: () => true, onError: (_, error) => t.error(error) },
      ...{ nowMs: () => steady.nowMs(), waitMs: (steadyMs) => steady.waitMs(steadyMs) },
      ...{ maintain: nothing, checkpoint: nothing, fit: nothing, spawn: nothing },
      step: async () => void ran.step.push(steady.nowMs()),
      plan: async () => void ran.plan.push(steady.nowMs()),
    });
    loops.start();
    // In the middle of a wait, which it wakes from at the wrong time.
    await time.runUntil(1_000_000);
    clock.stepWall(byMs);
    await time.runUntil(8 * 3_600_000);
    await loops.stop();
    const { stepMs, planPeriodMs, graceMs } = config;
    const steps = ran.step.map((atMs) => Math.floor((atMs - graceMs) / stepMs));
    t.same([...new Set(steps)], steps, 'no step twice');
    t.equal(steps.at(-1)! - steps[0]! + 1, steps.length, 'and none left out');
    const periods = ran.plan.map((atMs) => Math.floor((atMs - graceMs) / planPeriodMs));
    t.ok(periods.length - new Set(periods).size <= 1, `${periods.length} plans in ${new Set(periods).size} periods`);
    t.equal(periods.at(-1)! - periods[0]! + 1, new Set(periods).size);
  });
}
