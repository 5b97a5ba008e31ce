/**
 * Goal: a host that lacks records of a VM's snapshot gets them from another that has them, by way of the aggregator, as they are sealed: asked
 * of those alone that understand it, handed to the host that lacks them and to no other, and asked for again when a host has something new.
 */
import t from 'tap';
import { CHUNKS_CAPABILITY, SUPPLY_CAPABILITY, SUSPEND_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import { aggregatorWorld } from '../support/aggregator-world.ts';
import { FakeHost, fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const POLICY = `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
defaults:
  cpu: {mode: observe}
  memory: {mode: observe}
`;
const VM = testVmId(1);
const NAMES = ['ab'.repeat(32), 'cd'.repeat(32)];
const RECORD = { name: NAMES[0]!, sealed: Buffer.from('sealed').toString('base64') };
const UNASKED = { name: 'ef'.repeat(32), sealed: '' };
const load = () => ({ cores: 0.5, memoryMiB: 300 });
const telling = (names: readonly string[] | null) => ({
  ...{ type: 'suspended' as const, storedBytes: 0 },
  vms: [
    {
      ...{ vm: VM, name: 'web', phase: 'running' as const, recipe: 'memory-file' as const, reason: '', snapshot: null, sinceMs: 0 },
      ...{ memoryBytes: 1, filledBytes: 1, resumes: 0, predictedChunks: 0, hitRate: null, wasteRate: null, problems: [], from: 'kvm9' },
      ...(names === null ? {} : { lacks: { tenant: 'default', names: [...names] } }),
    },
  ],
});

t.test('records that one host lacks and another has', async (t) => {
  const world = await aggregatorWorld([fakeVm(VM, 'web', load)], POLICY);
  const { host } = world;
  const more = ['kvm2', 'kvm3'].map((name, n) => new FakeHost(name, world.clock, [fakeVm(testVmId(n + 2), name, load)]));
  const [has, old] = more as [FakeHost, FakeHost];
  const able = [SUSPEND_CAPABILITY, CHUNKS_CAPABILITY, SUPPLY_CAPABILITY];
  host.capabilities = able;
  has.capabilities = able;
  old.capabilities = [SUSPEND_CAPABILITY];
  for (const one of more) {
    one.network.onConnection((transport) => world.aggregator.accept(transport));
    one.live();
  }
  await world.run(20_000);
  const asked = (of: FakeHost) => of.suspends.map(({ order }) => order).filter(({ action }) => action === 'give' || action === 'supply');
  host.send(telling(NAMES));
  await world.run(1000);
  t.same(asked(has), [{ action: 'give', vm: VM, tenant: 'default', names: NAMES }]);
  t.same([asked(host), asked(old)], [[], []], 'neither itself nor who does not understand it');
  host.send(telling(NAMES));
  await world.run(1000);
  t.equal(asked(has).length, 1, 'once, until an answer is old');
  const answer = { outcome: 'applied' as const, reason: '', progress: null, measured: {}, wallMs: 0, vm: VM };
  const { orderId } = has.suspends.at(-1)!;
  has.send({ type: 'suspend-result', orderId, action: 'give', ...answer, records: [RECORD, UNASKED] });
  await world.run(1000);
  t.same(asked(host), [{ action: 'supply', vm: VM, from: 'kvm2', records: [RECORD] }], 'what it lacks, and nothing else');
  old.send({ type: 'suspend-result', orderId, action: 'give', ...answer, records: [RECORD] });
  await world.run(1000);
  t.equal(asked(host).length, 1, 'who was not asked hands on nothing');
  host.send(telling(NAMES.slice(1)));
  await world.run(1000);
  t.match(asked(has).at(-1), { names: NAMES.slice(1) });
  await world.run(30_000);
  has.send({ ...telling(null), vms: [] });
  await world.run(1000);
  t.equal(asked(has).length, 3, 'it tells of something new, and may have it now');
  host.send(telling(null));
  await world.run(40_000);
  has.send({ ...telling(null), vms: [] });
  await world.run(1000);
  t.equal(asked(has).length, 3, 'nothing is lacking any more');
});
