/** Goal: what people order about suspended VMs is refused where it cannot be done, tried without being done, and done once. */
import t from 'tap';
import { SuspendOrders } from '../../aggregator/execute/suspend-orders.ts';
import { ChunkLocality } from '../../aggregator/service/chunk-locality.ts';
import { EventLog } from '../../aggregator/service/event-log.ts';
import { SuspendDesk, type SuspendDeskOptions } from '../../aggregator/service/suspend-desk.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const HOST = hostId('kvm1');
const OTHER = hostId('kvm2');
const MIB = 1024 * 1024;
const KEY = 'cd'.repeat(32);
const VM = vmId('6f1b0000-0000-4000-8000-0000000000aa');

function office() {
  const clock = new NodeClock(new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5)));
  const sent: FrameOf<'suspend'>[] = [];
  const recorded: object[] = [];
  const asked: { host: string; order: FrameOf<'suspend'>['order'] }[] = [];
  const state = {
    peaks: new Map<string, { freeMiB: number; freeCores: number }>(),
    connected: true,
    able: true,
    killed: null as string | null,
    freeMiB: new Map([
      [HOST, 0],
      [OTHER, 4096],
    ]),
  };
  const orders = new SuspendOrders({
    ...{ clock, epochOf: () => 7, retryMs: 1000, silenceMs: 60_000 },
    send: (_host, frame) => sent.push(frame) > 0,
  });
  const to = {
    ...{ nowMs: () => clock.wallMs(), events: new EventLog(), queue: { append: (_atMs: number, body: object) => recorded.push(body) } },
    ...{ notifications: { add: () => undefined }, log: { warn: () => undefined } },
  } as unknown as SuspendDeskOptions['to'];
  const desk = new SuspendDesk({
    ...{ orders, to, calendar: { note: () => undefined, predict: () => null } as unknown as SuspendDeskOptions['calendar'] },
    known: (vm) => (vm === VM ? { name: 'shop-web', host: HOST } : null),
    hosts: () => [HOST, OTHER].map((id) => ({ id, connected: state.connected })),
    understands: () => state.able,
    killed: () => state.killed,
    tuner: { noteSeen: () => undefined, notePrepared: () => undefined, noteBack: () => undefined, explain: () => null },
    ...{ expectedMiB: () => 512, expectedCores: () => null, peaks: () => state.peaks },
    locality: new ChunkLocality({
      ...{ nowMs: () => clock.monotonicMs(), epochOf: () => 7, hosts: () => [OTHER, HOST], understands: () => state.able },
      send: (host, { order }) => asked.push({ host, order }) > 0,
    }),
    priorityOf: () => 300,
    freeMiB: (host) => state.freeMiB.get(host) ?? null,
    newKey: () => KEY,
    onResumed: () => undefined,
  });
  return { desk, orders, sent, recorded, state, asked };
}

t.test('tried: the same refusals, and nothing is sent, remembered or written down', async (t) => {
  const { desk, sent, recorded, state } = office();
  for (const order of [
    desk.suspend(VM, 'ada', true),
    desk.resume(VM, 'ada', null, true),
    desk.prefetch(VM, { holdMs: 1000, bytesPerSecondMax: null }, 'ada', true),
    desk.release(VM, 'ada', true),
    desk.verify(VM, 'ada', true),
    ...desk.collect(HOST, 'ada', true),
  ])
    t.match(order, { state: 'tried', host: HOST, by: 'ada', outcome: null });
  t.same([sent, recorded, desk.orders()], [[], [], []]);
  state.killed = 'the kill switch is engaged';
  t.throws(() => desk.suspend(VM, 'ada', true), { code: 'CONFLICT', message: /kill switch/ });
  state.able = false;
  t.throws(() => desk.resume(VM, 'ada', null, true), { code: 'UNAVAILABLE', message: /snapshotDir/ });
  state.connected = false;
  t.throws(() => desk.resume(VM, 'ada', null, true), { code: 'UNAVAILABLE', message: /not connected/ });
  t.throws(() => desk.verify(vmId('6f1b0000-0000-4000-8000-0000000000ab'), 'ada', true), { code: 'NOT_FOUND' });
});

t.test('one order for a VM at a time; it ends once, with its host’s word', async (t) => {
  const { desk, orders, sent, recorded } = office();
  t.teardown(() => orders.stop());
  const { id } = desk.suspend(VM, 'ada');
  t.match(sent, [{ orderId: id, order: { action: 'suspend', vm: VM } }]);
  t.match(recorded, [{ kind: 'operator', action: 'suspend asked for', by: 'ada', reason: id }]);
  t.throws(() => desk.resume(VM, 'bob', null, true), { code: 'CONFLICT', message: new RegExp(id) });
  t.throws(() => desk.resume(VM, 'bob'), { code: 'CONFLICT' });
  const ended = { outcome: 'applied' as const, reason: '', measured: {}, progress: null, wallMs: 0 };
  const result = { type: 'suspend-result' as const, orderId: id, action: 'suspend' as const, vm: VM, ...ended };
  desk.onResult(HOST, result);
  desk.onResult(HOST, result);
  t.match(desk.orders(), [{ id, state: 'ended', outcome: 'applied' }]);
  t.equal(recorded.length, 2);
});

t.test('on another host: lent first, brought back there then, and where it was if that cannot', (t) => {
  const { desk, orders, sent, recorded, state } = office();
  t.teardown(() => orders.stop());
  const endsWith = (outcome: 'applied' | 'failed', host: typeof HOST, more: object = {}): void => {
    const { orderId, order } = sent.at(-1)!;
    const ended = { outcome, reason: outcome === 'failed' ? 'no room' : '', measured: {}, progress: null, wallMs: 0, ...more };
    desk.onResult(host, { type: 'suspend-result', orderId, action: order.action, vm: VM, ...ended });
  };
  const lent = desk.resume(VM, 'ada', OTHER);
  t.match(sent.at(-1)?.order, { action: 'lend', vm: VM, to: OTHER, key: KEY });
  endsWith('applied', HOST, { address: '10.0.0.1:7411' });
  t.match(sent.at(-1)?.order, { action: 'resume', roomMiB: 512, from: { host: HOST, address: '10.0.0.1:7411', key: KEY } });
  const there = desk.order(desk.order(lent.id)?.followedBy ?? '');
  t.match(there, { action: 'resume', host: OTHER, by: 'ada', state: 'working' });
  endsWith('failed', OTHER);
  t.match(desk.order(there?.id ?? ''), { outcome: 'failed', reason: 'no room' });
  const back = desk.order(desk.order(there?.id ?? '')?.followedBy ?? '');
  t.match(back, { action: 'resume', host: HOST, state: 'working' });
  t.notHas(sent.at(-1)?.order, { from: {} });
  endsWith('failed', HOST);
  t.equal(desk.order(back?.id ?? '')?.followedBy, null, 'there is nothing left to try');
  t.notMatch(JSON.stringify([desk.orders(), recorded]), KEY, 'nobody is shown the key');

  t.equal(desk.resume(VM, 'ada', 'any', true).action, 'lend', 'its own host has no room');
  state.freeMiB.set(HOST, 600);
  t.match(desk.resume(VM, 'ada', 'any', true), { action: 'resume', host: HOST }, 'everything is there');
  t.throws(() => desk.resume(VM, 'ada', 'kvm9', true), { code: 'NOT_FOUND' });
  state.able = false;
  t.throws(() => desk.resume(VM, 'ada', OTHER, true), { code: 'UNAVAILABLE', message: /cannot take part/ });
  t.end();
});

t.test('made ready on another host: lent first, made ready there, and its holder’s again if that cannot', (t) => {
  const { desk, orders, sent, state } = office();
  t.teardown(() => orders.stop());
  const endsWith = (outcome: 'applied' | 'failed', host: typeof HOST, more: object = {}): void => {
    const { orderId, order } = sent.at(-1)!;
    const ended = { outcome, reason: '', measured: {}, progress: null, wallMs: 0, ...more };
    desk.onResult(host, { type: 'suspend-result', orderId, action: order.action, vm: VM, ...ended });
  };
  const terms = { holdMs: 5000, bytesPerSecondMax: 100, deadlineMs: 60_000, to: OTHER };
  t.match(desk.prefetch(VM, terms, 'ada', true), { state: 'tried', action: 'lend', host: HOST });
  desk.prefetch(VM, terms, 'ada');
  t.match(sent.at(-1)?.order, { action: 'lend', vm: VM, to: OTHER, key: KEY });
  endsWith('applied', HOST, { address: '10.0.0.1:7411' });
  const from = { host: HOST, address: '10.0.0.1:7411', key: KEY };
  t.same(sent.at(-1)?.order, {
    action: 'prefetch',
    vm: VM,
    holdMs: 5000,
    bytesPerSecondMax: 100,
    priority: 300,
    deadlineMs: 60_000,
    roomMiB: 512,
    from,
  });
  endsWith('failed', OTHER);
  t.same(sent.at(-1)?.order, { action: 'release', vm: VM }, 'nothing of it is lent any more');
  endsWith('applied', HOST);
  const count = sent.length;
  desk.prefetch(VM, { ...terms, to: HOST }, 'ada');
  t.match(sent.at(-1)?.order, { action: 'prefetch' }, 'on its own host nothing is lent');
  t.equal(sent.length, count + 1);
  endsWith('applied', HOST);
  state.able = false;
  t.throws(() => desk.prefetch(VM, terms, 'ada', true), { code: 'UNAVAILABLE' });
  t.throws(() => desk.prefetch(VM, { ...terms, to: 'kvm9' }, 'ada', true), { code: 'NOT_FOUND' });
  t.end();
});

t.test('on any host: asked before who holds how much of it, chosen by that, by room now and by forecast; the answer says why', (t) => {
  const { desk, orders, state, asked } = office();
  t.teardown(() => orders.stop());
  const snapshot = 'ab'.repeat(32);
  const names = (count: number): string[] => Array.from({ length: count }, (_, i) => i.toString(16).padStart(64, '0'));
  const suspended: FrameOf<'suspended'>['vms'][number] = {
    ...{ vm: VM, name: 'shop-web', phase: 'suspended', recipe: 'memory-file', reason: '', snapshot, sinceMs: 0 },
    ...{ memoryBytes: 1024 * MIB, filledBytes: 900 * MIB, resumes: 3, predictedChunks: 512, hitRate: null, wasteRate: null, problems: [] },
  };
  desk.onSuspended(HOST, { type: 'suspended', vms: [suspended], storedBytes: 0 });
  t.same(asked, [{ host: HOST, order: { action: 'sample', vm: VM } }]);
  const told = { type: 'suspend-result' as const, orderId: 'o', vm: VM, outcome: 'applied' as const, reason: '', progress: null };
  const chunks = { tenant: 'default', snapshot, firstBytes: 64 * MIB, filledBytes: 900 * MIB, first: names(32), rest: names(32) };
  desk.onResult(HOST, { ...told, action: 'sample', measured: {}, wallMs: 0, chunks });
  t.match(asked.slice(1), [{ host: OTHER, order: { action: 'held', vm: VM, tenant: 'default', first: names(32) } }]);
  t.match(
    desk.resume(VM, 'ada', 'any', true),
    { placement: { host: OTHER, reason: /what it holds of it is not known/ } },
    'its own is full',
  );
  desk.onResult(OTHER, { ...told, action: 'held', measured: {}, wallMs: 0, held: { first: 24, rest: 16 } });
  t.match(desk.resume(VM, 'ada', 'any', true), {
    ...{ action: 'lend', host: HOST, state: 'tried' },
    placement: {
      host: OTHER,
      reason: /4096 MiB free now, nothing forecast yet; 75 % of what it touches first is there: 16 MiB move before it runs, 418 after/,
      others: [{ host: HOST, reason: '0 MiB free now, 900 MiB needed' }],
    },
  });
  state.freeMiB.set(HOST, 1000);
  t.match(desk.resume(VM, 'ada', 'any', true), { action: 'resume', placement: { host: HOST, reason: /all of its snapshot is there/ } });
  state.peaks.set(HOST, { freeMiB: 300, freeCores: 2 });
  state.peaks.set(OTHER, { freeMiB: 2000, freeCores: 2 });
  const placed = desk.prefetch(VM, { holdMs: 1000, bytesPerSecondMax: null, to: 'any' }, 'ada').placement;
  t.match(placed, {
    host: OTHER,
    others: [{ host: HOST, reason: '1000 MiB free now, 300 at the peak forecast for the hour, 900 MiB needed' }],
  });
  t.match(desk.orders()[0], { placement: placed }, 'and whoever looks at the order reads it, too');
  t.equal(asked.length, 2, 'nobody is asked again before the answer is old');
  desk.onSuspended(HOST, { type: 'suspended', vms: [{ ...suspended, snapshot: 'cd'.repeat(32) }], storedBytes: 0 });
  t.match(asked.at(-1), { order: { action: 'sample' } }, 'another snapshot is another question');
  t.end();
});
