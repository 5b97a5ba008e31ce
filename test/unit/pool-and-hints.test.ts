/**
 * Goal: a VM sees what it has, and what it says it will need is heard as a claim. The file is always whole; a hint raises what
 * is needed to the guaranteed share, never lowers anything, and ends; a guest speaks for itself alone, at a bounded pace; and
 * ends of the wire that know neither frame never get one.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseHint } from '../../agent/core/hint.ts';
import { GUEST_BUFFER_LIMITS, HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { leaveHint, openGuestFiles } from '../../agent/guest-files.ts';
import { createGuestLink } from '../../agent/loops/guest-link.ts';
import { createGuestRelay } from '../../agent/loops/guest-relay.ts';
import { poolOf } from '../../aggregator/core/notify/pool.ts';
import type { VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { Hints } from '../../aggregator/core/state/hints.ts';
import { Pools } from '../../aggregator/service/pools.ts';
import { systemClock } from '../../shared/clock.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { type FrameOf, GUEST_FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { AUTO_POLICY, demandOf, forecastOf, NOW_MS, policyOf, STEP_MS, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';
import { helloFrame, until } from '../support/wire-world.ts';

const cpuStep = (vm: VmSnapshot, policy = policyOf()) =>
  plan(snapshotOf([vm]), policy, { epoch: 1 }, createPrng(1)).plan.steps.find(({ resource }) => resource === 'cpu');
const capOf = (vm: VmSnapshot, policy = policyOf()) => {
  const to = cpuStep(vm, policy)?.to;
  return to?.resource === 'cpu' ? to.capCores : null;
};
const steady = (over: Partial<VmSnapshot> = {}): VmSnapshot =>
  vmOf(1, { demand: { ...vmOf(1).demand, cpu: demandOf(0.85, forecastOf([0.85, 0.85, 0.85, 0.85, 0.85, 0.85])) }, ...over });
const hint = (amount: number, fromMs = NOW_MS, untilMs = NOW_MS + 60_000) => ({ resource: 'cpu' as const, amount, fromMs, untilMs });

t.test('a hint raises what is needed within the lead, to the guaranteed share at most', async (t) => {
  t.equal(cpuStep(steady()), undefined, 'nothing to change without it');
  t.match(cpuStep(steady({ hints: [hint(1.6)] })), {
    to: { capCores: 1.6 },
    constraint: 'claimed',
    reason: /because the guest expects to need 1\.60 cores \(its own word\)/,
  });
  t.equal(capOf(steady({ hints: [hint(64)] })), 2, 'the ceiling holds');
  const half = policyOf(AUTO_POLICY.replace('cpu: {mode: auto,', 'cpu: {mode: auto, guaranteedFraction: 0.7,'));
  t.equal(capOf(steady({ hints: [hint(64)] }), half), 1.4, 'and the guaranteed share');
  t.equal(capOf(steady({ hints: [hint(1.6, NOW_MS + 15_000)] })), 1.6, 'the lead is 15 s');
  t.equal(capOf(steady({ hints: [hint(1.6, NOW_MS + 60_000)] })), null, 'not yet');
  t.equal(capOf(steady({ hints: [hint(1.6, NOW_MS - 9000, NOW_MS)] })), null, 'no longer');
});

t.test('a hint never lowers a forecast, holds a shrink back while it lasts, and makes nothing known', async (t) => {
  const rising = steady({ demand: { ...vmOf(1).demand, cpu: demandOf(0.9, forecastOf([1.5, 1.5, 1.5, 1.5, 1.5, 1.5])) } });
  t.same(cpuStep({ ...rising, hints: [hint(0.1)] }), cpuStep(rising));
  const idle = steady({ demand: { ...vmOf(1).demand, cpu: demandOf(0.5, forecastOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])) } });
  t.equal(cpuStep(idle)?.direction, 'shrink');
  t.equal(cpuStep({ ...idle, hints: [hint(0.98, NOW_MS + 20_000)] }), undefined, 'it will be wanted before the shrink has paid');
  const unknown = steady({ demand: { ...vmOf(1).demand, cpu: demandOf(null, null) }, hints: [hint(2)] });
  t.equal(cpuStep(unknown), undefined);
});

t.test('hints: bounded, known by their id, forgotten', async (t) => {
  const hints = new Hints();
  for (let i = 0; i < 20; i++) hints.add(`h${i}`, hint(i));
  hints.add('h19', hint(99));
  t.same(
    hints.live(NOW_MS).map(({ amount }) => amount),
    [12, 13, 14, 15, 16, 17, 18, 19],
  );
  t.same(hints.live(NOW_MS + 60_000), []);
});

t.test('words of a hint', async (t) => {
  t.same(parseHint(['cpu=4', 'in=10m']), { resource: 'cpu', amount: 4, inMs: 600_000, forMs: 1_800_000 });
  t.same(parseHint(['for=1.5h', 'memory=2048']), { resource: 'memory', amount: 2048, inMs: 0, forMs: 5_400_000 });
  for (const bad of [
    '',
    'cpu=',
    'cpu=-1',
    'cpu=4 memory=1',
    'cpu=4 in=10',
    'cpu=4 in=2d',
    'cpu=4 in=30h',
    'disk=4',
    'cpu=4 cpu=5',
    'cpu=1e99',
    'cpu=4 x',
  ])
    t.throws(() => parseHint(bad.split(' ')), { code: 'USAGE' }, bad);
});

t.test('files: resources.json is replaced as a whole; each hint is taken once; rubbish is cleared away', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-guest-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const files = openGuestFiles(join(directory, 'run'));
  t.same(files.takeHints(), []);
  for (const n of [1, 2]) files.writePool({ atMs: n, resources: [] });
  t.same(readdirSync(join(directory, 'run')), ['resources.json']);
  t.equal(JSON.parse(readFileSync(join(directory, 'run/resources.json'), 'utf8')).atMs, 2);
  leaveHint(join(directory, 'run'), ['cpu=4', 'in=10m'], 'a');
  t.throws(() => leaveHint(join(directory, 'run'), ['cpu=four'], 'b'), { code: 'USAGE' });
  writeFileSync(join(directory, 'run/hints/evil.hint'), 'x'.repeat(100_000));
  t.match(files.takeHints(), [{ resource: 'cpu', amount: 4 }]);
  t.same(files.takeHints(), []);
  t.same(readdirSync(join(directory, 'run/hints')), []);
});

t.test('the pool: guaranteed, granted, borrowed, expected; nothing of what is switched off or unknown', async (t) => {
  const vm = vmOf(1, {
    baseline: { cpu: { resource: 'cpu', weight: 100, capCores: 0.6 }, memory: { resource: 'memory', memoryMiB: 1024 } },
    demand: { ...vmOf(1).demand, cpu: demandOf(0.9, forecastOf([0.9, 0.9, 1.4, 1.4, 1.4, 0.5])) },
  });
  const policy = policyOf(AUTO_POLICY.replace('cpu: {mode: auto,', 'cpu: {mode: auto, ceiling: 2, oversubscribedFraction: 0.6,'));
  const [cpu, memory, ...others] = poolOf(vm, policy);
  t.same(others, [], 'network and disk have no limit and no ceiling');
  t.match(cpu, { resource: 'cpu', unit: 'cores', guaranteed: 0.8, granted: 1, borrowed: 0.4 });
  t.same(cpu?.expected, [
    { atMs: NOW_MS + 2 * STEP_MS, amount: 1.54 },
    { atMs: NOW_MS + 5 * STEP_MS, amount: 0.8 },
  ]);
  t.match(memory, { granted: 800, borrowed: 0 });
  t.same(poolOf(vm, policyOf('version: 1\n'))[0]?.expected, [], 'what is only observed is not expected to change');
});

t.test('pools are sent when they change, and again now and then; never to those who cannot take them', async (t) => {
  const sent: FrameOf<'pool'>[] = [];
  const able = new Set([testVmId(1)]);
  const pools = new Pools({ send: (_host, frame) => sent.push(frame) > 0, takes: (_host, vm) => able.has(vm) });
  const at = (ms: number, over: Partial<VmSnapshot> = {}) => ({ ...snapshotOf([vmOf(1, over), vmOf(2)]), nowMs: NOW_MS + ms });
  pools.tell(at(0), policyOf());
  pools.tell(at(5000), policyOf());
  t.equal(sent.length, 1);
  pools.tell(at(10_000, { current: { cpu: { resource: 'cpu', weight: 100, capCores: 1.5 } } }), policyOf());
  t.match(sent[1], { vm: testVmId(1), atMs: NOW_MS + 10_000, entries: [{ resource: 'cpu', granted: 1.5 }] });
  pools.tell(at(80_000, { current: { cpu: { resource: 'cpu', weight: 100, capCores: 1.5 } } }), policyOf());
  t.equal(sent.length, 3, 'after a minute all are told again');
});

function channel(t: { teardown(end: () => unknown): void }, vm: string) {
  const clock = systemClock;
  const heard: FrameOf<'hint'>[] = [];
  let net!: SimulatedNetwork;
  const relay = createGuestRelay({
    clock,
    buffer: new SampleBuffer(HOST_BUFFER_LIMITS),
    epoch: () => 1,
    openChannel: (each, onSession) => {
      net = createSimulatedNetwork({ clock, name: each.name, maxBytes: GUEST_FRAME_BYTES_MAX });
      net.onConnection(onSession);
      return { close: () => net.setPartitioned(true) };
    },
    onResult: () => undefined,
    passOn: (each) => each.type === 'hint' && heard.push(each),
  });
  relay.setChannels([{ vm: vm as never, name: 'vm', path: '/c/0' }]);
  const guest = (capabilities: string[]) => {
    const pools: FrameOf<'pool'>[] = [];
    const link = createGuestLink({
      connect: net.connect,
      clock,
      prng: createPrng(2),
      hello: () => helloFrame({ role: 'guest', host: null, vm, capabilities }),
      buffer: new SampleBuffer(GUEST_BUFFER_LIMITS),
      onGuestCommand: () => undefined,
      onPool: (pool) => pools.push(pool),
      relayed: true,
      flushMs: 10,
    });
    link.start();
    t.teardown(() => link.stop());
    return { link, pools };
  };
  t.teardown(() => relay.stop());
  return { relay, heard, guest };
}

const hintFrame = (vm: string, hintId: string): FrameOf<'hint'> => ({
  ...{ type: 'hint', hintId, vm, resource: 'cpu', amount: 4, inMs: 600_000, forMs: 1_800_000 },
});
const poolFrame = (vm: string): FrameOf<'pool'> => ({ type: 'pool', vm, atMs: NOW_MS, entries: poolOf(vmOf(1), policyOf()) });

t.test('over the wire: hints up under the own name and pace, pools down to agents that take them', async (t) => {
  const vm = testVmId(1);
  const { relay, heard, guest } = channel(t, vm);
  const { link, pools } = guest(['cpus-online', 'pool']);
  await until(() => link.understands('hint'), 'the welcome');
  link.send(hintFrame(vm, 'own'));
  link.send(hintFrame(testVmId(2), 'of another'));
  for (let i = 0; i < 30; i++) link.send(hintFrame(vm, `many-${i}`));
  t.equal(relay.sendPool(poolFrame(vm)), true);
  await until(() => pools.length === 1 && relay.metrics().relay_refused_hints_total! >= 20, 'the pool, and refusals');
  t.equal(heard.length, 8);
  t.ok(heard.every((each) => each.vm === vm));
  t.match(pools[0]?.entries[0], { resource: 'cpu', granted: 1 });
});

t.test('an agent of before is sent no pool', async (t) => {
  const vm = testVmId(1);
  const { relay, guest } = channel(t, vm);
  const { link } = guest(['cpus-online']);
  await until(() => link.connected, 'the welcome');
  t.equal(relay.sendPool(poolFrame(vm)), false);
  t.equal(link.connected, true);
});
