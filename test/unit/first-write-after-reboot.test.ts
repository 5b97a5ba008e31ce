/**
 * Goal: a guest whose balloon rested below its boot size, and which boots again, is not written to before its balloon is back there: what
 * it holds meanwhile would be taken for what it had before the first write, and be put back as that.
 */
import t from 'tap';
import { restore } from '../../agent/restore.ts';
import type { Setting } from '../../shared/resources.ts';
import { A, agentWorld, calmVm } from '../support/agent-world.ts';

const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });

t.test('its original is where it rested', async (t) => {
  const guest = calmVm(A, { baseline: [memory(819)], balloonMiBPerSecond: 20, bootMemoryMiB: 1024 });
  const world = await agentWorld([guest], { bootDeadlineMs: 5000 });
  await world.run(240);
  world.lease({ leaseMs: 3_600_000 });
  t.equal(world.hypervisor.truth(A).balloonMiB, 819, 'as its definition says');
  world.hypervisor.reboot(A);
  await world.run(2);
  t.equal(world.hypervisor.truth(A).balloonMiB, 1024, 'it boots');
  const early = world.command({ target: memory(700), floor: 64 });
  await world.run(1);
  t.match(world.result(early), { outcome: 'refused', reason: /its guest rebooted, and its balloon is not back at 819 MiB yet/ });
  await world.run(60);
  const later = world.command({ target: memory(700), floor: 64 });
  await world.run(20);
  t.match(world.result(later), { outcome: 'applied' });
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 819);
  await world.stop();
});
