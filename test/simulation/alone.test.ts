/**
 * Goal: what hosts do without anybody above them. A whole day under load with the aggregator dead: no memory shrunk, no guest
 * or host out of memory. The kill switch, of the fleet or of one host: no write begins more than a second later. Restore puts
 * a hundred VMs back within thirty seconds.
 */
import t from 'tap';
import { restore } from '../../agent/restore.ts';
import type { VmId } from '../../shared/ids.ts';
import type { HostNode } from '../../simulation/host-node.ts';
import { FINE, MEDIUM } from '../../simulation/paces.ts';
import { World } from '../../simulation/world.ts';

t.setTimeout(600_000);

const HOUR_MS = 3_600_000;
/** Plans and days as in short runs, physics as coarse as in long ones. */
const PACES = MEDIUM;
const LEARNING_HOURS = 6;

const targets = (hosts: readonly HostNode[]): Map<VmId, number> =>
  new Map(hosts.flatMap(({ vmIds, hypervisor }) => vmIds.map((id) => [id, hypervisor.truth(id).balloonTargetMiB] as const)));

const guestOoms = (hosts: readonly HostNode[]): number =>
  hosts.reduce((sum, { vmIds, hypervisor }) => sum + vmIds.reduce((own, id) => own + hypervisor.truth(id).guestOoms, 0), 0);

interface Write {
  host: HostNode;
  atMs: number;
}

/** Every write that begins. */
function watchWrites({ hosts, time }: World): Write[] {
  const writes: Write[] = [];
  for (const host of hosts) {
    const { hypervisor } = host;
    const write = hypervisor.writeSetting.bind(hypervisor);
    hypervisor.writeSetting = (...args) => {
      writes.push({ host, atMs: time.nowMs });
      return write(...args);
    };
  }
  return writes;
}

t.test('a whole day with the aggregator dead, under load', async (t) => {
  const world = new World({ seed: 41, hosts: 2, vms: 10, hours: LEARNING_HOURS, faults: new Set(), paces: PACES });
  const baseline = targets(world.hosts);
  world.start();
  await world.watchUntil(LEARNING_HOURS * HOUR_MS);
  const before = targets(world.hosts);
  const lent = [...before].filter(([vm, target]) => target < (baseline.get(vm) ?? 0));
  t.ok(lent.length > 0, `memory of ${lent.length} VMs had been taken before`);
  world.killAggregator();
  await world.watchUntil((LEARNING_HOURS + 24) * HOUR_MS);
  t.same(world.invariants.broken, []);
  const after = targets(world.hosts);
  t.same(
    [...after].filter(([vm, target]) => target < (before.get(vm) ?? 0)),
    [],
    'no memory was shrunk',
  );
  t.equal(guestOoms(world.hosts), 0);
  t.equal(
    world.hosts.reduce((sum, { hypervisor }) => sum + hypervisor.oracle().hostOomTicks, 0),
    0,
  );
  for (const { leaseOut } of world.hosts) t.equal(leaseOut, true);
  for (const { vmIds, hypervisor } of world.hosts)
    for (const vm of vmIds) t.equal(hypervisor.truth(vm).cpu.capCores, null, 'caps are lifted');
});

t.test('kill switch: the last write begins within a second, whoever throws it', async (t) => {
  const world = new World({ seed: 42, hosts: 2, vms: 10, hours: LEARNING_HOURS, faults: new Set(), paces: FINE });
  const writes = watchWrites(world);
  world.start();
  await world.watchUntil(2 * HOUR_MS);
  const latest: number[] = [];
  for (let round = 0; round < 6; round++) {
    const seen = writes.length;
    // Thrown the moment something is being written, so that more would follow.
    while (writes.length === seen) await world.time.runUntil(world.time.nowMs + 20);
    const engagedAtMs = world.time.nowMs;
    const service = world.aggregator.running!.service;
    const one = writes.at(-1)!.host;
    const wholeFleet = round % 2 === 0;
    if (wholeFleet) void service.setKillSwitch({ kind: 'fleet' }, true, 'test', 'stop');
    else one.files.setKill(null, 'stop');
    const quietFrom = writes.length;
    await world.watchUntil(engagedAtMs + 10 * 60_000);
    const own = writes.slice(quietFrom).filter(({ host }) => wholeFleet || host === one);
    latest.push(own.length === 0 ? 0 : own.at(-1)!.atMs - engagedAtMs);
    if (wholeFleet) void service.setKillSwitch({ kind: 'fleet' }, false, 'test', 'go on');
    else one.files.setKill(null, null);
    await world.watchUntil(world.time.nowMs + 60_000);
  }
  t.comment(`ms from the switch to the last write: ${latest.join(', ')}`);
  t.ok(Math.max(...latest) <= 1000, latest.join(', '));
});

t.test('restore of a hundred VMs', async (t) => {
  const world = new World({ seed: 43, hosts: 1, vms: 100, hours: LEARNING_HOURS, faults: new Set(), paces: PACES });
  world.start();
  await world.watchUntil(LEARNING_HOURS * HOUR_MS);
  const host = world.hosts[0]!;
  host.killAgent();
  const records = host.files.load().records.filter(({ entries }) => Object.keys(entries).length > 0);
  t.ok(records.length > 50, `${records.length} VMs have values of ours`);
  const startMs = world.time.nowMs;
  let doneAtMs = Number.NaN;
  const running = restore(host.hypervisor, host.files, null).then((lines) => {
    doneAtMs = world.time.nowMs;
    return lines;
  });
  await world.time.runUntil(startMs + 60_000);
  const lines = await running;
  t.same(
    lines.filter(({ ok }) => !ok),
    [],
  );
  t.ok(doneAtMs - startMs <= 30_000, `${doneAtMs - startMs} ms`);
});
