/**
 * Goal: evidence becomes the right incidents: one a fault, named for what it is, opened and closed once; our own resizes and
 * storms over the fleet wake nobody; silence is an incident, a VM still being learnt has none.
 */
import t from 'tap';
import { FleetIncidents } from '../../aggregator/core/anomaly/fleet-incidents.ts';
import type { VmPoint } from '../../aggregator/core/anomaly/incident.ts';
import { nameIncident, type Situation } from '../../aggregator/core/anomaly/incident-kind.ts';
import { type IncidentChange, VmIncidents } from '../../aggregator/core/anomaly/vm-incidents.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const DAY = 288;
const START_MS = 1_400_000_000_000;
const FAULT_AT = 4 * DAY;
const sizes = { cpu: 4, memory: 4096 };

type Strike = (values: Record<'cpu' | 'memory' | 'steal' | 'network', number>, points: number) => VmPoint['values'];

function pointsOf(vm: string, count: number, strike: Strike | null, lasts = 72): VmPoint[] {
  const random = createPrng(9, vm);
  return Array.from({ length: count }, (_, i) => {
    const wave = 1 + 0.5 * Math.sin((i / DAY) * 2 * Math.PI);
    const values = {
      cpu: wave + 0.2 * random.next(),
      memory: 1500 + 100 * wave + 20 * random.next(),
      steal: 0.01 * random.next(),
      network: 1e5 * wave * (0.8 + 0.4 * random.next()),
    };
    const since = i - FAULT_AT;
    return { timeMs: START_MS + i * STEP_MS, values: strike !== null && since >= 0 && since < lasts ? strike(values, since) : values };
  });
}

function changesOf(vm: string, strike: Strike | null, lasts?: number, explain: string | null = null): IncidentChange[] {
  const incidents = new VmIncidents({ vm, host: 'h', sizes });
  const found: IncidentChange[] = [];
  for (const point of pointsOf(vm, FAULT_AT + DAY, strike, lasts)) {
    const change = incidents.observe(point, explain);
    if (change !== null && change.incident.startMs >= START_MS + FAULT_AT * STEP_MS) found.push(change);
  }
  return found;
}

const FAULTS: readonly [name: string, kind: string, top: RegExp, strike: Strike][] = [
  ['a process that runs away', 'runaway process', /^cpu: /, (v) => ({ ...v, cpu: Math.min(4, v.cpu + 2.8) })],
  ['a leak', 'leak', /^memory: /, (v, i) => ({ ...v, memory: v.memory + 25 * (i + 1) })],
  ['stolen CPU time', 'noisy neighbour', /^steal: /, (v) => ({ ...v, steal: v.steal + 0.2, cpu: v.cpu * 0.8 })],
  ['silence', 'silence', /./, () => ({})],
  ['more load than it can carry', 'saturation', /./, (v) => ({ ...v, cpu: 4, network: 5 * v.network })],
];

t.test('less strain than usual is no incident, nor what one is about', async (t) => {
  const busyHost: Strike = (values) => ({ ...values, steal: 0.3 + values.steal });
  const quiet = changesOf('a', (v) => ({ ...v, steal: 0 }), DAY);
  t.same(quiet, []);
  // A host that was full of others all the time, and is not any more, while a leak begins.
  const incidents = new VmIncidents({ vm: 'a', host: 'h', sizes });
  const found: IncidentChange[] = [];
  for (const [i, { timeMs, values }] of pointsOf('a', FAULT_AT + 12, null).entries()) {
    const before = busyHost(values as never, i);
    const point = i < FAULT_AT ? before : { ...values, steal: 0, memory: values.memory! + 100 * (i - FAULT_AT) };
    const change = incidents.observe({ timeMs, values: point }, null);
    if (change !== null) found.push(change);
  }
  t.ok(found.length > 0);
  for (const { incident } of found) t.notMatch(incident.contributors.map(({ name }) => name).join(), /steal/);
});

for (const [name, kind, top, strike] of FAULTS) {
  t.test(`${name}: one incident within an hour, named, with its metric first, closed when over`, async (t) => {
    for (const vm of ['a', 'b', 'c']) {
      const changes = changesOf(vm, strike);
      const opened = changes.filter(({ change }) => change === 'opened');
      t.ok(opened.length >= 1 && opened.length <= 2, `${vm}: opened ${opened.length} times`);
      t.ok((opened[0]?.incident.startMs ?? Number.NaN) <= START_MS + (FAULT_AT + 12) * STEP_MS, 'within an hour');
      const kinds = changes.map(({ incident }) => incident.kind as string);
      t.ok(kinds.includes(kind), `${vm}: ${kinds.join(', ')}`);
      const named = changes.find(({ incident }) => incident.kind === kind)?.incident;
      t.match(named?.contributors[0]?.name ?? (kind === 'silence' ? 'silence' : ''), top);
      t.ok((named?.cause.length ?? 0) > 20, String(named?.cause));
      t.equal(changes.at(-1)?.change, 'closed');
      const end = changes.at(-1)?.incident;
      t.ok(end !== undefined && end.endMs !== null && end.endMs > end.peakMs && end.peakMs >= end.startMs);
    }
  });
}

t.test(
  'a trifle hides nothing: a leak beside a breath of CPU, its memory told of at every third step, is told of as a leak, once',
  async (t) => {
    for (const every of [1, 2, 3]) {
      for (const seed of ['a', 'b', 'c', 'd']) {
        const random = createPrng(7, seed);
        const small = { cpu: 1, memory: 320 };
        const incidents = new VmIncidents({ vm: 'a', host: 'h', sizes: small }, 200);
        const changes: IncidentChange[] = [];
        for (let i = 0; i < 270; i++) {
          const leaks = i >= 210 && i < 240;
          // What filling memory costs the guest and its emulator.
          const cpu = 0.0025 + 0.0005 * random.next() + (leaks ? 0.02 + 0.01 * random.next() : 0);
          const memory = 72 + 0.4 * random.next() + 6 * Math.max(0, Math.min(30, i - 210));
          const values = { cpu, disk: 0, network: 0, ...(i % every === 0 ? { memory } : {}) };
          const change = incidents.observe({ timeMs: START_MS + i * 1000, values }, null);
          if (change !== null) changes.push(change);
        }
        const of = `every ${every}, ${seed}: ${changes.map((one) => `${one.incident.kind} of ${one.incident.contributors[0]?.name}`).join(', ')}`;
        const leak = changes.find(({ incident }) => incident.kind === 'leak')?.incident;
        t.match(leak?.contributors[0]?.name, /^memory: /, of);
        t.match(leak?.cause, /^memory went from 7\d/);
        const news = changes.filter((one) => one.incident.kind === 'leak' && (one.change === 'opened' || one.news !== undefined));
        t.equal(news.length, 1, `told once of the leak; ${of}`);
        const last = changes.findLast(({ incident }) => incident.endMs === null)?.incident;
        t.match(last, { kind: 'leak', cause: /to 25\d and keeps rising/ }, 'in words of what it has become');
      }
    }
  },
);

t.test('what an incident is called follows its evidence; a name is told once, however often it changes; worse is told once', async (t) => {
  // Memory first, then a process that runs away, then memory and CPU in turn.
  const strike: Strike = (v, i) => {
    const cpu = i >= 12 && (i < 30 || i % 24 < 12) ? Math.min(4, v.cpu + 2.8) : v.cpu;
    return { ...v, cpu, memory: i < 12 || (i >= 30 && i % 24 >= 12) ? v.memory + 800 : v.memory };
  };
  const changes = changesOf('a', strike, 200);
  const told = changes.filter(({ change, news }) => change === 'opened' || news !== undefined);
  const names = told
    .filter(({ news }) => !/^worse/.test(news ?? ''))
    .map(({ incident }) => `${incident.startMs} ${incident.kind} ${incident.contributors[0]?.name.split(':')[0]}`);
  t.equal(new Set(names).size, names.length, names.join('; '));
  const [first] = changes;
  const known = told.filter(({ incident }) => incident.startMs === first!.incident.startMs);
  t.ok(known.some(({ incident }) => incident.kind === 'level shift' && /^memory/.test(incident.cause)));
  t.match(known.find(({ incident }) => /runaway|saturation/.test(incident.kind))?.news, /told before as level shift of memory/);
  const worse = known.filter(({ news }) => /worse/.test(news ?? ''));
  t.equal(worse.length, first!.incident.severity === 'page' ? 0 : 1);
});

t.test("an idle VM that becomes a little more or less idle is nobody's concern", async (t) => {
  const struckBy = (cores: number, ofMiB: number): number => {
    const random = createPrng(3, 'idle');
    const incidents = new VmIncidents({ vm: 'idle', host: 'h', sizes });
    return Array.from({ length: FAULT_AT + DAY }, (_, i) => {
      const struck = i >= FAULT_AT;
      const values = { cpu: 0.004 + 0.0002 * random.next() + (struck ? cores : 0), memory: 900 + random.next() + (struck ? ofMiB : 0) };
      return incidents.observe({ timeMs: START_MS + i * STEP_MS, values }, null);
    }).filter((change) => change?.change === 'opened').length;
  };
  t.equal(struckBy(-0.002, -8), 0, 'twenty times its noise, and less than anybody would notice');
  t.ok(struckBy(0.4, 0) >= 1);
  t.ok(struckBy(0, 200) >= 1);
});

t.test('without a fault: nothing; while learning: nothing', async (t) => {
  for (const vm of ['a', 'b', 'c']) t.same(changesOf(vm, null), [], vm);
  const incidents = new VmIncidents({ vm: 'new', host: 'h', sizes });
  for (const [i, point] of pointsOf('new', 250, null).entries()) {
    const values = i > 150 ? { ...point.values, cpu: 4 } : point.values;
    t.equal(incidents.observe({ ...point, values }, null), null);
  }
});

t.test('a known event explains an incident: it is kept, and nobody is woken', async (t) => {
  const resize: Strike = (v) => ({ ...v, memory: 0.5 * v.memory });
  const fleet = new FleetIncidents();
  fleet.addKnownEvent({
    vm: 'a',
    fromMs: START_MS + FAULT_AT * STEP_MS,
    toMs: START_MS + (FAULT_AT + 1) * STEP_MS,
    why: 'our own resize of memory from 4096 to 2048 MiB',
  });
  const alerts = { a: 0, b: 0 };
  const explained: (string | null)[] = [];
  for (const vm of ['a', 'b'] as const) {
    for (const point of pointsOf(vm, FAULT_AT + 60, resize)) {
      const change = fleet.observe({ vm, host: vm, sizes }, point);
      if (change?.alert) alerts[vm] += 1;
      if (change?.change === 'opened') explained.push(change.incident.explainedBy);
    }
  }
  t.equal(alerts.a, 0);
  t.ok(alerts.b > 0, 'the same without the event is told');
  t.same(explained, ['our own resize of memory from 4096 to 2048 MiB', null]);
});

t.test('what is explained at first, and turns out a fault when the explanation is over, is told', async (t) => {
  const of = (strike: Strike) => {
    const fleet = new FleetIncidents();
    const fromMs = START_MS + FAULT_AT * STEP_MS;
    fleet.addKnownEvent({ vm: 'a', fromMs, toMs: fromMs + STEP_MS, why: 'our own resize of memory' });
    return pointsOf('a', FAULT_AT + 60, strike).flatMap((point) => fleet.observe({ vm: 'a', host: 'h', sizes }, point) ?? []);
  };
  const resized: Strike = (v) => ({ ...v, memory: 0.5 * v.memory });
  const quiet = of(resized);
  t.ok(quiet.length > 0);
  t.ok(
    quiet.every(({ alert, incident }) => !alert && incident.explainedBy !== null),
    'the resize alone stays explained',
  );
  const told = of((v, i) => ({ ...resized(v, i), cpu: i >= 12 ? Math.min(3.9, v.cpu + 2.3) : v.cpu })).filter(({ alert }) => alert);
  t.match(told[0], { change: 'updated', news: /told before as/, incident: { kind: 'runaway process', explainedBy: null } });
  t.ok((told[0]?.incident.startMs ?? 0) < START_MS + (FAULT_AT + 12) * STEP_MS, 'it is the same incident');
});

function fleetRun(vms: number, hosts: number, hit: (vm: number) => boolean) {
  const fleet = new FleetIncidents();
  const alerts: string[] = [];
  const opened: string[] = [];
  const steal: Strike = (v) => ({ ...v, steal: v.steal + 0.3 });
  const all = Array.from({ length: vms }, (_, n) => pointsOf(`vm${n}`, FAULT_AT + 12, hit(n) ? steal : null));
  for (let i = 0; i < FAULT_AT + 12; i++) {
    for (const [n, points] of all.entries()) {
      const change = fleet.observe({ vm: `vm${n}`, host: `h${n % hosts}`, sizes }, points[i]!);
      if (change?.change === 'opened') opened.push(change.incident.vm);
      if (change?.alert && change.change === 'opened') alerts.push(change.incident.vm);
    }
  }
  return { alerts, opened, fleet };
}

t.test('VMs of one host struck together are told once, each by name', async (t) => {
  const { alerts, opened } = fleetRun(20, 5, (vm) => vm % 5 === 2);
  t.same(opened.length, 4);
  t.equal(alerts.length, 1, `told of ${alerts.join(', ')}`);
});

t.test('a storm over the fleet is recognised: after the first few nobody is told, and later ones carry the reason', async (t) => {
  const { alerts, opened, fleet } = fleetRun(40, 10, () => true);
  t.ok(opened.length >= 38, `${opened.length} of 40 incidents are kept`);
  t.ok(alerts.length <= 10, `${alerts.length} alerts for 10 hosts`);
  const stormy = fleet.open.filter(({ explainedBy }) => explainedBy?.includes('storm'));
  t.ok(stormy.length >= 25, `${stormy.length} explained by the storm`);
});

t.test('names, one by one', async (t) => {
  const base: Situation = {
    silent: false,
    contributors: [{ name: 'cpu: value', share: 1 }],
    before: { cpu: 1, memory: 1000, network: 100 },
    now: { cpu: 4, memory: 1000, network: 100 },
    sizes,
    memoryRose: 0.5,
    points: 5,
  };
  const of = (name: string): Situation['contributors'] => [{ name, share: 1 }];
  const table: [Partial<Situation>, string][] = [
    [{}, 'runaway process'],
    [{ now: { cpu: 4, network: 900 } }, 'saturation'],
    [{ now: { cpu: 1.8 } }, 'level shift'],
    [{ now: { cpu: 0.1 } }, 'level shift'],
    [{ points: 1 }, 'spike'],
    [{ silent: true }, 'silence'],
    [{ contributors: of('memory: value'), now: { memory: 2000 }, memoryRose: 0.9 }, 'leak'],
    [{ contributors: of('memory: value'), now: { memory: 4090 }, memoryRose: 0.1 }, 'saturation'],
    [{ contributors: of('steal: jump'), now: { steal: 0.3 }, before: { steal: 0 } }, 'noisy neighbour'],
    [{ contributors: of('cpu: same value again'), now: { cpu: 1 } }, 'stuck'],
  ];
  for (const [change, kind] of table) t.equal(nameIncident({ ...base, ...change }).kind, kind, JSON.stringify(change));
});
