/**
 * Goal: a VM whose job is over, or that goes on, is its plans' again within seconds, without waiting for the next look at all VMs; one that
 * is still busy is not.
 */
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

t.test('a definition that changes in the instant in which the VM goes on: it goes on', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(40);
  world.hypervisor.setPower(A, 'paused');
  await world.run(3);
  t.equal(world.inventory(A)?.state, 'paused');
  // As at the end of a live migration that makes the VM persistent.
  world.hypervisor.setPower(A, 'running');
  world.hypervisor.redefine(A);
  await world.run(4);
  t.equal(world.inventory(A)?.state, 'ready');
  await world.stop();
});

t.test('a list of VMs that is older than an event does not unsay it', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(40);
  world.hypervisor.setPower(A, 'paused');
  await world.run(3);
  const { hypervisor } = world;
  const capacity = hypervisor.capacity.bind(hypervisor);
  let told = false;
  hypervisor.capacity = () => {
    // The list has been made, and is not worked on yet.
    if (!told) hypervisor.setPower(A, 'running');
    told = true;
    return capacity();
  };
  for (let i = 0; i < 70 && !told; i++) await world.run(1);
  t.ok(told);
  await world.run(4);
  t.equal(world.inventory(A)?.state, 'ready');
  await world.stop();
});
