/**
 * Goal: VMs are told apart by name, processes and the shape of their use; a label set by hand wins; little evidence is little
 * confidence; young VMs borrow from enough trusted peers, in the shape of a forecast and without its confidence; what a
 * guest claims does not choose its peers.
 */
import t from 'tap';
import { classify, type VmFacts } from '../../aggregator/core/classify/classify.ts';
import { borrowed } from '../../aggregator/core/classify/cold-start.ts';
import { PeerProfiles } from '../../aggregator/core/classify/peer-profiles.ts';
import { type ShapeStep, UsageShape } from '../../aggregator/core/classify/usage-shape.ts';
import type { ProcessUse } from '../../aggregator/core/classify/workload-class.ts';
import type { ForecastView } from '../../aggregator/core/plan/plan.ts';
import { Workload } from '../../aggregator/core/state/workload.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';

const VM = (n: number) => vmId(`6f1b0000-0000-4000-8000-0000000000${String(n).padStart(2, '0')}`);
const facts = (change: Partial<VmFacts> = {}): VmFacts => ({
  name: 'vm-17',
  labels: {},
  vcpus: 4,
  processes: [],
  sessions: null,
  shape: new UsageShape(),
  ...change,
});
const runs = (...uses: [name: string, cpuCores: number, rssMiB: number][]): ProcessUse[] =>
  uses.map(([name, cpuCores, rssMiB]) => ({ name, cpuCores, rssMiB }));

function shapeOf(steps: number, step: (i: number) => Partial<ShapeStep>): UsageShape {
  const shape = new UsageShape();
  for (let i = 0; i < steps; i++) {
    shape.add({ cpuShare: 0.1, memoryShare: 0.4, networkBytesPerSecond: 1000, diskBytesPerSecond: 1000, ...step(i) });
  }
  return shape;
}

const KNOWN: readonly (readonly [what: string, facts: VmFacts, found: string])[] = [
  ['a name', facts({ name: 'shop-web-03' }), 'web'],
  ['a template', facts({ labels: { template: 'postgres-15' } }), 'database'],
  ['a program that takes most', facts({ processes: runs(['postgres', 1.5, 3000], ['cron', 0, 5]) }), 'database'],
  ['a program against a name', facts({ name: 'web-2', processes: runs(['mysqld', 2, 6000]) }), 'database'],
  ['a desktop', facts({ processes: runs(['gnome-shell', 0.2, 400], ['firefox', 0.5, 1500]), sessions: 1 }), 'desktop'],
  ['rest', facts({ shape: shapeOf(288, () => ({ cpuShare: 0.005 })) }), 'idle'],
  ['rest, whatever its name says', facts({ name: 'app-1', shape: shapeOf(288, () => ({ cpuShare: 0.005 })) }), 'idle'],
  ['long stretches of full work', facts({ shape: shapeOf(288, (i) => ({ cpuShare: i % 96 < 36 ? 0.95 : 0.01 })) }), 'batch'],
  ['much network for its CPU', facts({ shape: shapeOf(288, () => ({ networkBytesPerSecond: 5e6 })) }), 'web'],
  ['memory held, little computed', facts({ shape: shapeOf(288, () => ({ memoryShare: 0.85, diskBytesPerSecond: 5e6 })) }), 'database'],
];

t.test('what tells VMs apart', async (t) => {
  for (const [what, vm, found] of KNOWN) {
    const { class: one, confidence, reasons, setByHand } = classify(vm);
    t.equal(one, found, `${what}: ${confidence.toFixed(2)}, ${reasons.join('; ')}`);
    t.ok(confidence > 0.2 && confidence < 1 && reasons.length > 0);
    t.equal(setByHand, false);
  }
});

t.test('a label set by hand wins; one of another meaning does not', async (t) => {
  const busy = { name: 'web-1', processes: runs(['nginx', 2, 100]) };
  t.match(classify(facts({ ...busy, labels: { class: 'batch' } })), { class: 'batch', confidence: 1, setByHand: true });
  t.match(classify(facts({ ...busy, labels: { class: 'cluster' } })), { class: 'web', setByHand: false });
});

t.test('nothing known is no class, and more is more confidence', async (t) => {
  t.same(classify(facts()), { class: null, confidence: 0, setByHand: false, reasons: [] });
  const named = classify(facts({ name: 'db-1' }));
  const running = classify(facts({ name: 'db-1', processes: runs(['postgres', 1, 1000]) }));
  t.ok(running.confidence > named.confidence, `${named.confidence.toFixed(2)} < ${running.confidence.toFixed(2)}`);
  const [hour, day] = [12, 288].map((steps) => classify(facts({ shape: shapeOf(steps, () => ({ cpuShare: 0 })) })).confidence) as [
    number,
    number,
  ];
  t.ok(day > hour, `an hour ${hour.toFixed(2)}, a day ${day.toFixed(2)}`);
  t.equal(classify(facts({ shape: shapeOf(11, () => ({ cpuShare: 0 })) })).class, null, 'less than an hour says nothing');
});

t.test('a shape survives as numbers; what is not one is not taken', async (t) => {
  const shape = shapeOf(200, (i) => ({ cpuShare: (i % 10) / 10 }));
  const other = new UsageShape();
  other.restore(JSON.parse(JSON.stringify(shape.toJSON())));
  t.same(other.evidence(4), shape.evidence(4));
  other.restore([1, 2]);
  other.restore(shape.toJSON().map(() => Number.NaN));
  t.same(other.toJSON(), shape.toJSON());
});

t.test('peers: enough of them, the nearest kin first, and none that are gone', async (t) => {
  const peers = new PeerProfiles();
  const random = createPrng(1, 'peers');
  for (let step = 0; step < 200; step++) {
    for (let n = 0; n < 4; n++) peers.add(VM(n), n < 2 ? ['template "a"', 'every kind'] : ['every kind'], 'cpu', 0.2 + 0.2 * random.next());
  }
  const found = peers.quantiles(['template "a"', 'every kind'], 'cpu', [0.5, 0.9])!;
  t.match(found.words, '4 VMs of every kind', 'two of the template are too few');
  t.ok(found.shares[0]! >= 0.28 && found.shares[0]! <= 0.33, `median ${found.shares[0]}`);
  t.ok(found.shares[1]! >= 0.37 && found.shares[1]! <= 0.4, `0.9 quantile ${found.shares[1]}`);
  t.equal(peers.quantiles(['every kind'], 'memory', [0.5]), null);
  peers.forget(VM(0));
  peers.forget(VM(1));
  t.equal(peers.quantiles(['every kind'], 'cpu', [0.5]), null, 'two that are left are too few');
});

const view = (confidence: number): ForecastView => ({
  model: 'aggregate',
  stepMs: 300_000,
  fromMs: 0,
  quantiles: [0.5, 0.99],
  horizons: [1, 2],
  values: [0.4, 0.8, 0.4, 1.2],
  confidence,
  explanation: 'own',
});

t.test('a young VM borrows the more, the younger it is, and is no surer for it', async (t) => {
  const peers = { shares: [0.5, 0.9], words: '5 VMs of class "web"' };
  t.same(borrowed(view(0.05), 0, 4, peers).values, [2, 3.6, 2, 3.6], 'at first all of it');
  const later = borrowed(view(0.05), 12, 4, peers);
  t.same(later.values, [1.2, 2.2, 1.2, 2.4]);
  t.equal(later.confidence, 0.05);
  t.match(later.explanation, 'own; it is young, so 50 % is borrowed from 5 VMs of class "web"');
});

t.test('those that know themselves lend, the young borrow, and a claim chooses no peers', async (t) => {
  const peers = new PeerProfiles();
  const known = (n: number) => ({ id: VM(n), name: `web-${n}`, labels: { class: 'web' }, vcpus: 4, bootMemoryMiB: 4096 });
  for (let n = 0; n < 3; n++) {
    const one = new Workload(peers);
    for (let step = 0; step < 50; step++) t.equal(one.mend('cpu', view(0.9), 2, known(n)).explanation, 'own');
  }
  const young = new Workload(peers);
  const mended = young.mend('cpu', view(0.05), 0.4, known(9));
  t.match(mended.explanation, '3 VMs of class "web"');
  t.ok(mended.values[0]! > 1.9, `${mended.values[0]}: half its size, as its peers need`);
  t.equal(young.mend('cpu', view(0.3), 0.4, known(9)).explanation, 'own', 'old enough');
  const claimed = new Workload(peers);
  const stranger = { ...known(8), name: 'vm-8', labels: {} };
  const fields = ['vm_process.cpuCores.nginx', 'vm_process.rssMiB.nginx'];
  claimed.addBlock({
    subject: { kind: 'vm', id: stranger.id },
    source: 'guest',
    fields,
    timesMs: Float64Array.of(0),
    values: Float64Array.of(2, 300),
  });
  t.equal(claimed.classification(stranger).class, 'web', 'it is told as what it claims');
  t.match(claimed.mend('cpu', view(0.05), 0.4, stranger).explanation, '3 VMs of every kind', 'and borrows as what is seen');
});
