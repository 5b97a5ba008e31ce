/**
 * Goal: a balloon that a failed write left where it was is still ours after the agent was killed and started anew, also when
 * the write before was last read half way: nothing is taken for somebody else's, and restore knows the original.
 */
import t from 'tap';
import { restore } from '../../agent/restore.ts';
import type { Setting } from '../../shared/resources.ts';
import { A, agentWorld, calmVm } from '../support/agent-world.ts';

const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });

t.test('a failed write, then kill -9', async (t) => {
  let fail = false;
  // A slow balloon: reading back finds it on its way.
  const slow = calmVm(A, { balloonMiBPerSecond: 10, workingSetMiB: () => 200 });
  const world = await agentWorld([slow], {}, (call) =>
    fail && call.method === 'writeSetting' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'no' } : null,
  );
  await world.run(30);
  world.lease({ leaseMs: 3_600_000 });
  world.command({ target: memory(700), floor: 64 });
  await world.run(90);
  t.equal(world.hypervisor.truth(A).balloonMiB, 700);
  fail = true;
  const refused = world.command({ target: memory(730), floor: 64, pair: { epoch: 5, generation: 2 } });
  await world.run(5);
  t.equal(world.result(refused)?.outcome, 'failed');
  fail = false;
  await world.restart();
  await world.run(120);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'nobody else wrote',
  );
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 1024, 'the original is back');
  await world.stop();
});
