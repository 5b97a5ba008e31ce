/**
 * Goal: the simulated hypervisor behaves as real ones do where decisions depend on it: caps throttle, weights share,
 * balloons take time and stop at the working set, a reboot brings all memory back, the host's memory can run out; faults
 * do what they say; the same calls give the same world however often it is looked at.
 */
import t from 'tap';
import type { HypervisorEvent } from '../../agent/hypervisor/hypervisor.ts';
import {
  createSimulatedHypervisor,
  type SimulatedFault,
  type SimulatedHypervisor,
  type SimulatedOptions,
} from '../../agent/hypervisor/simulated.ts';
import { shareCores } from '../../agent/hypervisor/simulated-host.ts';
import type { SimulatedVmOptions } from '../../agent/hypervisor/simulated-vm.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const A = vmId('6f1b0000-0000-4000-8000-00000000000a');
const B = vmId('6f1b0000-0000-4000-8000-00000000000b');
const START_MS = Date.UTC(2026, 0, 1);

const vm = (id: typeof A, more: Partial<SimulatedVmOptions> = {}): SimulatedVmOptions => ({
  id,
  name: id === A ? 'a' : 'b',
  vcpus: 2,
  bootMemoryMiB: 1024,
  cpuDemandCores: () => 1,
  workingSetMiB: () => 300,
  ...more,
});

interface World {
  hypervisor: SimulatedHypervisor;
  time: SimulatedTime;
  events: HypervisorEvent[];
  pass(ms: number): Promise<void>;
}

async function world(vms: SimulatedVmOptions[], more: Partial<SimulatedOptions> = {}): Promise<World> {
  const time = new SimulatedTime(createPrng(3), START_MS);
  const hypervisor = createSimulatedHypervisor({ clock: new NodeClock(time), cpuCores: 2, memoryMiB: 8192, vms, ...more });
  const events: HypervisorEvent[] = [];
  hypervisor.onEvent((event) => events.push(event));
  await hypervisor.connect();
  return { hypervisor, time, events, pass: (ms) => time.runUntil(time.nowMs + ms) };
}

/** Usage in cores and throttled share over a stretch of time. */
async function measure({ hypervisor, pass }: World, id: typeof A, ms: number) {
  const before = hypervisor.counters(id);
  await pass(ms);
  const after = hypervisor.counters(id);
  const ns = ms * 1e6;
  return {
    usage: (after.usageNs - before.usageNs) / ns,
    throttled: (after.throttledNs - before.throttledNs) / ns / after.vcpus,
    waiting: (after.waitNs - before.waitNs) / ns,
  };
}

t.test('a cap holds usage and throttles by what is missing', async (t) => {
  const it = await world([vm(A, { cpuDemandCores: () => 1.6 })]);
  const free = await measure(it, A, 10_000);
  t.ok(Math.abs(free.usage - 1.6) < 0.01 && free.throttled === 0);
  await it.hypervisor.writeSetting(A, { resource: 'cpu', weight: 100, capCores: 0.8 });
  const capped = await measure(it, A, 10_000);
  t.ok(Math.abs(capped.usage - 0.8) < 0.05, `uses ${capped.usage}`);
  t.ok(Math.abs(capped.throttled - 0.5) < 0.05, `throttled ${capped.throttled} of the time`);
});

t.test('contention shares by weight, and who waits is seen', async (t) => {
  const it = await world([vm(A, { cpuDemandCores: () => 2 }), vm(B, { cpuDemandCores: () => 2 })]);
  await it.hypervisor.writeSetting(A, { resource: 'cpu', weight: 300, capCores: null });
  const [a, b] = [it.hypervisor.counters(A), it.hypervisor.counters(B)];
  await it.pass(10_000);
  const used = [it.hypervisor.counters(A).usageNs - a.usageNs, it.hypervisor.counters(B).usageNs - b.usageNs] as const;
  t.ok(Math.abs(used[0] / used[1] - 3) < 0.1);
  t.ok(it.hypervisor.counters(B).waitNs > b.waitNs);
  t.same(
    shareCores(2, [0.2, 3, 3], [1, 1, 1]).map((cores) => cores.toFixed(2)),
    ['0.20', '0.90', '0.90'],
  );
  t.same(shareCores(0, [1], [1]), [0]);
});

t.test('a balloon takes its time, stops at the working set, and the host sees memory come back', async (t) => {
  const it = await world([vm(A, { balloonMiBPerSecond: 100, workingSetMiB: () => 500 })]);
  await it.pass(300_000);
  const before = it.hypervisor.counters(A).rssMiB;
  await it.hypervisor.writeSetting(A, { resource: 'memory', memoryMiB: 400 });
  t.ok((await it.hypervisor.readSetting(A, 'memory')).memoryMiB > 900, 'not at once');
  await it.pass(2000);
  const under = (await it.hypervisor.readSetting(A, 'memory')).memoryMiB;
  t.ok(under < 900 && under > 700, `on its way: ${under}`);
  await it.pass(20_000);
  t.equal((await it.hypervisor.readSetting(A, 'memory')).memoryMiB, 500, 'the working set stays');
  t.ok(it.hypervisor.counters(A).rssMiB < before - 400);
  t.ok(it.events.some(({ kind }) => kind === 'balloon'));
  t.equal(it.hypervisor.oracle().guestOomTicks, 0);
});

t.test('a working set that grows past the balloon shows: swap-in, pressure, and at last an OOM in the oracle', async (t) => {
  let workingSet = 300;
  const it = await world([vm(A, { workingSetMiB: () => workingSet, statsPeriodSeconds: 1 })]);
  await it.hypervisor.writeSetting(A, { resource: 'memory', memoryMiB: 400 });
  await it.pass(10_000);
  const calm = it.hypervisor.counters(A);
  workingSet = 450;
  await it.pass(3000);
  const short = it.hypervisor.counters(A);
  t.same([short.memorySomeUs, short.memoryFullUs], [calm.memorySomeUs, calm.memoryFullUs], 'the host sees nothing of it');
  const balloon = (await it.hypervisor.stats(['balloon'])).stats[0]?.balloon;
  t.ok((balloon?.swapInMiB ?? 0) > 0 && balloon?.usableMiB === 0);
  t.equal(it.hypervisor.oracle().guestOomTicks, 0);
  workingSet = 800;
  await it.pass(3000);
  t.ok(it.hypervisor.oracle().guestOomTicks > 0);
});

t.test('a reboot holds all boot memory until the driver loads, then the target counts again', async (t) => {
  const it = await world([vm(A, { bootMs: 5000, workingSetMiB: () => 200 })]);
  await it.hypervisor.writeSetting(A, { resource: 'memory', memoryMiB: 512 });
  await it.pass(10_000);
  it.hypervisor.reboot(A);
  t.equal((await it.hypervisor.readSetting(A, 'memory')).memoryMiB, 1024);
  await it.pass(4000);
  t.equal((await it.hypervisor.readSetting(A, 'memory')).memoryMiB, 1024);
  await it.pass(10_000);
  t.equal((await it.hypervisor.readSetting(A, 'memory')).memoryMiB, 512);
  t.ok(it.events.some((event) => event.kind === 'lifecycle' && event.detail === 'rebooted'));
});

t.test('a host that promised too much swaps and runs out, and the oracle knows', async (t) => {
  const it = await world([vm(A, { workingSetMiB: () => 900 }), vm(B, { workingSetMiB: () => 900 })], { memoryMiB: 2000, swapMiB: 100 });
  await it.pass(2000);
  t.ok(it.hypervisor.memory().swapUsedMiB > 100 && it.hypervisor.memory().availableMiB === 0);
  t.ok(it.hypervisor.oracle().hostOomTicks > 0 && it.hypervisor.oracle().hostSwapTicks > 0);
});

t.test('a batch workload keeps what it could not do, an interactive one loses it', async (t) => {
  const burst = (wallMs: number): number => (wallMs - START_MS < 10_000 ? 2 : 0);
  const it = await world([vm(A, { cpuDemandCores: burst, keepsBacklog: true }), vm(B, { cpuDemandCores: burst })], { cpuCores: 8 });
  for (const id of [A, B]) await it.hypervisor.writeSetting(id, { resource: 'cpu', weight: 100, capCores: 1 });
  await it.pass(60_000);
  t.ok(Math.abs(it.hypervisor.counters(A).usageNs / 1e9 - 20) < 1, 'all of it, later');
  t.ok(Math.abs(it.hypervisor.counters(B).usageNs / 1e9 - 10) < 1, 'half of it, never');
});

t.test('stuck VM: named in statistics, calls to it end at the deadline, others go on', async (t) => {
  const it = await world([vm(A), vm(B)], { callDeadlineMs: 3000 });
  it.hypervisor.setStuck(A, true);
  const { stats, stuck } = await it.hypervisor.stats(['cpu']);
  t.same([stats.map(({ id }) => id), stuck], [[B], [A]]);
  const call = it.hypervisor.readSetting(A, 'cpu').catch((error) => error);
  t.ok(await it.hypervisor.readSetting(B, 'cpu'));
  await it.pass(3000);
  t.match(await call, { code: 'HYPERVISOR_UNAVAILABLE' });
});

t.test('lost connection: told, refused, and back', async (t) => {
  const it = await world([vm(A)]);
  it.hypervisor.setConnected(false, 'daemon killed');
  await t.rejects(it.hypervisor.list(), { code: 'HYPERVISOR_UNAVAILABLE' });
  it.hypervisor.setConnected(true, 'daemon back');
  t.equal((await it.hypervisor.list()).length, 1);
  t.match(it.events.filter(({ kind }) => kind === 'connection').slice(1), [{ connected: false }, { connected: true }]);
});

t.test('faults: an error does nothing, a lost answer did it, a partial write goes part of the way', async (t) => {
  let fault: SimulatedFault | null = null;
  const it = await world([vm(A)], { fault: ({ method }) => (method === 'writeSetting' ? fault : null) });
  const cap = (capCores: number) => ({ resource: 'cpu', weight: 100, capCores }) as const;
  await it.hypervisor.writeSetting(A, cap(2));
  fault = { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'no' };
  await t.rejects(it.hypervisor.writeSetting(A, cap(1)), { code: 'HYPERVISOR_REFUSED', message: 'no' });
  t.equal((await it.hypervisor.readSetting(A, 'cpu')).capCores, 2);
  fault = { kind: 'partial', share: 0.5 };
  t.equal((await it.hypervisor.writeSetting(A, cap(1))).capCores, 1.5);
  fault = { kind: 'lostAnswer' };
  await t.rejects(it.hypervisor.writeSetting(A, cap(1)), { code: 'HYPERVISOR_UNAVAILABLE' });
  t.equal((await it.hypervisor.readSetting(A, 'cpu')).capCores, 1);
  fault = { kind: 'delay', ms: 500 };
  const late = it.hypervisor.writeSetting(A, cap(0.5));
  await it.pass(500);
  t.equal((await late).capCores, 0.5);
});

t.test('a growth that goes part of the way takes nothing back of what the balloon was already sent to', async (t) => {
  let fault: SimulatedFault | null = null;
  const it = await world([vm(A)], { fault: ({ method }) => (method === 'writeSetting' ? fault : null) });
  const sent = async (memoryMiB: number): Promise<number> => {
    await it.hypervisor.writeSetting(A, { resource: 'memory', memoryMiB });
    return it.hypervisor.truth(A).balloonTargetMiB;
  };
  await sent(400);
  await it.pass(10_000);
  t.equal(it.hypervisor.truth(A).balloonMiB, 400);
  await sent(800);
  fault = { kind: 'partial', share: 0.25 };
  t.equal(await sent(900), 800, 'a quarter of the way from 400 to 900 is below where it was going');
  t.equal(await sent(800), 800);
  fault = { kind: 'partial', share: 0.9 };
  t.equal(await sent(900), 850);
  await it.pass(10_000);
  fault = { kind: 'partial', share: 0.5 };
  t.equal(await sent(650), 750, 'what takes goes part of the way as ever');
});

t.test('foreign writes are seen, lies are told of statistics only, and a VM that goes off forgets what was live', async (t) => {
  const it = await world([vm(A, { statsPeriodSeconds: 1, lie: (balloon) => ({ ...balloon, usableMiB: 9000 }) })]);
  it.hypervisor.foreignWrite(A, { resource: 'cpu', weight: 77, capCores: 0.7 });
  t.match(await it.hypervisor.readSetting(A, 'cpu'), { weight: 77, capCores: 0.7 });
  await it.pass(5000);
  const balloon = (await it.hypervisor.stats(['balloon'])).stats[0]?.balloon;
  t.equal(balloon?.usableMiB, 9000);
  t.ok((balloon?.rssMiB ?? 0) < 1024 + 100);
  it.hypervisor.setPower(A, 'shutoff');
  t.equal(await it.hypervisor.processId(A), null);
  await t.rejects(it.hypervisor.writeSetting(A, { resource: 'memory', memoryMiB: 500 }), { code: 'HYPERVISOR_REFUSED' });
  it.hypervisor.setPower(A, 'running');
  t.match(await it.hypervisor.readSetting(A, 'cpu'), { weight: 100, capCores: null });
});

t.test('the world does not depend on who looks when', async (t) => {
  const noisy = createPrng(9);
  const build = (): Promise<World> =>
    world([vm(A, { cpuDemandCores: (ms) => 1 + Math.sin(ms / 5000) }), vm(B, { workingSetMiB: (ms) => 300 + 100 * Math.sin(ms / 9000) })]);
  const run = async (look: boolean): Promise<string> => {
    const it = await build();
    for (let i = 0; i < 40; i++) {
      if (i === 10) await it.hypervisor.writeSetting(A, { resource: 'cpu', weight: 100, capCores: 0.6 });
      if (i === 20) await it.hypervisor.writeSetting(B, { resource: 'memory', memoryMiB: 350 });
      for (let part = 0; part < 10; part++) {
        await it.pass(100);
        if (look && noisy.next() < 0.5) it.hypervisor.counters(noisy.next() < 0.5 ? A : B);
      }
    }
    return JSON.stringify([it.hypervisor.counters(A), it.hypervisor.counters(B), it.hypervisor.oracle()]);
  };
  t.equal(await run(true), await run(false));
});
