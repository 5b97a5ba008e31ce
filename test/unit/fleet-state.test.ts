/**
 * Goal: live state says what was told and nothing else. Inventories, rows, events and results each move what they should;
 * missing is unknown; verdicts take harmful shrinks back; models and peaks survive as bytes; clocks that are off are seen
 * through.
 */
import t from 'tap';
import { parseTrace } from '../../aggregator/cli/backtest/trace-file.ts';
import { othersAt } from '../../aggregator/core/backtest/trace.ts';
import { forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { packCheckpoint, unpackCheckpoint } from '../../aggregator/core/state/checkpoint.ts';
import { horizonsFor } from '../../aggregator/core/state/demand-models.ts';
import { FleetState } from '../../aggregator/core/state/fleet-state.ts';
import { HostSkew } from '../../aggregator/core/state/host-skew.ts';
import { WorkingSetPeaks } from '../../aggregator/core/state/working-set-peaks.ts';
import { hostId } from '../../shared/ids.ts';
import type { FrameOf, VmInventory } from '../../shared/protocol/frames.ts';
import type { Setting } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { AUTO_POLICY, hostOf, KVM1, NOW_MS, policyOf, STEP_MS, testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const OPTIONS = {
  epoch: 5,
  stepMs: STEP_MS,
  demandWindowMs: 2500,
  graceMs: 1000,
  settleMs: 0,
  seasonsMs: [120_000],
  verdictWindowMs: 10_000,
  verdictCooldownMs: 30_000,
  factory: forecasterFactory,
};
const ALLOWED = { allowed: true } as const;

function vmInventory(over: Partial<VmInventory> = {}): VmInventory {
  return {
    vm: VM,
    name: 'web',
    state: 'ready',
    vcpus: 2,
    bootMemoryMiB: 1024,
    overheadMiB: null,
    osFamily: null,
    labels: {},
    eligibility: { cpu: ALLOWED, memory: ALLOWED, network: ALLOWED, disk: ALLOWED },
    baseline: [{ resource: 'memory', memoryMiB: 1024 }],
    current: [
      { resource: 'cpu', weight: 100, capCores: 1 },
      { resource: 'memory', memoryMiB: 800 },
    ],
    pairs: [{ resource: 'cpu', pair: { epoch: 2, generation: 3 } }],
    holds: [],
    jobActive: false,
    guestAgent: true,
    missingSignals: [],
    ...over,
  };
}

function inventory(vms: VmInventory[], over: Partial<FrameOf<'inventory'>> = {}): FrameOf<'inventory'> {
  const host = {
    cpuCores: 8,
    memoryMiB: 16_384,
    numaNodes: [],
    architecture: 'x86_64',
    hypervisorVersion: '9',
    balloonManager: null,
    hypervisorConnected: true,
    killSwitch: false,
  };
  return { type: 'inventory', full: true, host, vms, gone: [], ...over };
}

function stateWith(vms: VmInventory[] = [vmInventory()]): FleetState {
  const state = new FleetState(OPTIONS, policyOf(AUTO_POLICY));
  state.setConnected(KVM1, true, 0);
  state.applyInventory(KVM1, inventory(vms), 1000);
  return state;
}

function rows(atMs: number, values: Record<string, number>, source: 'host' | 'guest' = 'host'): TelemetryBlock {
  return {
    subject: { kind: 'vm', id: VM },
    source,
    fields: Object.keys(values),
    timesMs: Float64Array.of(atMs),
    values: Float64Array.from(Object.values(values)),
  };
}

const MEMORY = { 'vm_memory.balloonMiB': 800, 'vm_memory.availableMiB': 500, 'vm_memory.statsAgeMs': 0, 'vm_memory.rssMiB': 830 };
const vmNow = (state: FleetState, nowMs = NOW_MS, monoMs = 2000) => state.snapshot(nowMs, monoMs).vms[0]!;

/** A second of rows at a time, at the host's pace; answers the last moment. */
function feed(
  state: FleetState,
  fromMs: number,
  seconds: number,
  values: Record<string, number> | ((second: number) => Record<string, number>),
  hostSkewMs = 0,
): number {
  for (let i = 1; i <= seconds; i++) {
    const atMs = fromMs + i * 1000;
    state.applyBlocks(KVM1, [rows(atMs + hostSkewMs, typeof values === 'function' ? values(i) : values)], atMs, atMs - NOW_MS + 2000);
    if (i % 5 === 2) state.tick(VM, atMs);
  }
  return fromMs + seconds * 1000;
}

t.test('a forecaster hears what backtests let it hear: the other three resources, both directions together', async (t) => {
  // In the order in which they are made: CPU first, then memory.
  const heard: number[][][] = [];
  const factory: typeof forecasterFactory = (name) => ({
    ...forecasterFactory(name),
    create(options) {
      const forecaster = forecasterFactory(name).create(options);
      const observe = forecaster.observe.bind(forecaster);
      const points: number[][] = [];
      heard.push(points);
      forecaster.observe = (point) => {
        points.push([point.value, ...(point.others ?? [])]);
        observe(point);
      };
      return forecaster;
    },
  });
  const state = new FleetState({ ...OPTIONS, factory }, policyOf(AUTO_POLICY));
  state.setConnected(KVM1, true, 0);
  state.applyInventory(KVM1, inventory([vmInventory({ current: [] })]), 1000);
  const flow = { 'vm_network.receiveBytesPerSecond': 100, 'vm_network.transmitBytesPerSecond': 20 };
  const disk = { 'vm_disk.readBytesPerSecond': 3, 'vm_disk.writeBytesPerSecond': 4000 };
  feed(state, NOW_MS, 32, { 'vm_cpu.usageCores': 0.5, ...MEMORY, ...flow, ...disk });
  const [cpu, memory] = heard.map((points) => points.at(-1));
  t.same(cpu, [0.5, 300, 120, 4003], 'of CPU: memory, network, disk');
  t.same(memory, [300, 0.5, 120, 4003], 'of memory: CPU, network, disk');
  const head = 'timestamp,cpu_cores_used,cpu_cores_alloc,mem_mib_used,mem_mib_alloc,net_rx_Bps,net_tx_Bps,disk_read_Bps,disk_write_Bps';
  const file = `${head}\n0,0.5,1,300,800,100,20,3,4000\n300,0.5,1,300,800,100,20,3,4000\n`;
  for (const [resource, live] of [
    ['cpu', cpu],
    ['memory', memory],
    ['cpumax', cpu],
  ] as const) {
    const trace = parseTrace(
      'a',
      file.replace('cpu_cores_used,', resource === 'cpumax' ? 'cpu_cores_used_max,' : 'cpu_cores_used,'),
      resource,
    )!;
    t.same([trace.used[1], ...othersAt(trace, 1).others!], live, `a trace of ${resource}`);
  }
});

t.test('nothing told is unknown, never zero', async (t) => {
  const vm = vmNow(stateWith());
  t.match(vm.demand.cpu, { now: null, usage: null, forecast: null, vouched: false, suppressed: false });
  t.equal(vm.demand.cpu.ageMs, Number.POSITIVE_INFINITY);
  t.match(vm.memory, { balloonMiB: null, workingSetMiB: null, workingSetPeakMiB: null, rssMiB: null, pressure: false });
  t.equal(vm.current.network, undefined);
  const host = stateWith().snapshot(NOW_MS, 2000).hosts[0]!;
  t.match(host, { availableMiB: null, usageCores: null, cpuPressureFraction: null, swapping: false, connected: true });
});

t.test('nobody is forecast more cores than there are vCPUs', async (t) => {
  const state = stateWith();
  // Nearly idle, then all of both at once: what the models make of it knows no ceiling.
  const bursts = (second: number): Record<string, number> => ({
    ...{
      'vm_cpu.usageCores': second % 60 < 20 ? 2 : 0.02,
      'vm_cpu.vcpusOnline': 2,
      'vm_cpu.throttledFraction': 0,
      'vm_cpu.stealFraction': 0,
    },
    ...MEMORY,
  });
  let highest = 0;
  for (let atMs = NOW_MS, n = 0; n < 100; n++) {
    atMs = feed(state, atMs, 5, (second) => bursts(n * 5 + second));
    for (const value of vmNow(state, atMs, atMs - NOW_MS + 2000).demand.cpu.forecast?.values ?? []) highest = Math.max(highest, value);
  }
  t.equal(highest, 2, 'and all of them where it may want them');
});

t.test('inventories: new, changed, gone, moved; a full one forgets what it does not name', async (t) => {
  const state = stateWith();
  state.takeNews();
  state.applyInventory(KVM1, inventory([vmInventory({ state: 'paused' })], { full: false }), 1000);
  t.match(state.takeNews(), [{ kind: 'vm-state', message: 'web was ready and is paused' }]);
  const elsewhere = hostId('kvm2');
  state.applyInventory(elsewhere, inventory([vmInventory()]), 1000);
  t.match(state.takeNews()[0], { message: 'web moved from kvm1 to kvm2' });
  state.applyInventory(KVM1, inventory([], { full: false, gone: [VM] }), 1000);
  t.equal(state.vmIds().length, 1, 'the old host cannot take it away any more');
  state.applyInventory(elsewhere, inventory([]), 1000);
  t.equal(state.vmIds().length, 0);
  t.match(state.takeNews(), [{ kind: 'vm-gone' }]);
});

t.test('rows: demand at the end of a step, ages by our own clock, memory as the host vouches for it', async (t) => {
  const state = stateWith();
  const endMs = feed(state, NOW_MS, 12, { ...MEMORY, 'vm_cpu.usageCores': 0.6, 'vm_cpu.throttledFraction': 0, 'vm_cpu.waitFraction': 0 });
  const vm = vmNow(state, endMs, endMs - NOW_MS + 2500);
  t.equal(vm.demand.cpu.now?.toFixed(2), '0.60');
  t.equal(vm.demand.cpu.ageMs, 500);
  t.equal(vm.demand.cpu.vouched, true);
  t.match(vm.memory, { balloonMiB: 800, workingSetMiB: 300, workingSetPeakMiB: 300, rssMiB: 830, pressure: false });
  t.ok((vm.demand.cpu.forecast?.values.length ?? 0) > 0);
  t.equal(vm.demand.network.now, null, 'what was not told stays unknown');
  const later = vmNow(state, endMs + 60_000, endMs - NOW_MS + 62_000);
  t.equal(later.demand.cpu.now, null, 'an old step does not speak for the present');
  t.equal(later.demand.cpu.ageMs, 60_000);
});

t.test("what only the guest says is claimed, and the host's word on memory is unknown then", async (t) => {
  const state = stateWith();
  for (let i = 1; i <= 12; i++) {
    const atMs = NOW_MS + i * 1000;
    state.applyBlocks(
      KVM1,
      [rows(atMs, { 'vm_memory.guestTotalMiB': 1000, 'vm_memory.guestAvailableMiB': 300 }, 'guest')],
      atMs,
      2000 + i * 1000,
    );
    if (i % 5 === 2) state.tick(VM, atMs);
  }
  const vm = vmNow(state, NOW_MS + 12_000, 14_000);
  t.equal(vm.demand.memory.vouched, false);
  t.equal(vm.demand.memory.now, 700);
  t.equal(vm.memory.workingSetMiB, null);
  t.equal(vm.memory.pressure, false);
});

t.test('a finished step gives a row for the series: demand, allocation, forecast', async (t) => {
  const state = stateWith();
  let blocks: TelemetryBlock[] = [];
  for (let i = 1; i <= 12; i++) {
    const atMs = NOW_MS + i * 1000;
    state.applyBlocks(KVM1, [rows(atMs, { ...MEMORY, 'vm_cpu.usageCores': 0.6 })], atMs, 2000 + i * 1000);
    if (i % 5 === 2) blocks = [...blocks, ...state.tick(VM, atMs)];
  }
  t.equal(blocks.length, 2);
  const last = blocks.at(-1)!;
  t.equal(last.timesMs[0], NOW_MS + STEP_MS);
  const value = (name: string) => last.values[last.fields.indexOf(name)];
  t.equal(value('vm_cpu.demandCores')?.toFixed(2), '0.60');
  t.equal(value('vm_allocation.cpuCores'), 1);
  t.equal(value('vm_allocation.memoryMiB'), 800);
  t.ok(
    last.fields.includes('vm_forecast.cpuCores/q0.95/h1') && last.fields.includes('vm_forecast.memoryMiB/q0.5/h1'),
    last.fields.join(' '),
  );
});

const event = (over: Partial<FrameOf<'event'>>): FrameOf<'event'> => ({
  type: 'event',
  kind: 'guard-grew',
  vm: VM,
  resource: 'cpu',
  wallMs: 0,
  message: 'throttled',
  setting: null,
  pair: null,
  ...over,
});

t.test("a boot and a VM's first moments are demand, but teach nothing", async (t) => {
  const forecast = (settleMs: number, state: 'launching' | 'ready') => {
    const fleet = new FleetState({ ...OPTIONS, settleMs }, policyOf(AUTO_POLICY));
    fleet.setConnected(KVM1, true, 0);
    fleet.applyInventory(KVM1, inventory([vmInventory({ state })]), 1000);
    const endMs = feed(fleet, NOW_MS, 12, { ...MEMORY, 'vm_cpu.usageCores': 0.6 });
    t.not(vmNow(fleet, endMs).demand.cpu.now, null, 'present demand is known all the same');
    return vmNow(fleet, endMs).demand.cpu.forecast;
  };
  t.not(forecast(0, 'ready'), null);
  t.equal(forecast(60_000, 'ready'), null);
  t.equal(forecast(0, 'launching'), null);
});

t.test('events: the fast guard moves current value and pair, a foreign writer keeps us off', async (t) => {
  const state = stateWith();
  const setting: Setting = { resource: 'cpu', weight: 100, capCores: 1.5 };
  state.applyEvent(KVM1, event({ setting, pair: { epoch: 2, generation: 9 } }), NOW_MS, 2000);
  t.same(vmNow(state).current.cpu, setting);
  t.same(vmNow(state).pairs.cpu, { epoch: 2, generation: 9 });
  t.match(vmNow(state).lastChange.cpu, { atMs: NOW_MS, direction: 'grow' });
  state.applyEvent(
    KVM1,
    event({ kind: 'foreign-writer', resource: 'memory', message: 'virsh setmem', setting: { resource: 'memory', memoryMiB: 640 } }),
    NOW_MS,
    2000,
  );
  const vm = vmNow(state);
  t.same(vm.current.memory, { resource: 'memory', memoryMiB: 640 });
  t.match(vm.holds, [{ resource: 'memory', reason: 'virsh setmem', forMs: 86_400_000 }]);
  t.equal(vmNow(state, NOW_MS, 86_402_001).holds.length, 0, 'for a day');
  t.ok(state.takeNews().some(({ kind }) => kind === 'foreign-writer'));
  state.applyEvent(KVM1, event({ pair: { epoch: 1, generation: 1 } }), NOW_MS, 2000);
  t.same(vmNow(state).pairs.cpu, { epoch: 2, generation: 9 }, 'pairs never fall');
});

const result = (readBack: Setting): FrameOf<'result'> => ({
  type: 'result',
  commandId: 'p/0',
  vm: VM,
  resource: readBack.resource,
  pair: { epoch: 5, generation: 1 },
  outcome: 'applied',
  reason: '',
  readBack,
  wallMs: 0,
});

const changeOf = (from: Setting, to: Setting, direction: 'grow' | 'shrink' = 'shrink') => ({ from, to, direction, planId: 'p' });

t.test('a shrink that harms is taken back and cooled down; growth settles it', async (t) => {
  const state = stateWith();
  const before: Setting = { resource: 'memory', memoryMiB: 800 };
  state.applyResult(result({ resource: 'memory', memoryMiB: 600 }), changeOf(before, { resource: 'memory', memoryMiB: 600 }), NOW_MS);
  t.match(vmNow(state).lastChange.memory, { direction: 'shrink' });
  t.same(vmNow(state).current.memory, { resource: 'memory', memoryMiB: 600 });
  state.takeNews();
  // Nearly nothing is available: the host sees that the guest is short.
  state.applyBlocks(
    KVM1,
    [rows(NOW_MS + 3000, { ...MEMORY, 'vm_memory.balloonMiB': 600, 'vm_memory.availableMiB': 10 })],
    NOW_MS + 3000,
    5000,
  );
  const harmed = vmNow(state, NOW_MS + 3000, 5000);
  t.equal(harmed.memory.pressure, true);
  t.match(harmed.rollback.memory, { to: before, reason: /short of memory/ });
  t.equal(harmed.coolUntilMs.memory, NOW_MS + 33_000);
  t.match(state.takeNews(), [{ kind: 'verdict', message: /did harm/ }]);
  state.applyResult(result(before), changeOf({ resource: 'memory', memoryMiB: 600 }, before, 'grow'), NOW_MS + 5000);
  t.equal(vmNow(state).rollback.memory, undefined);
  t.ok(vmNow(state).coolUntilMs.memory, 'it still cools down');
  state.tick(VM, NOW_MS + 40_000);
  t.equal(vmNow(state).coolUntilMs.memory, undefined);
});

t.test('pressure long after a shrink, or before it, is not laid to its charge', async (t) => {
  const short = { ...MEMORY, 'vm_memory.availableMiB': 10 };
  for (const afterMs of [-1, 20_000]) {
    const state = stateWith();
    state.applyResult(
      result({ resource: 'memory', memoryMiB: 600 }),
      changeOf({ resource: 'memory', memoryMiB: 800 }, { resource: 'memory', memoryMiB: 600 }),
      NOW_MS,
    );
    state.applyBlocks(KVM1, [rows(NOW_MS + afterMs, short)], NOW_MS + afterMs, 5000);
    t.same(vmNow(state).rollback, {});
  }
});

t.test('the guard having to step in after a CPU shrink is harm too', async (t) => {
  const state = stateWith();
  state.applyResult(
    result({ resource: 'cpu', weight: 100, capCores: 0.5 }),
    changeOf({ resource: 'cpu', weight: 100, capCores: 1 }, { resource: 'cpu', weight: 100, capCores: 0.5 }),
    NOW_MS,
  );
  state.applyEvent(KVM1, event({ setting: { resource: 'cpu', weight: 100, capCores: 0.75 } }), NOW_MS + 1000, 3000);
  t.match(vmNow(state).rollback.cpu, { to: { capCores: 1 } });
});

t.test('commands under way and their VMs count; windows forget', async (t) => {
  const state = stateWith();
  const target: Setting = { resource: 'memory', memoryMiB: 900 };
  state.setPending(VM, 'memory', target);
  t.same(vmNow(state).pending.memory, target);
  state.setPending(VM, 'memory', null);
  t.equal(vmNow(state).pending.memory, undefined);
  state.noteChange(VM, KVM1, NOW_MS);
  state.restoreChanges([{ vm: testVmId(7), host: KVM1, atMs: NOW_MS - 60_000 }]);
  t.equal(state.snapshot(NOW_MS + 1, 0).recentChanges.length, 2);
  t.equal(state.snapshot(NOW_MS + 599_000, 0).recentChanges.length, 1);
});

t.test('the guard may have any reserve until our own lease is there; after that the largest of late', async (t) => {
  const state = stateWith();
  const reserve = (monoMs: number) => state.snapshot(NOW_MS, monoMs).hosts[0]!.guardReserve.memoryMiB;
  t.equal(reserve(2000), hostOf().memoryMiB, 'all of it may be out');
  const grant = (reserveMiB: number) => ({ host: KVM1, reserveCores: 0, reserveMiB, allowances: [] });
  state.noteGrant(KVM1, grant(700), 3000);
  state.noteGrant(KVM1, grant(100), 4000);
  t.equal(reserve(5000), 700);
  t.equal(reserve(3000 + 300_000), 100, 'a lease later only the last one counts');
  t.equal(reserve(4000 + 900_000), 100, 'for as long as no other was sent');
  state.setConnected(KVM1, false, 6000);
  state.setConnected(KVM1, true, 6000);
  t.equal(reserve(7000), hostOf().memoryMiB, 'a connection later nothing is known again');
  t.equal(state.host(KVM1)!.unguarded, false);
});

t.test('an agent that says what its guard still has is believed, and only while it is connected by that hello', async (t) => {
  const state = stateWith();
  const reserve = (monoMs: number) => state.snapshot(NOW_MS, monoMs).hosts[0]!.guardReserve.memoryMiB;
  const hello = (memoryMiB: number) => ({ highestPairs: [], guardReserve: { cores: 0, memoryMiB } }) as unknown as FrameOf<'hello'>;
  const comes = (memoryMiB: number, monoMs: number) => {
    state.setConnected(KVM1, false, monoMs);
    state.applyHello(KVM1, hello(memoryMiB));
    state.setConnected(KVM1, true, monoMs);
  };
  state.noteGrant(KVM1, { host: KVM1, reserveCores: 0, reserveMiB: 700, allowances: [] }, 3000);
  comes(0, 4000);
  t.equal(reserve(5000), 0, 'it began anew: what was sent to the one before is gone with it');
  t.equal(state.host(KVM1)!.unguarded, true);
  state.noteGrant(KVM1, { host: KVM1, reserveCores: 0, reserveMiB: 200, allowances: [] }, 6000);
  t.equal(state.host(KVM1)!.unguarded, false);
  comes(150, 7000);
  t.equal(reserve(8000), 150, 'its connection broke: what is left there of it');
  t.equal(state.host(KVM1)!.unguarded, false);
  state.setConnected(KVM1, false, 9000);
  state.setConnected(KVM1, true, 9000);
  t.equal(reserve(9500), hostOf().memoryMiB, 'a hello that does not say leaves it unknown');
});

t.test('hello: pairs and the highest epoch', async (t) => {
  const state = stateWith();
  const pair = { epoch: 44, generation: 2 };
  state.applyHello(KVM1, { highestPairs: [{ vm: VM, resource: 'memory', pair }] } as unknown as FrameOf<'hello'>);
  t.same(vmNow(state).pairs.memory, pair);
  t.equal(state.snapshot(NOW_MS, 0).hosts[0]!.epoch, 44);
});

t.test('models and peaks survive as bytes, in another state', async (t) => {
  const state = stateWith();
  const wave = (second: number) => ({ ...MEMORY, 'vm_cpu.usageCores': 0.5 + 0.4 * Math.sin((second / 120) * 2 * Math.PI) });
  const endMs = feed(state, NOW_MS, 400, wave);
  const bytes = state.vm(VM)!.checkpoint();
  const other = stateWith();
  t.equal(other.vm(VM)!.restore(bytes, other.policy), 2);
  const [before, after] = [vmNow(state, endMs), vmNow(other, endMs)];
  t.same(after.demand.cpu.forecast, before.demand.cpu.forecast);
  t.equal(other.vm(VM)!.checkpoint().length, bytes.length);
  t.throws(() => other.vm(VM)!.restore(bytes.subarray(0, 20), other.policy), { code: 'STORE_CORRUPT' });
  t.throws(() => unpackCheckpoint(new Uint8Array([1, 2])), { code: 'STORE_CORRUPT' });
  t.throws(
    () =>
      unpackCheckpoint(
        packCheckpoint({ models: [{ resource: 'cpu', name: 'x', lastMs: 1, bytes: new Uint8Array(9) }], peaks: [] }).slice(0, -3),
      ),
    { code: 'STORE_CORRUPT', message: /cut off/ },
  );
});

t.test('a host whose clock is an hour off is seen through', async (t) => {
  const state = stateWith();
  const endMs = feed(state, NOW_MS, 30, { ...MEMORY, 'vm_cpu.usageCores': 0.6 }, 3_600_000);
  t.equal(vmNow(state, endMs, endMs - NOW_MS + 2000).demand.cpu.now?.toFixed(2), '0.60');
  const skew = new HostSkew(10_000);
  skew.observe(30_000);
  skew.observe(30_000);
  skew.observe(100);
  t.equal(skew.skewMs, 0, 'a burst of late rows is no skew');
  for (let i = 0; i < 3; i++) skew.observe(-3_600_000);
  t.equal(skew.skewMs, -3_600_000);
  for (let i = 0; i < 3; i++) skew.observe(-2);
  t.equal(skew.skewMs, 0, 'and a clock put right again is right');
});

t.test('peaks of a sliding window are kept and forgotten', async (t) => {
  const peaks = new WorkingSetPeaks(48_000);
  t.equal(peaks.peak(NOW_MS), null);
  peaks.add(NOW_MS, 300);
  peaks.add(NOW_MS + 10_000, 500);
  peaks.add(NOW_MS + 20_000, 200);
  t.equal(peaks.peak(NOW_MS + 20_000), 500);
  t.equal(peaks.peak(NOW_MS + 57_000), 500);
  t.equal(peaks.peak(NOW_MS + 62_000), 200);
  for (let i = 0; i < 10_000; i++) peaks.add(NOW_MS + 70_000 + i * 100, i);
  t.ok(peaks.toJSON().length < 200);
});

t.test('horizons reach as far as they are needed, and little further', async (t) => {
  t.same(horizonsFor(15_000, 5000), [1, 2, 3, 4, 5]);
  t.same(horizonsFor(3_600_000, 300_000).at(-1), 16);
  t.ok(horizonsFor(3_600_000, 5000).at(-1)! >= 722);
});
