/**
 * Goal: a round over the values in force costs no call for what bulk statistics have just told, and misses nothing by that: somebody
 * else's size is found from the statistics, and where these tell nothing each round reads for itself.
 */
import t, { type Test } from 'tap';
import type { SimulatedFault } from '../../agent/hypervisor/simulated.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { A, type AgentWorld, agentWorld, calmVm } from '../support/agent-world.ts';

const cpu = (capCores: number): Setting => ({ resource: 'cpu', capCores, weight: 100 });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const ROUND_SECONDS = 5;

/** Runs on, and answers how often each value was read by itself. */
async function readsIn(world: AgentWorld, seconds: number): Promise<Record<Resource, number>> {
  const reads: Record<Resource, number> = { cpu: 0, memory: 0, network: 0, disk: 0 };
  const { hypervisor } = world;
  const read = hypervisor.readSetting;
  hypervisor.readSetting = (id, resource) => {
    reads[resource]++;
    return read.call(hypervisor, id, resource) as never;
  };
  await world.run(seconds);
  hypervisor.readSetting = read;
  return reads;
}

/** Both of its resources are ours, and at rest. */
async function written(fault?: () => SimulatedFault | null): Promise<AgentWorld> {
  const world = await agentWorld([calmVm(A)], { settingsMs: ROUND_SECONDS * 1000 }, (call) =>
    call.method === 'stats' ? (fault?.() ?? null) : null,
  );
  await world.run(40);
  world.lease({ leaseMs: 3_600_000 });
  const commands = [world.command({ target: cpu(1.5), floor: 0.5 }), world.command({ target: memory(768), floor: 512 })];
  await world.run(30);
  for (const command of commands) t.match(world.result(command), { outcome: 'applied' });
  return world;
}

async function findsForeign(t: Test, world: AgentWorld): Promise<void> {
  world.hypervisor.foreignWrite(A, memory(900));
  await world.run(60);
  t.match(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [{ resource: 'memory', setting: memory(900) }],
  );
}

t.test('sizes that statistics tell are not asked for again', async (t) => {
  const world = await written();
  const reads = await readsIn(world, 10 * ROUND_SECONDS);
  t.ok(reads.memory <= 1, `its size is not, but with the inventory: ${reads.memory} times in ten`);
  t.ok(reads.cpu >= 9, `its cap is read each round: ${reads.cpu} times in ten`);
  await world.stop();
});

t.test('a size that somebody else writes is found all the same', async (t) => {
  const world = await written();
  await findsForeign(t, world);
  await world.stop();
});

t.test('where statistics tell nothing, each round reads', async (t) => {
  let failing = false;
  const world = await written(() => (failing ? { kind: 'error', code: 'HYPERVISOR_UNAVAILABLE', message: 'no statistics today' } : null));
  failing = true;
  await world.run(2 * ROUND_SECONDS);
  const reads = await readsIn(world, 10 * ROUND_SECONDS);
  t.ok(reads.memory >= 9, `${reads.memory} times in ten rounds`);
  await findsForeign(t, world);
  await world.stop();
});
