/**
 * Goal: taking memory from a guest is done in steps the guest can survive: what it told is read right while its balloon moves,
 * no step takes more than half of what it has to spare, each waits for its word, and the fast guard turns an inflation round
 * while its command still waits for the balloon.
 */
import t from 'tap';
import { foreseenMiB, nextStepMiB } from '../../agent/core/inflation.ts';
import { memoryRefusal, type VouchedMemory } from '../../agent/core/memory-guard.ts';
import { createMemoryTrend } from '../../agent/core/memory-trend.ts';
import { A, type AgentWorld, agentWorld, calmVm } from '../support/agent-world.ts';
import { told } from '../support/told.ts';

const KERNEL_MIB = 40;

t.test('what a guest uses is read from one message, wherever its balloon is by then', (t) => {
  const trend = createMemoryTrend();
  // [told at s, balloon now, MemTotal told, MemAvailable told]: a guest that uses 60 MiB of its own, then 8 MiB more a second.
  const readings: [number, number, number, number, number, number][] = [
    [100, 320, 280, 220, 100, 0],
    [101, 320, 280, 220, 100, 0],
    [102, 320, 280, 220, 100, 0],
    // The balloon took 80 MiB already; the message is from before.
    [102, 240, 280, 220, 100, 0],
    [103, 240, 200, 132, 108, 4],
    [104, 240, 200, 124, 116, 8],
    [105, 240, 200, 116, 124, 8],
    // It gives back 20 and grows no more.
    [106, 260, 220, 136, 124, 4],
    [107, 260, 220, 136, 124, 0],
    [108, 260, 220, 146, 114, 0],
  ];
  for (const [at, sizeMiB, totalMiB, availableMiB, workingSetMiB, growthMiBPerSecond] of readings) {
    const seen = trend({ toldAtSeconds: at, sizeMiB, totalMiB, availableMiB });
    t.match(seen, { workingSetMiB, growthMiBPerSecond }, `at ${at} s with ${sizeMiB} MiB: ${JSON.stringify(seen)}`);
  }
  t.equal(readings[0]![1] - readings[0]![2], KERNEL_MIB);
  const unknown = createMemoryTrend()({ toldAtSeconds: Number.NaN, sizeMiB: 320, totalMiB: Number.NaN, availableMiB: Number.NaN });
  t.ok(Number.isNaN(unknown.workingSetMiB) && !unknown.newer, 'what was not told is unknown');
  t.end();
});

const memoryOf = (balloonMiB: number, workingSetMiB: number, growthMiBPerSecond = 0): VouchedMemory => ({
  ...{ targetMiB: balloonMiB, fromMiB: null, balloonMiB, rssMiB: null, pressure: false },
  ...{ ...told(balloonMiB - workingSetMiB, workingSetMiB), growthMiBPerSecond },
});

t.test('steps', (t) => {
  t.equal(nextStepMiB(120, memoryOf(320, 100)), 210, 'half of what is to spare');
  t.equal(nextStepMiB(200, memoryOf(320, 100)), 200, 'a small rest goes along');
  t.equal(nextStepMiB(100, memoryOf(320, 300)), 304, 'no smaller than is worth a write');
  t.equal(nextStepMiB(120, memoryOf(320, 100, 20)), 260, 'a guest that grows has less to spare');
  t.equal(foreseenMiB(memoryOf(200, 150, 8), 0), 200 - 150 - 8 - 40, 'since it told, and until the host has reacted');
  t.equal(foreseenMiB(memoryOf(200, 150), 30), 20, 'what the host saw it touch counts');
  t.equal(foreseenMiB({ ...memoryOf(200, 150), targetMiB: 180 }, 0), 30, 'where its balloon goes, not where it is');
  const host = { usableMiB: 4096, exposureMiB: 1024, freeMiB: 2048 };
  t.equal(memoryRefusal(120, memoryOf(200, 100), host), null);
  t.match(memoryRefusal(120, memoryOf(200, 100, 8), host), /grows by 8.0 MiB a second/);
  t.end();
});

const MINUTE = 60;
const PROD = { balloonStatsMs: 10_000, statsMs: 10_000 };
const guarded = (world: AgentWorld): void =>
  world.lease({ leaseMs: 3_600_000, reserveMiB: 400, allowances: [{ vm: A, cpuCeilingCores: 2, memoryCeilingMiB: 1024 }] });
const targets = (world: AgentWorld): number[] => world.writes.flatMap((write) => (write.resource === 'memory' ? [write.memoryMiB] : []));

t.test('a calm guest is taken to the target, step by step, by one command', async (t) => {
  const world = await agentWorld([calmVm(A)], PROD);
  await world.run(3 * MINUTE);
  guarded(world);
  const command = world.command({ target: { resource: 'memory', memoryMiB: 400 }, floor: 64 });
  await world.run(10);
  t.match(world.result(command), { outcome: 'applied', reason: '' });
  const steps = targets(world);
  t.ok(steps.length >= 3 && steps.at(-1) === 400, steps.join());
  for (const [i, to] of steps.slice(0, -1).entries()) {
    const from = steps[i - 1] ?? 1024;
    t.ok(from - to <= (from - 300) / 2 + 1, `${from} → ${to}: no more than half of what it had to spare`);
  }
  t.equal(world.hypervisor.truth(A).statsPeriodSeconds, 1, 'asked to tell every second meanwhile');
  await world.run(MINUTE);
  t.equal(world.hypervisor.truth(A).statsPeriodSeconds, 2, 'and as before afterwards');
  await world.stop();
});

t.test('the steps end when another instruction waits, and at the kill switch', async (t) => {
  const world = await agentWorld([calmVm(A)], PROD);
  await world.run(3 * MINUTE);
  guarded(world);
  const memory = world.command({ target: { resource: 'memory', memoryMiB: 400 }, floor: 64 });
  const cpu = world.command({ target: { resource: 'cpu', weight: 100, capCores: 1 }, floor: 0.1 });
  await world.run(5);
  t.match(world.result(memory), { outcome: 'applied', reason: /part of the way, 662 MiB: another instruction/ });
  t.match(world.result(cpu), { outcome: 'applied' });
  t.same(targets(world), [662]);
  world.send({ type: 'kill-switch', vm: null, engaged: true, reason: 'stop' });
  await world.run(MINUTE);
  t.same(targets(world), [662]);
  await world.stop();
});

t.test('a guest that grows while its balloon inflates is turned round at once, and nothing of it is killed', async (t) => {
  for (const [mibPerSecond, settings] of [
    [10, PROD],
    [25, PROD],
    [10, {}],
  ] as const) {
    let fromMs = Number.POSITIVE_INFINITY;
    const workingSetMiB = (wallMs: number): number => 300 + Math.max(0, Math.min(400, ((wallMs - fromMs) / 1000) * mibPerSecond));
    const world = await agentWorld([calmVm(A, { workingSetMiB, balloonMiBPerSecond: 40 })], { ...settings, balloonSettleMs: 20_000 });
    await world.run(3 * MINUTE);
    guarded(world);
    const command = world.command({ target: { resource: 'memory', memoryMiB: 330 }, floor: 64 });
    fromMs = world.time.wallMs + 2000;
    let shortMs = 0;
    let leastMiB = 1024;
    for (let tick = 0; tick < 240; tick++) {
      await world.run(0.25);
      const { balloonMiB, workingSetMiB: used } = world.hypervisor.truth(A);
      leastMiB = Math.min(leastMiB, balloonMiB);
      if (balloonMiB < used) shortMs += 250;
    }
    const steps = targets(world);
    t.equal(shortMs, 0, `${mibPerSecond} MiB/s: never short; the balloon was at ${leastMiB.toFixed(0)} MiB, sent to ${steps.join()}`);
    t.ok(steps.at(-1)! > 700, `turned round: ${steps.join()}`);
    t.equal(world.result(command)?.outcome, 'applied');
    t.ok(world.of('event').some(({ kind }) => kind === 'guard-deflated'));
    await world.stop();
  }
});

t.test('somebody else sets the size in the middle of it: no step follows, and the size is theirs', async (t) => {
  // Between two steps, and while the balloon is still on its way.
  for (const afterSeconds of [1.5, 2.25, 0.5]) {
    const world = await agentWorld([calmVm(A, { balloonMiBPerSecond: 400 })], PROD);
    await world.run(3 * MINUTE);
    guarded(world);
    world.command({ target: { resource: 'memory', memoryMiB: 400 }, floor: 64 });
    await world.run(afterSeconds);
    const before = targets(world);
    world.hypervisor.foreignWrite(A, { resource: 'memory', memoryMiB: 900 });
    await world.run(2 * MINUTE);
    const later = world.command({ target: { resource: 'memory', memoryMiB: 400 }, floor: 64 });
    await world.run(10);
    t.same(targets(world), before, `after ${afterSeconds} s: nothing was written after theirs`);
    t.ok(
      world.of('event').some(({ kind }) => kind === 'foreign-writer'),
      'told',
    );
    t.match(world.result(later), { outcome: 'refused', reason: /hands off/ });
    t.equal(Math.round(world.hypervisor.truth(A).balloonMiB), 900);
    await world.stop();
  }
});
