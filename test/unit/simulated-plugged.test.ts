/**
 * Goal: a simulated guest with a memory device behaves as real ones do where decisions depend on it: it plugs and unplugs whole
 * blocks, keeps what it cannot move, loses all at a reset and plugs it again; and simulated fleets put such guests to the test.
 */
import t from 'tap';
import { createSimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import type { SimulatedVmOptions } from '../../agent/hypervisor/simulated-vm.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { carryOut } from '../../simulation/fault-events.ts';
import { FAULT_KINDS } from '../../simulation/faults.ts';
import { SHORT_DAYS } from '../../simulation/paces.ts';
import { World } from '../../simulation/world.ts';

const A = vmId('6f1b0000-0000-4000-8000-00000000000a');
const VM: SimulatedVmOptions = {
  id: A,
  name: 'a',
  vcpus: 2,
  bootMemoryMiB: 640,
  plugged: { sizeMiB: 384, blockMiB: 8, requestedMiB: 160 },
  baseline: [{ resource: 'memory', memoryMiB: 800 }],
  cpuDemandCores: () => 1,
  workingSetMiB: () => 300,
};

async function world(more: Partial<SimulatedVmOptions> = {}) {
  const time = new SimulatedTime(createPrng(3), Date.UTC(2026, 0, 1));
  const hypervisor = createSimulatedHypervisor({
    clock: new NodeClock(time),
    cpuCores: 2,
    memoryMiB: 8192,
    vms: [{ ...VM, ...more }],
  });
  await hypervisor.connect();
  const pass = (seconds: number): Promise<void> => time.runUntil(time.nowMs + 1000 * seconds);
  const write = (memoryMiB: number) => hypervisor.writeSetting(A, { resource: 'memory', memoryMiB });
  const has = async (): Promise<number[]> => {
    const { pluggedMiB } = hypervisor.truth(A);
    return [(await hypervisor.readSetting(A, 'memory')).memoryMiB, pluggedMiB];
  };
  return { hypervisor, pass, write, has };
}

t.test('it grows and shrinks in whole blocks, the device last and first', async (t) => {
  const { hypervisor, pass, write, has } = await world();
  await pass(1);
  t.same(await has(), [800, 160]);
  await write(903);
  await pass(10);
  t.same(await has(), [896, 256]);
  t.match(await hypervisor.facts(A), { bootMemoryMiB: 640, memoryDevices: 1, plugged: { sizeMiB: 384, requestedMiB: 256 } });
  await write(700);
  await pass(10);
  t.same(await has(), [700, 64], 'unplugged first, the rest of a block by the balloon');
  await write(500);
  await pass(10);
  t.same(await has(), [500, 0]);
  await t.rejects(write(1025), /cannot be given 1025/);
  await t.resolves(write(1024));
});

t.test('it gives up nothing that it uses', async (t) => {
  const { pass, write, has } = await world({ workingSetMiB: () => 700 });
  await pass(1);
  await write(640);
  await pass(30);
  t.same(await has(), [704, 64]);
});

t.test('what cannot be moved stays plugged, and goes when it can', async (t) => {
  const { hypervisor, pass, write, has } = await world();
  await write(1024);
  await pass(10);
  hypervisor.setKept(A, 0.5);
  await write(640);
  await pass(30);
  t.same(await has(), [832, 192], 'a part of it, and the balloon does not make up for the rest');
  hypervisor.setKept(A, 1);
  await write(1000);
  await pass(30);
  t.same(await has(), [832, 192], 'nothing at all');
  hypervisor.setKept(A, 0);
  await pass(30);
  t.same(await has(), [1000, 360]);
});

t.test(
  'a reset leaves nothing plugged until the driver loads; power-off forgets what was asked for; what was kept is restored',
  async (t) => {
    const { hypervisor, pass, write, has } = await world();
    await pass(1);
    const original = await hypervisor.readNative(A, 'memory');
    await write(1000);
    await pass(10);
    hypervisor.reboot(A);
    await pass(5);
    t.same(await has(), [640, 0]);
    await pass(10);
    t.same(await has(), [1000, 360]);
    await hypervisor.writeNative(A, 'memory', original);
    await pass(10);
    t.same(await has(), [800, 160]);
    await write(1000);
    hypervisor.setPower(A, 'shutoff');
    hypervisor.setPower(A, 'running');
    await pass(30);
    t.same(await has(), [800, 160]);
  },
);

t.test('fleets have such guests, plans use what they may plug, and they refuse at times', async (t) => {
  const world = new World({ seed: 1, hosts: 2, vms: 8, hours: 8, faults: new Set(FAULT_KINDS), paces: SHORT_DAYS });
  world.start();
  for (const fault of world.faults.schedule(8 * 3_600_000)) world.time.schedule(() => carryOut(world, fault), fault.atMs);
  const requested = new Set<number>();
  const plugged = (): number[] =>
    world.hosts.flatMap(({ hypervisor, vmIds }) =>
      vmIds.flatMap((vm) => (hypervisor.truth(vm).options.plugged ? hypervisor.truth(vm).requestedMiB : [])),
    );
  t.equal(plugged().length, 1);
  for (let minutes = 10; minutes <= 480; minutes += 10) {
    await world.watchUntil(minutes * 60_000);
    for (const miB of plugged()) requested.add(miB);
  }
  t.ok(requested.size > 2 && requested.has(0), `requested: ${[...requested].join(', ')} MiB`);
  t.ok(world.faults.injected.keptMemory! > 0);
  t.same(world.invariants.broken, []);
});
