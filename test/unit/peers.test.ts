/** Goal: a VM that leaves its crowd is found once, when it has for a while; crowds that move together, and few VMs, are left alone. */
import t from 'tap';
import { VM_METRICS } from '../../aggregator/core/anomaly/incident.ts';
import { Peers } from '../../aggregator/core/anomaly/peers.ts';
import { VmWatch } from '../../aggregator/core/anomaly/vm-watch.ts';
import { WatchEngine } from '../../aggregator/core/anomaly/watch-engine.ts';
import { peerOutliers } from '../../aggregator/fit/peer-outliers.ts';
import { createPrng } from '../../shared/prng.ts';

const HOURS = 36;

function found(count: number, share: (n: number, step: number) => number, steps = 3 * HOURS): string[] {
  const peers = new Peers(peerOutliers);
  const random = createPrng(3, 'peers');
  const vms = Array.from({ length: count }, (_, n) => `vm-${n}`);
  const apart: string[] = [];
  for (let step = 0; step < steps; step++) {
    const due = vms.map((vm, n) => peers.note(vm, share(n, step) + 0.02 * random.next()));
    if (due.some(Boolean)) apart.push(...peers.look(vms));
  }
  return apart;
}

t.test('one of nine that leaves is found, once', async (t) => {
  t.same(
    found(9, (n, step) => (n === 4 && step >= 40 ? 0.9 : 0.3)),
    ['vm-4'],
  );
});

t.test('nobody: all move together; too few; a moment only', async (t) => {
  t.same(
    found(9, (_, step) => (step >= 40 ? 0.9 : 0.3)),
    [],
  );
  t.same(
    found(4, (n, step) => (n === 2 && step >= 40 ? 0.9 : 0.3)),
    [],
  );
  t.same(
    found(9, (n, step) => (n === 4 && step >= 42 && step < 45 ? 0.9 : 0.3)),
    [],
  );
});

t.test('standing apart adds evidence and is no incident alone; it fades', async (t) => {
  const watch = new VmWatch(new WatchEngine(VM_METRICS.length));
  const point = (i: number) => ({ timeMs: i * 300_000, values: { cpu: 1 } });
  for (let i = 0; i < 300; i++) watch.observe(point(i));
  watch.standsApart();
  const { weight, contributors } = watch.observe(point(300));
  t.ok(weight > 4 && weight < 8, String(weight));
  t.match(contributors[0]?.name, /unlike its peers/);
  for (let i = 301; i < 340; i++) watch.observe(point(i));
  t.ok(watch.observe(point(340)).weight < 0.2);
});

t.test('a metric that is no longer told while others are weighs enough for an incident', async (t) => {
  const watch = new VmWatch(new WatchEngine(VM_METRICS.length));
  const random = createPrng(5, 'missing');
  const values = () => ({ cpu: 1 + 0.1 * random.next(), memory: 500 + random.next() });
  for (let i = 0; i < 300; i++) watch.observe({ timeMs: i * 300_000, values: values() });
  let weight = 0;
  let name = '';
  for (let i = 300; i < 306; i++) {
    const weighed = watch.observe({ timeMs: i * 300_000, values: { cpu: values().cpu } });
    if (weighed.weight > weight) [weight, name] = [weighed.weight, weighed.contributors[0]?.name ?? ''];
  }
  t.ok(weight > 8, String(weight));
  t.equal(name, 'memory: missing points');
});
