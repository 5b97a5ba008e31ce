/**
 * Goal: a host makes VMs only where its administrator lets it, each order once however often it comes, never for an owner that
 * was overtaken, never from a file outside its pools: names that climb out, links and layers of images are refused by PERMISSION.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { imageLeadsOutside, leadsOutside } from '../../agent/actuators/build-confinement.ts';
import type { BuildAsked, BuildLimits, BuildResult } from '../../agent/core/build-guard.ts';
import { createSimulatedHypervisor, type SimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import { createSimulatedBuilder, type SimulatedBuilder } from '../../agent/hypervisor/simulated-builder.ts';
import { BuildDesk, type MemberRest } from '../../agent/loops/build-desk.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Frame } from '../../shared/protocol/frames.ts';
import { checkFrame, mayReceive } from '../../shared/protocol/validate.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { IMAGE, madeBuild, POOL } from '../support/made-build.ts';

const VM = vmId('6f1b0000-0000-4000-8000-000000000001');
const OTHER = vmId('6f1b0000-0000-4000-8000-000000000002');
const LIMITS: BuildLimits = { pools: [POOL], networks: ['default'], handOver: ['hand-*'], bootFolder: null, vmsMax: 2, memoryMiBMax: 1024 };

interface World {
  builder: SimulatedBuilder;
  calls: string[];
  logs: string[];
  served: VmId[];
  hypervisor: SimulatedHypervisor;
  names: Map<VmId, string>;
  state: { epoch: number; killed: string | null; path: string | null; unreached: string | null; cannotResume: string | null };
  /** What was asked of whatever suspends VMs. */
  rested: string[];
  /** Sends it and answers what came back for it, newest last. */
  ask(asked: BuildAsked, afterMs?: number): Promise<BuildResult[]>;
}

function desk(limits: BuildLimits = LIMITS, restful = true): World {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const hypervisor = createSimulatedHypervisor({ clock, cpuCores: 8, memoryMiB: 8192, vms: [] });
  const calls: string[] = [];
  const builder = createSimulatedBuilder({
    ...{ clock, hypervisor, pools: [{ name: POOL, freeMiB: 10_000, images: [IMAGE] }] },
    behaviour: () => ({ cpuDemandCores: () => 0.1, workingSetMiB: () => 100 }),
    addresses: () => ['192.168.122.20'],
    fault: (call) => void calls.push(call),
  });
  const state: World['state'] = { epoch: 5, killed: null, path: null, unreached: null, cannotResume: null };
  const served: VmId[] = [];
  const names = new Map<VmId, string>();
  const sent: BuildResult[] = [];
  const logs: string[] = [];
  const volume: SimulatedBuilder['volume'] = async (pool, name) => {
    const found = await builder.volume(pool, name);
    return found === null || state.path === null ? found : { ...found, path: state.path };
  };
  const rested: string[] = [];
  const rest: MemberRest = {
    async suspend(vm) {
      rested.push('suspend');
      hypervisor.setPower(vm, 'shutoff');
      return 'by the hypervisor';
    },
    async resume(vm) {
      rested.push('resume');
      if (state.cannotResume !== null) throw new HeadroomError('STORE_CORRUPT', state.cannotResume);
      hypervisor.setPower(vm, 'running');
      return '';
    },
    giveUp: async () => void rested.push('give up'),
  };
  const made = new BuildDesk({
    ...{ clock, builder: { ...builder, volume }, places: { ...builder.places, imageLeadsOutside, leadsOutside }, limits },
    log: createLogger((line) => logs.push(line), clock, 'info'),
    epoch: () => state.epoch,
    killed: () => state.killed,
    send: (result) => sent.push(checkFrame(result) as BuildResult),
    changed: () => undefined,
    serves: (vm) => void served.push(vm),
    nameOf: (vm) => names.get(vm) ?? null,
    rest: restful ? rest : null,
    ask: async (addresses) => (addresses.length > 0 ? state.unreached : 'no address yet'),
  });
  const ask: World['ask'] = async (asked, afterMs = 0) => {
    const before = sent.length;
    made.receive(checkFrame(asked) as BuildAsked);
    await time.runUntil(time.nowMs + afterMs + 1);
    await made.idle();
    return sent.slice(before);
  };
  return { hypervisor, builder, calls, logs, served, names, state, rested, ask };
}

function order(build: VmBuild, change: Partial<BuildAsked> = {}, vm: VmId = VM): BuildAsked {
  const made = { action: 'build', vm, build, group: 'web', template: 'debian@1' } as const;
  return { type: 'build', orderId: `order-${vm}`, pair: { epoch: 5, generation: 1 }, leaseMs: 60_000, order: made, ...change };
}

const refusedBy = (code: string, reason: RegExp) => [{ outcome: 'refused', code, reason }];

t.test('made once, however often it is ordered; called back after a stop; removed', async (t) => {
  const { ask, builder, calls } = desk();
  t.match(await ask(order(madeBuild())), [{ outcome: 'applied', code: null, vm: VM, pair: { epoch: 5, generation: 1 } }]);
  const before = calls.length;
  t.match(await ask(order(madeBuild())), [{ outcome: 'applied' }], 'answered again');
  t.equal(calls.length, before, 'and not carried out again');
  t.match(await ask(order(madeBuild(), { pair: { epoch: 5, generation: 2 }, order: { action: 'end', vm: VM } })), [{ outcome: 'applied' }]);
  t.equal(await builder.power(VM), 'shutoff');
  t.match(await ask(order(madeBuild(), { pair: { epoch: 5, generation: 3 } })), [{ outcome: 'applied' }], 'a later phase of its life');
  t.equal(await builder.power(VM), 'running');
  const gone = { action: 'remove', vm: VM, pool: POOL, keepDisk: false } as const;
  t.match(await ask(order(madeBuild(), { pair: { epoch: 5, generation: 4 }, order: gone })), [{ outcome: 'applied' }]);
  t.same(builder.remains(), []);
});

t.test('two owners: the one that was overtaken makes nothing and ends nothing', async (t) => {
  const { ask, builder, state } = desk();
  state.epoch = 6;
  t.match(await ask(order(madeBuild())), refusedBy('CONFLICT', /epoch 5 is below 6/));
  t.same(builder.remains(), []);
  t.match(await ask(order(madeBuild(), { pair: { epoch: 6, generation: 7 } })), [{ outcome: 'applied' }]);
  const late = order(madeBuild(), { pair: { epoch: 6, generation: 6 }, order: { action: 'end', vm: VM } });
  t.match(await ask(late), refusedBy('CONFLICT', /\(6, 6\) is below \(6, 7\)/), 'a late order of an earlier phase');
  t.equal(await builder.power(VM), 'running');
});

t.test('a probe: tried once an order, at the addresses the host has, only of VMs made here', async (t) => {
  const { ask, state, served, builder } = desk();
  const probing = (vm: VmId = VM): BuildAsked => {
    const probe = { kind: 'http', port: 80, path: '/healthz', status: 200, timeoutMs: 500 } as const;
    return order(madeBuild(), { pair: { epoch: 5, generation: 2 }, order: { action: 'probe', vm, probe } }, vm);
  };
  t.match(await ask(probing(OTHER)), refusedBy('PERMISSION', /was not made by Headroom/));
  await ask(order(madeBuild()));
  state.unreached = '192.168.122.20:80/healthz answers 503, not 200';
  t.match(await ask(probing()), [{ outcome: 'failed', code: 'UNAVAILABLE', reason: state.unreached }]);
  t.same(served, []);
  state.unreached = null;
  state.killed = 'by hand';
  t.match(await ask(probing()), [{ outcome: 'applied' }], 'tried again, also while nothing may be changed');
  t.same(served, [VM]);
  await builder.powerOff(VM);
  const later: BuildAsked = { ...probing(), pair: { epoch: 5, generation: 3 } };
  t.match(await ask(later), [{ outcome: 'failed', reason: 'no address yet' }]);
});

t.test('a VM made by others: never ended unless it was handed over, and then never removed', async (t) => {
  const { ask, hypervisor, builder, names } = desk();
  const wants = { cpuDemandCores: () => 0.1, workingSetMiB: () => 100 };
  for (const [vm, name] of [
    [VM, 'hand-1'],
    [OTHER, 'database'],
  ] as const) {
    hypervisor.addVm({ id: vm, name, vcpus: 1, bootMemoryMiB: 512, ...wants });
    names.set(vm, name);
  }
  const sending = (generation: number, asked: BuildAsked['order']) =>
    ask(order(madeBuild(), { pair: { epoch: 5, generation }, order: asked }, asked.vm as VmId));
  const adopt = (vm: VmId) => ({ action: 'adopt', vm, group: 'web' }) as const;
  t.match(await sending(1, { action: 'end', vm: VM }), refusedBy('PERMISSION', /not handed over/));
  t.match(await sending(1, adopt(OTHER)), refusedBy('PERMISSION', /VM database may not be handed over: .*--hand-over/));
  const unknown = vmId('6f1b0000-0000-4000-8000-000000000009');
  t.match(await sending(1, adopt(unknown)), refusedBy('PERMISSION', /not a VM that the agent of this host manages/));
  t.match(await sending(1, adopt(VM)), [{ outcome: 'applied' }]);
  t.match(await builder.handed(VM), { group: 'web' });
  t.match(await sending(2, { action: 'end', vm: VM }), [{ outcome: 'applied' }]);
  t.equal(await builder.power(VM), 'shutoff');
  const removing = await sending(3, { action: 'remove', vm: VM, pool: POOL, keepDisk: false });
  t.match(removing, [{ outcome: 'failed', reason: /was not made by Headroom: it stays/ }]);
  t.match(await sending(4, adopt(VM)), [{ outcome: 'applied' }], 'called back');
  t.equal(await builder.power(VM), 'running');
  t.match(await sending(5, { action: 'release', vm: VM }), [{ outcome: 'applied' }]);
  t.match(await sending(6, { action: 'stop', vm: VM }), refusedBy('PERMISSION', /not handed over/));
  t.equal(await builder.power(VM), 'running');
  await ask(order(madeBuild(), {}, unknown));
  t.match(await sending(2, { ...adopt(unknown) }), [{ outcome: 'refused' }], 'what Headroom made needs none');
});

t.test('what the administrator did not allow is refused, told and logged, and nothing is made', async (t) => {
  const { ask, builder, state, logs } = desk();
  const disk = madeBuild().disk;
  const refused = async (build: VmBuild, reason: RegExp) =>
    t.match(await ask(order(build, { orderId: `${reason}` })), refusedBy('PERMISSION', reason));
  await refused(madeBuild({ disk: { ...disk, pool: 'images' } }), /nothing may be made in pool images/);
  await refused(madeBuild({ networks: [{ kind: 'bridge', source: 'br-mgmt' }] }), /network br-mgmt is not one/);
  await refused(madeBuild({ networks: [{ kind: 'user', source: null }] }), /network user is not one/);
  await refused(madeBuild({ memoryMiB: 4096 }), /4096 MiB are more than the 1024/);
  await refused(madeBuild({ boot: { kernel: '/boot/vmlinuz', initrd: '/boot/initrd', commandLine: '' } }), /boots no kernels directly/);
  t.same(builder.remains(), []);
  t.equal(logs.filter((line) => /PERMISSION/.test(line)).length, 5);
  t.match(await ask(order(madeBuild(), { leaseMs: 0 })), refusedBy('LEASE_EXPIRED', /ran out/));
  state.killed = 'by hand';
  t.match(await ask(order(madeBuild(), { orderId: 'killed' })), refusedBy('CONFLICT', /kill switch: by hand/));
  state.killed = null;
  for (const vm of [VM, OTHER]) t.match(await ask(order(madeBuild({ name: vm }), {}, vm)), [{ outcome: 'applied' }]);
  const third = vmId('6f1b0000-0000-4000-8000-000000000003');
  t.match(
    await ask(order(madeBuild({ name: 'c' }), {}, third)),
    refusedBy('PERMISSION', /has 2 VMs of Headroom's making, and 2 are allowed/),
  );
  t.match(await ask(order(madeBuild(), { order: { action: 'end', vm: third } })), refusedBy('PERMISSION', /was not made by Headroom/));
});

t.test('names that climb out never pass the frame', async (t) => {
  const disk = madeBuild().disk;
  for (const image of ['../etc/shadow', '/etc/shadow', '..', '.', 'a/b', 'a\\b\u0000', '']) {
    t.throws(() => checkFrame(order(madeBuild({ disk: { ...disk, image } }))), { code: 'FRAME_INVALID' }, JSON.stringify(image));
    t.throws(() => checkFrame(order(madeBuild({ disk: { ...disk, pool: image } }))), { code: 'FRAME_INVALID' });
    t.throws(() => checkFrame(order(madeBuild({ networks: [{ kind: 'bridge', source: image }] }))), { code: 'FRAME_INVALID' });
  }
  for (const receiver of ['guest-agent', 'direct-guest-agent', 'aggregator', 'host-agent-from-guest'] as const) {
    t.notOk(mayReceive(receiver, 'build' satisfies Frame['type']), `no build may arrive at ${receiver}`);
  }
  t.notOk(mayReceive('aggregator-from-guest', 'build-result'), 'no guest answers for its host');
});

t.test('links and layers that lead out of the pool are refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-pool-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const pool = join(folder, 'pool');
  const boot = join(folder, 'boot');
  for (const path of [pool, boot]) mkdirSync(path);
  const secret = join(folder, 'secret');
  writeFileSync(secret, 'root:x:0:0');
  writeFileSync(join(boot, 'kernel'), 'kernel');
  symlinkSync(secret, join(pool, 'link.qcow2'));
  symlinkSync(secret, join(boot, 'initrd'));
  const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { cwd: pool, stdio: 'pipe' });
  qemuImg('create', '-q', '-f', 'qcow2', 'base.qcow2', '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'layer.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', secret, '-F', 'raw', 'stolen.qcow2', '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', '../secret', '-F', 'raw', 'climbs.qcow2', '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'stolen.qcow2', '-F', 'qcow2', 'deep.qcow2', '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'nbd://attacker/x', '-F', 'raw', 'remote.qcow2', '1M');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${join(folder, 'data')}`, 'data.qcow2', '1M');
  for (const fine of ['base.qcow2', 'layer.qcow2', 'gone.qcow2']) t.equal(await imageLeadsOutside(join(pool, fine)), null, fine);
  t.equal(await leadsOutside(join(boot, 'kernel'), boot), null);
  t.equal(await leadsOutside(join(boot, 'initrd'), boot), secret);

  const { ask, state, builder } = desk({ ...LIMITS, bootFolder: boot });
  for (const name of ['link', 'stolen', 'climbs', 'deep', 'remote', 'data']) {
    state.path = join(pool, `${name}.qcow2`);
    t.match(await ask(order(madeBuild(), { orderId: name })), refusedBy('PERMISSION', /leads out of pool templates/), name);
  }
  state.path = join(pool, 'layer.qcow2');
  const booting = (kernel: string, initrd: string) => madeBuild({ boot: { kernel, initrd, commandLine: '' } });
  const kernel = join(boot, 'kernel');
  t.match(await ask(order(booting(kernel, `${boot}/../secret`), { orderId: '1' })), refusedBy('PERMISSION', /does not lie in/));
  t.match(await ask(order(booting(kernel, '/etc/shadow'), { orderId: '2' })), refusedBy('PERMISSION', /does not lie in/));
  t.match(await ask(order(booting(kernel, join(boot, 'initrd')), { orderId: '3' })), refusedBy('PERMISSION', /leads out of/));
  t.same(builder.remains(), []);
  t.match(await ask(order(booting(kernel, kernel), { orderId: '4' })), [{ outcome: 'applied' }]);
});

t.test(
  'suspended and brought back: only what was made here, only where the host suspends, and given up before it boots or goes',
  async (t) => {
    const { ask, builder, rested, state } = desk();
    const asked = (generation: number, action: 'suspend' | 'resume') =>
      ask(order(madeBuild(), { pair: { epoch: 5, generation }, order: { action, vm: VM } }));
    t.match(await asked(1, 'suspend'), refusedBy('PERMISSION', /not made by Headroom/));
    await ask(order(madeBuild(), { pair: { epoch: 5, generation: 2 } }));
    t.same(rested, [], 'nothing of one that is made anew is given up');
    t.match(await asked(3, 'suspend'), [{ outcome: 'applied', action: 'suspend', reason: 'by the hypervisor' }]);
    t.match(await asked(3, 'suspend'), [{ outcome: 'applied' }], 'answered again');
    state.cannotResume = 'chunk 7 is not what was written';
    t.match(await asked(4, 'resume'), [{ outcome: 'failed', code: 'STORE_CORRUPT', reason: /chunk 7/ }]);
    t.equal(await builder.power(VM), 'shutoff');
    state.cannotResume = null;
    t.match(await asked(4, 'resume'), [{ outcome: 'applied' }], 'tried again: what stood in the way may be gone');
    t.same(rested, ['suspend', 'resume', 'resume']);
    await ask(order(madeBuild(), { pair: { epoch: 5, generation: 5 } }));
    const gone = { action: 'remove', vm: VM, pool: POOL, keepDisk: false } as const;
    await ask(order(madeBuild(), { pair: { epoch: 5, generation: 6 }, order: gone }));
    t.same(rested.slice(3), ['give up', 'give up']);
    const bare = desk(LIMITS, false);
    await bare.ask(order(madeBuild()));
    const suspend = { pair: { epoch: 5, generation: 2 }, order: { action: 'suspend', vm: VM } } as const;
    t.match(await bare.ask(order(madeBuild(), suspend)), refusedBy('PERMISSION', /snapshotDir/));
    t.equal(await bare.builder.power(VM), 'running');
  },
);
