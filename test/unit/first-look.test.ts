/** Goal: a VM whose look failed is looked at again soon, not at the next round over all VMs minutes later; what can never be read is let be. */
import t from 'tap';
import type { SimulatedCall, SimulatedFault } from '../../agent/hypervisor/simulated.ts';
import { A, agentWorld, B, calmVm } from '../support/agent-world.ts';

const REFUSED: SimulatedFault = { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'not now' };
const UNSUPPORTED: SimulatedFault = { kind: 'error', code: 'HYPERVISOR_UNSUPPORTED', message: 'never' };

/** Refuses calls of one method for A until it is told to stop, and counts them. */
function refusing(method: SimulatedCall['method'], answer: SimulatedFault = REFUSED) {
  const state = { calls: 0, refuses: true };
  const fault = (call: SimulatedCall): SimulatedFault | null => {
    if (call.method !== method || call.id !== A) return null;
    state.calls++;
    return state.refuses ? answer : null;
  };
  return { state, fault };
}

t.test('a definition that was refused is read again soon', async (t) => {
  const { fault, state } = refusing('facts');
  const world = await agentWorld([calmVm(A), calmVm(B)], { inventoryMs: 600_000 }, fault);
  t.equal(world.inventory(A), undefined, 'nothing is known of it yet');
  t.ok(world.inventory(B), 'the others are not held up');
  state.refuses = false;
  await world.run(25);
  const vm = world.inventory(A);
  t.same(vm?.current.map(({ resource }) => resource).slice(0, 2), ['cpu', 'memory']);
  t.ok(vm?.eligibility.memory.allowed);
});

t.test('a value in force that was refused is read again in the next round', async (t) => {
  const { fault, state } = refusing('readSetting');
  const world = await agentWorld([calmVm(A)], { inventoryMs: 600_000 }, fault);
  t.notOk(
    world.inventory(A)?.current.some(({ resource }) => resource !== 'memory'),
    'none was read: statistics tell of memory alone',
  );
  state.refuses = false;
  await world.run(12);
  t.same(
    world.inventory(A)?.current.map(({ resource }) => resource),
    ['cpu', 'memory', 'network', 'disk'],
  );
});

t.test('what the hypervisor cannot tell of a VM is not asked for again and again', async (t) => {
  const { fault, state } = refusing('readSetting', UNSUPPORTED);
  const world = await agentWorld([calmVm(A)], { inventoryMs: 600_000 }, fault);
  const atFirst = state.calls;
  await world.run(120);
  t.ok(atFirst >= 4, 'each resource was asked for');
  t.equal(state.calls, atFirst);
});

t.test('a VM that never answers is looked at more and more seldom', async (t) => {
  const { fault, state } = refusing('facts');
  const world = await agentWorld([calmVm(A)], { inventoryMs: 3_600_000 }, fault);
  await world.run(1800);
  t.ok(state.calls >= 6 && state.calls <= 14, `${state.calls} looks in half an hour of rounds every 5 s`);
  t.equal(world.logs.filter((line) => line.includes('could not look at a VM')).length, 1, 'the same problem is told once');
});

t.test('a VM that went while it was looked at is not looked at again', async (t) => {
  let calls = 0;
  const slow = (call: SimulatedCall): SimulatedFault | null => {
    if (call.method !== 'facts' || call.id !== A) return null;
    calls++;
    return calls === 1 ? null : { kind: 'delay', ms: 1500 };
  };
  const world = await agentWorld([calmVm(A), calmVm(B)], { inventoryMs: 600_000 }, slow);
  // Somebody ends it, and takes its definition away before the look at what it does now is over.
  world.hypervisor.setPower(A, 'shutoff');
  await world.run(1);
  world.hypervisor.removeVm(A);
  await world.run(1);
  const until = calls;
  t.ok(until >= 2);
  await world.run(120);
  t.equal(calls, until, 'it is gone');
  t.same(
    world
      .of('inventory')
      .at(-1)
      ?.vms.map(({ vm }) => vm),
    [B],
  );
});

t.test('what was written to a VM stays on record while nobody can tell what it does', async (t) => {
  const { fault, state } = refusing('other');
  state.refuses = false;
  const world = await agentWorld([calmVm(A)], { inventoryMs: 20_000 }, fault);
  world.lease();
  const id = world.command({ target: { resource: 'cpu', weight: 300, capCores: 1.5 } });
  await world.run(3);
  t.match(world.result(id), { outcome: 'applied' });
  // libvirt knows a domain without a state; a new agent's first look fails before it knows what the VM does.
  world.hypervisor.setPower(A, 'unknown');
  await world.run(30);
  t.ok(world.files.load().records.find(({ vm }) => vm === A)?.entries.cpu, 'not given up');
  world.hypervisor.setPower(A, 'running');
  await world.run(30);
  state.refuses = true;
  await world.restart();
  await world.run(1);
  state.refuses = false;
  await world.run(60);
  t.ok(world.files.load().records.find(({ vm }) => vm === A)?.entries.cpu, 'nor by a new agent');
});
