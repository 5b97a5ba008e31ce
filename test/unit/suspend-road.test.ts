/**
 * Goal: an order to suspend or resume a VM goes from the aggregator to the host agent and is carried out once however often it comes,
 * refused where it should be, told to ledger and owner; and after the agent died at any moment what is done fits what is true.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { refusalOfSuspend, type SuspendAsked, type SuspendGround, type SuspendResult } from '../../agent/core/suspend-guard.ts';
import { remedyFor, type SuspendRecord } from '../../agent/core/suspend-record.ts';
import { createTouchModel } from '../../agent/core/touch-model.ts';
import type { VmSnapshotter } from '../../agent/hypervisor/snapshotter.ts';
import { signOfLife } from '../../agent/loops/sign-of-life.ts';
import { SuspendDesk } from '../../agent/loops/suspend-desk.ts';
import { Suspender } from '../../agent/loops/suspender.ts';
import type { SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { endDaemons } from '../../agent/snapshot/storage-daemon.ts';
import { clearUnused } from '../../agent/snapshot/unused-places.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { type SuspendOrder, SuspendOrders } from '../../aggregator/execute/suspend-orders.ts';
import { sleep } from '../../shared/clock.ts';
import { hostId, type VmId, vmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { SUSPEND_PHASES } from '../../shared/protocol/suspend-frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const VM = vmId('6f1b0000-0000-4000-8000-000000000001');
const HOST = hostId('host-1');
const MIB = 1024 * 1024;
const GROUND: SuspendGround = {
  ...{ epoch: 5, waitedMs: 0, killed: null, phase: null, freeMiB: 4096, heldMiB: 0 },
  vm: { running: true, persistent: true, passthrough: [], growOnly: false, jobActive: false },
};
const folder = mkdtempSync(join(tmpdir(), 'headroom-suspend-road-'));
t.teardown(() => rmSync(folder, { recursive: true }));

/** A hypervisor that saves by its own means only: what the quick way does is shown on real guests. */
function savingOnly(state: { power: 'running' | 'off'; saved: boolean; fails: string | null; calls: string[] }): VmSnapshotter {
  const never = (): Promise<never> => Promise.reject(new Error('not by this way'));
  return {
    inspect: async () => ({ recipe: 'managed-save', reason: 'its memory lies in no file' }),
    power: async () => state.power,
    cpuMs: async () => 0,
    hasSaved: async () => state.saved,
    definition: async () => '<domain/>',
    define: async () => undefined,
    undefine: async () => undefined,
    calmDown: async () => undefined,
    async save() {
      state.calls.push('save');
      if (state.fails !== null) throw new Error(state.fails);
      Object.assign(state, { power: 'off', saved: true });
    },
    async restore() {
      state.calls.push('restore');
      Object.assign(state, { power: 'running', saved: false });
    },
    async setClock() {
      state.calls.push('clock');
    },
    ...{ pause: never, goOn: never, deviceState: never, end: never, prepare: never, loadState: never, close: async () => undefined },
  };
}

function road(name: string) {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const state = { power: 'running' as 'running' | 'off', saved: false, fails: null as string | null, calls: [] as string[] };
  const ground = { ...GROUND };
  const told: string[] = [];
  const line = { up: true };
  const journal = openSuspendJournal(join(folder, name));
  const store = async (): Promise<SnapshotStore> => ({}) as SnapshotStore;
  const suspender = new Suspender({
    ...{ snapshotter: savingOnly(state), store, journal, clock, folder: join(folder, 'ram'), learnMs: 1000, aliveMs: 1000 },
    ...{ speaks: () => null, tell: (_vm, words) => void told.push(words), changed: () => undefined },
    ...{ adoptKey: async (tenant) => tenant, onTakenBack: () => undefined },
  });
  const work: Promise<void>[] = [];
  const frames: unknown[] = [];
  const desk: SuspendDesk = new SuspendDesk({
    ...{
      suspender,
      clock,
      log: createLogger(() => undefined, clock, 'info'),
      tenants: () => [],
      storedBytes: () => 0,
      tiers: () => null,
      lendAddress: () => null,
      chunks: async () => ({}),
      changed: () => undefined,
    },
    ground: async () => ground,
    about: () => ({ name: 'web-1', tenant: 'default' }),
    enqueue: (_vm, task) => work.push((work.at(-1) ?? Promise.resolve()).then(task)) > 0,
    send(frame) {
      frames.push(checkFrame(frame));
      if (frame.type === 'suspend-result' && line.up) orders.onResult(HOST, frame as SuspendResult);
    },
  });
  const orders: SuspendOrders = new SuspendOrders({
    ...{ clock, epochOf: () => 5, retryMs: 1000, silenceMs: 10_000 },
    send(_host, frame) {
      desk.receive(checkFrame(frame) as SuspendAsked);
      return true;
    },
  });
  const ended: string[] = [];
  const give = async (order: SuspendOrder, seconds = 3): Promise<string | undefined> => {
    orders.give(HOST, order, 'test', time.nowMs, ({ outcome, reason }) => void ended.push(`${outcome} ${reason}`));
    for (let i = 0; i < seconds; i++) {
      await Promise.all(work);
      await time.runUntil(time.nowMs + 1000);
    }
    return ended.at(-1);
  };
  return { state, ground, told, line, suspender, give, ended, frames, journal };
}

t.test('by the hypervisor, once, and back', async (t) => {
  const { state, give, suspender, frames, line, ground, ended } = road('by-hypervisor');
  line.up = false;
  const silent = give({ action: 'suspend', vm: VM }, 2);
  await silent;
  line.up = true;
  await give({ action: 'verify', vm: VM });
  const [answer, verified] = ended.toSorted();
  t.match(verified, /^failed there is no snapshot/, 'the hypervisor has it');
  t.match(answer, /^applied by the hypervisor's own saving: its memory lies in no file/, 'the answer was lost, and told again');
  t.same(state.calls, ['save'], 'saved once');
  t.equal(suspender.phase(VM), 'suspended');
  const list = frames.findLast((frame) => (frame as { type: string }).type === 'suspended');
  t.match(list, { vms: [{ vm: VM, name: 'web-1', phase: 'suspended', recipe: 'managed-save', snapshot: null }] });
  ground.phase = 'suspended';
  t.match(await give({ action: 'resume', vm: VM, roomMiB: 8192 }), /^refused it will need 8192 MiB, and this host has 4096 MiB/);
  t.match(await give({ action: 'resume', vm: VM, roomMiB: null }), /^applied/);
  t.same(state.calls, ['save', 'restore', 'clock'], 'and told the time');
  t.same(suspender.records(), []);
});

t.test('a save that fails leaves the VM as it was', async (t) => {
  const { state, give, suspender, journal } = road('fails');
  state.fails = 'no space left';
  t.match(await give({ action: 'suspend', vm: VM }), /^failed no space left/);
  t.equal(suspender.phase(VM), null);
  t.same(journal.load().records, []);
});

t.test('a release ends the prefetches before it and none after it, a deadline those that take longer', async (t) => {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const seen: string[] = [];
  const sent: (SuspendResult | FrameOf<'suspended'>)[] = [];
  let tookMs = 0;
  let work = Promise.resolve();
  const record: SuspendRecord = {
    ...{
      vm: VM,
      name: 'web-1',
      tenant: 'default',
      phase: 'suspended',
      recipe: 'memory-file',
      reason: '',
      snapshot: 'a'.repeat(64),
      older: [],
    },
    ...{
      sinceMs: 0,
      memoryBytes: MIB,
      filledBytes: MIB,
      ownMemory: null,
      file: null,
      touches: null,
      score: null,
      problems: [],
      lentTo: null,
      disks: [],
      from: null,
    },
  };
  const suspender = {
    recover: async () => undefined,
    records: () => [record],
    async prepare(_vm: VmId, _onProgress: unknown, cancelled: () => boolean) {
      await time.runUntil(time.nowMs + tookMs);
      seen.push(cancelled() ? 'cancelled' : 'whole');
      return { reason: '', measured: {} };
    },
    phase: () => record.phase,
    letGo: async () => void seen.push('let go'),
    lacking: () => [],
  } as unknown as Suspender;
  const desk = new SuspendDesk({
    ...{
      suspender,
      clock,
      log: createLogger(() => undefined, clock, 'info'),
      tenants: () => [],
      storedBytes: () => 0,
      tiers: () => null,
      lendAddress: () => null,
      chunks: async () => ({}),
    },
    ...{
      changed: () => undefined,
      ground: async () => ({ ...GROUND, phase: 'suspended' as const }),
      about: () => ({ name: 'web-1', tenant: 'default' }),
      send: (frame) => void sent.push(frame),
    },
    enqueue(_vm, task) {
      work = work.then(task);
      return true;
    },
  });
  t.teardown(() => desk.stop());
  const ask = (orderId: string, order: SuspendAsked['order'], epoch = 5): void =>
    desk.receive({ type: 'suspend', orderId, epoch, leaseMs: 1000, order });
  const prefetch = { action: 'prefetch', vm: VM, roomMiB: null, holdMs: 1000, bytesPerSecondMax: null } as const;
  ask('1', prefetch);
  ask('2', { action: 'release', vm: VM }, 4);
  ask('3', prefetch);
  await work;
  t.same(seen, ['cancelled', 'whole'], 'and one of an outdated aggregator, which is refused, leaves nothing behind');
  seen.length = 0;
  tookMs = 400;
  ask('4', { ...prefetch, deadlineMs: 500 });
  await work;
  t.same(seen, ['whole'], 'in time');
  ask('5', { ...prefetch, deadlineMs: 300 });
  await work;
  t.same(seen.slice(1), ['cancelled', 'let go'], 'what is not ready by its deadline is given up');
  seen.length = 0;
  record.lentTo = { host: 'kvm2', key: 'ab' };
  ask('6', prefetch);
  await work;
  t.same(seen, ['let go', 'whole'], 'what was lent and came to nothing is taken back first');
  t.match(
    sent.flatMap((frame) => (frame.type === 'suspend-result' ? [`${frame.orderId} ${frame.outcome} ${frame.reason}`] : [])),
    [/^1/, /^2 refused/, /^3 applied/, /^4 applied/, /^5 failed it was not ready within 0.3 s/, /^6 applied/],
  );
});

t.test(
  'of several prefetches of a host the most urgent gets the bytes; a resume waits neither for the others nor for a rate',
  async (t) => {
    const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
    const clock = new NodeClock(time);
    const fetched: string[] = [];
    const told: SuspendResult[] = [];
    const shares = new Set<string>();
    const vm = (digit: number): VmId => vmId(`6f1b0000-0000-4000-8000-00000000000${digit}`);
    const suspended: Omit<SuspendRecord, 'vm'> = {
      ...{ name: 'web', tenant: 'default', phase: 'suspended', recipe: 'memory-file', reason: '', snapshot: 'a'.repeat(64), older: [] },
      ...{ sinceMs: 0, memoryBytes: MIB, filledBytes: MIB, ownMemory: null, file: null, touches: null, score: null, problems: [] },
      ...{ lentTo: null, from: null, disks: [] },
    };
    const suspender = {
      recover: async () => undefined,
      records: () => [1, 2, 3, 4, 5].map((digit) => ({ ...suspended, vm: vm(digit) })),
      phase: () => 'suspended',
      /** Sixteen chunks of 64 KiB, each a tenth of a second. */
      async prepare(vm: VmId, onProgress: (done: number, total: number) => unknown, cancelled: () => boolean) {
        for (let done = 1; done <= 16 && !cancelled(); done++) {
          await sleep(clock, 100);
          fetched.push(vm.slice(-1));
          shares.add(`${vm.slice(-1)} ${desk.shareOf(vm)}`);
          await onProgress(done * 65_536, MIB);
        }
        return { reason: '', measured: {} };
      },
      async resume(vm: VmId) {
        fetched.push(`${vm.slice(-1)} is back`);
        return { reason: '', measured: {} };
      },
      letGo: async () => ({ reason: '', measured: {} }),
      lacking: () => [],
    } as unknown as Suspender;
    const queues = new Map<VmId | null, Promise<void>>();
    const desk = new SuspendDesk({
      ...{
        suspender,
        clock,
        log: createLogger(() => undefined, clock, 'info'),
        tenants: () => [],
        storedBytes: () => 0,
        tiers: () => null,
      },
      ...{ lendAddress: () => null, chunks: async () => ({}), changed: () => undefined, about: () => ({ name: 'web', tenant: 'default' }) },
      ground: async () => ({ ...GROUND, phase: 'suspended' as const }),
      send: (frame) => frame.type === 'suspend-result' && told.push(frame),
      enqueue: (vm, task) => queues.set(vm, (queues.get(vm) ?? Promise.resolve()).then(task)).size > 0,
    });
    t.teardown(() => desk.stop());
    const ask = (orderId: string, order: SuspendAsked['order']): void =>
      desk.receive(checkFrame({ type: 'suspend', orderId, epoch: 5, leaseMs: 60_000, order }) as SuspendAsked);
    const prefetch = (digit: number, more: object = {}): void =>
      ask(`p${digit}`, { action: 'prefetch', vm: vm(digit), holdMs: 60_000, bytesPerSecondMax: null, ...more });
    const count = (digit: number): number => fetched.filter((one) => one === `${digit}`).length;
    prefetch(1);
    await time.runUntil(time.nowMs + 450);
    prefetch(2, { priority: 200 });
    prefetch(3, { priority: 150, share: 0.6 });
    await time.runUntil(time.nowMs + 1000);
    t.ok(count(1) <= 5 && count(3) === 0 && count(2) >= 9, fetched.join());
    prefetch(1);
    ask('p3', { action: 'prefetch', vm: vm(3), holdMs: 1000, bytesPerSecondMax: null });
    t.same(
      told.slice(-2).map(({ orderId, outcome, ahead }) => ({ orderId, outcome, ahead })),
      [
        { orderId: 'p1', outcome: null, ahead: 2 },
        { orderId: 'p3', outcome: null, ahead: 1 },
      ],
      'asked again, each says how many go before it',
    );
    ask('r1', { action: 'resume', vm: vm(1), roomMiB: null });
    await time.runUntil(time.nowMs + 1300);
    t.ok(fetched.includes('1 is back'), 'though two of higher priority fetch');
    await time.runUntil(time.nowMs + 5000);
    t.same([count(2), count(3)], [16, 16]);
    t.ok(shares.has('3 0.6') && shares.has('2 1') && !shares.has('3 1'), [...shares].join());

    prefetch(4, { bytesPerSecondMax: 65_536, priority: 900 });
    prefetch(5);
    await time.runUntil(time.nowMs + 4050);
    t.ok(count(4) <= 5, `${count(4)} chunks in four seconds at one a second`);
    t.equal(count(5), 16, 'which nobody else waits for');
    ask('r4', { action: 'resume', vm: vm(4), roomMiB: null });
    await time.runUntil(time.nowMs + 1600);
    t.ok(fetched.includes('4 is back'), 'and whoever wants it does not, either');
  },
);

t.test('a suspended VM that others started since is never brought back onto its snapshot', async (t) => {
  const ownMemory = join(folder, 'web-1.ram');
  const left: SuspendRecord = {
    ...{ vm: VM, name: 'web-1', tenant: 'default', phase: 'suspended', recipe: 'memory-file', reason: '', snapshot: 'ab'.repeat(32) },
    ...{
      older: [],
      sinceMs: 0,
      memoryBytes: MIB,
      filledBytes: MIB,
      ownMemory,
      file: null,
      touches: null,
      score: null,
      problems: [],
      lentTo: null,
      disks: [],
      from: null,
    },
  };
  // Off again by now, while no agent looked, or while one did.
  for (const looked of [false, true]) {
    const { state, journal, suspender, told, give, ground } = road(`started-elsewhere-${looked}`);
    Object.assign(state, { power: 'off' });
    ground.phase = 'suspended';
    journal.load();
    journal.save(left);
    if (looked) t.same(await suspender.recover(), []);
    if (looked) t.equal(suspender.phase(VM), 'suspended', 'its memory is not there: nobody started it');
    writeFileSync(ownMemory, 'memory of a guest that ran');
    t.match(await give({ action: 'resume', vm: VM, roomMiB: null }), looked ? /started by somebody else/ : /not suspended on this host/);
    t.same(told, ['it was started by somebody else: its snapshot is out of date']);
    t.equal(suspender.phase(VM), null);
    t.same(journal.load().records, []);
    rmSync(ownMemory);
  }
});

t.test('a sign of life is waited for no longer than that, however long a look takes', async (t) => {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const beganMs = time.nowMs;
  const never = signOfLife(() => sleep(clock, 10_000).then(() => false), clock, 15_000);
  await time.runUntil(beganMs + 60_000);
  t.equal(await never, false);
  let looks = 0;
  const third = signOfLife(() => ++looks === 3, clock, 15_000);
  await time.runUntil(time.nowMs + 60_000);
  t.equal(await third, true);
  let late = 0;
  const slow = signOfLife(() => sleep(clock, 10_000).then(() => ++late > 2), clock, 15_000);
  await time.runUntil(time.nowMs + 60_000);
  t.equal(await slow, false);
  t.equal(late, 2, 'the deadline holds for looks as for waiting');
});

t.test('a process that cannot be ended is waited for no longer than that', async (t) => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const procfs = join(folder, 'proc');
  mkdirSync(join(procfs, String(child.pid)), { recursive: true });
  // As of one that hangs in the kernel: still there after it was killed.
  writeFileSync(join(procfs, String(child.pid), 'cmdline'), 'qemu-storage-daemon\0--export\0type=fuse,mountpoint=/run/x/memory,\0');
  await t.rejects(endDaemons('/run/x/memory', procfs, { termMs: 20, killMs: 20 }), { code: 'ENVIRONMENT', message: /does not end/ });
});

t.test('what shows memory to nobody is ended, and what a guest lives on is not', async (t) => {
  const places = join(folder, 'places');
  const pretend = (name: string, ...words: string[]) => {
    mkdirSync(join(places, name), { recursive: true });
    // Its words name what a daemon or a QEMU does; that it sleeps nobody asks.
    const child = spawn('sh', ['-c', 'sleep 60; :', ...words], { argv0: 'qemu-storage-daemon', stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  };
  const shows = (name: string): string => `type=fuse,mountpoint=${join(places, name, 'memory')},writable=on`;
  const daemons = {
    left: pretend('left', shows('left')),
    known: pretend('known', shows('known')),
    lived: pretend('lived', shows('lived')),
  };
  const guest = spawn('sh', ['-c', 'sleep 60; :', `memory-backend-file,mem-path=${join(places, 'lived', 'memory')},share=on`], {
    stdio: 'ignore',
  });
  t.teardown(() => guest.kill('SIGKILL'));
  rmSync(join(places, 'left'), { recursive: true });
  mkdirSync(join(places, 'empty'));
  t.same((await clearUnused(places, (vm) => vm === 'known')).toSorted(), ['empty', 'left']);
  t.equal(
    daemons.left.signalCode ?? (await new Promise((resolve) => daemons.left.once('exit', (_code, signal) => resolve(signal)))),
    'SIGTERM',
  );
  t.same([daemons.known.signalCode, daemons.lived.signalCode], [null, null]);
  t.same(readdirSync(places).toSorted(), ['known', 'lived']);
});

t.test('what the host itself refuses', (t) => {
  const ask = (order: SuspendAsked['order'], ground: Partial<SuspendGround>, epoch = 5): string | undefined =>
    refusalOfSuspend({ type: 'suspend', orderId: 'o', epoch, leaseMs: 1000, order }, { ...GROUND, ...ground })?.reason;
  const suspend = { action: 'suspend', vm: VM } as const;
  const resume = { action: 'resume', vm: VM, roomMiB: null } as const;
  const vm = GROUND.vm!;
  t.equal(ask(suspend, {}), undefined);
  t.match(ask(suspend, {}, 4), /epoch 4 is below 5/);
  t.match(ask(suspend, { waitedMs: 2000 }), /lease/);
  t.match(ask(suspend, { killed: 'maintenance' }), /kill switch: maintenance/);
  t.match(ask(suspend, { vm: null }), /not on this host/);
  t.match(ask(suspend, { vm: { ...vm, passthrough: ['gpu'] } }), /gpu/);
  t.match(ask(suspend, { vm: { ...vm, growOnly: true } }), /cluster/);
  t.match(ask(suspend, { vm: { ...vm, persistent: false } }), /not persistent/);
  t.match(ask(suspend, { vm: { ...vm, jobActive: true } }), /job/);
  t.match(ask(resume, {}), /not suspended/);
  t.equal(
    ask(resume, { phase: 'suspended', killed: 'maintenance', heldMiB: 4000 }),
    undefined,
    'bringing back is never refused by a kill switch',
  );
  t.match(ask(resume, { phase: 'suspended', heldMiB: 5000 }), /5000 MiB/);
  t.equal(ask(resume, { phase: 'going', heldMiB: 5000 }), undefined, 'one that could not be set going has its memory');
  t.end();
});

t.test('after the agent died: never back onto a snapshot that the guest may have left', (t) => {
  const record = (phase: SuspendRecord['phase'], file: boolean, recipe: SuspendRecord['recipe'] = 'memory-file'): SuspendRecord => ({
    ...{ vm: VM, name: 'web-1', tenant: 'default', phase, recipe, reason: '', snapshot: 'ab', older: [], sinceMs: 0, memoryBytes: MIB },
    ...{
      filledBytes: MIB,
      ownMemory: null,
      file: file ? { dev: 1, ino: 1 } : null,
      touches: null,
      score: null,
      problems: [],
      lentTo: null,
      disks: [],
      from: null,
    },
  });
  const after = (phase: SuspendRecord['phase'], power: 'running' | 'paused' | 'off', file = true): string => {
    const remedy = remedyFor(record(phase, file), power, false);
    return `${remedy.kind}${remedy.kind === 'take-over' && remedy.goOn ? ' and on' : ''}`;
  };
  t.equal(after('suspending', 'paused', false), 'go-on');
  t.equal(after('suspending', 'paused'), 'take-over and on');
  t.equal(after('suspending', 'off', false), 'let-go');
  t.equal(after('ending', 'paused'), 'end');
  t.equal(after('ending', 'off'), 'none');
  t.equal(after('suspended', 'running'), 'let-go');
  t.equal(after('preparing', 'paused'), 'begin-anew');
  t.equal(after('prepared', 'off'), 'begin-anew');
  t.equal(after('prepared', 'running'), 'take-over');
  t.equal(after('going', 'paused'), 'take-over and on');
  t.equal(after('running', 'paused'), 'take-over', 'somebody paused it, and it stays paused');
  for (const phase of ['going', 'running', 'suspending'] as const)
    t.equal(after(phase, 'off'), 'let-go', `${phase}, and off: it may have run`);
  for (const phase of SUSPEND_PHASES) {
    const saved = remedyFor(record(phase, false, 'managed-save'), 'off', true);
    t.match(saved, { kind: 'none', phase: 'suspended' }, `${phase}: what the hypervisor saved is kept`);
  }
  t.end();
});

t.test('of what lay in place nothing is learnt that nobody saw', (t) => {
  const model = createTouchModel();
  model.observe([1, 2]);
  model.observe([3], { unseen: new Set([1]) });
  t.same(
    model.predict(9).map(({ chunk }) => chunk),
    [1, 3, 2],
    'of a chunk that nobody could see nothing is learnt',
  );
  t.end();
});
