/** Goal: a VM whose job is over is its plans' again within seconds, without waiting for the next look at all VMs; one that is still busy is not. */
import t from 'tap';
import { A, agentWorld, B, calmVm } from '../support/agent-world.ts';

t.test('a job that ends', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B)]);
  await world.run(40);
  world.hypervisor.setJob(A, true);
  world.hypervisor.setJob(B, true);
  // Seen at the next look at all VMs.
  await world.run(60);
  t.equal(world.inventory(A)?.jobActive, true);
  await world.run(8);
  t.equal(world.inventory(A)?.jobActive, true, 'it lasts');
  world.hypervisor.setJob(A, false);
  await world.run(4);
  t.equal(world.inventory(A)?.jobActive, false);
  t.equal(world.inventory(B)?.jobActive, true, 'of another it says nothing');
  world.lease();
  const id = world.command({ vm: A });
  await world.run(3);
  t.equal(world.result(id)?.outcome, 'applied');
  await world.stop();
});
