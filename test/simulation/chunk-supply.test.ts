/**
 * Goal: a host that lacks records of a VM's snapshot gets them from another that has them, by way of the aggregator, as they are sealed: asked
 * of those alone that understand it, handed to the host that lacks them and to no other, and asked for again when a host has something new. Of
 * hundreds all come that anybody has, soon, and no host is asked more often than it takes.
 */
import t from 'tap';
import { LackingToTell } from '../../agent/loops/lacking-to-tell.ts';
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

t.test("240 records, 40 of them nobody's and the first of all", async (t) => {
  const world = await aggregatorWorld([fakeVm(VM, 'web', load)], POLICY);
  const { host, clock } = world;
  const others = ['kvm2', 'kvm3'].map((name, n) => new FakeHost(name, world.clock, [fakeVm(testVmId(n + 2), name, load)]));
  const able = [SUSPEND_CAPABILITY, CHUNKS_CAPABILITY, SUPPLY_CAPABILITY];
  for (const one of [host, ...others]) one.capabilities = able;
  for (const one of others) {
    one.network.onConnection((transport) => world.aggregator.accept(transport));
    one.live();
  }
  await world.run(20_000);
  const all = Array.from({ length: 240 }, (_, n) => n.toString(16).padStart(64, '0'));
  /** The first 40 are nobody's, then one host's and the other's by turns, some of them both's. */
  const holds = (of: number, name: string): boolean => {
    const n = Number.parseInt(name, 16);
    return n >= 40 && (n % 2 === of || n % 5 === 0);
  };
  let lacking = all;
  const tell = (): void => host.send(telling(toTell.now([VM]).get(VM) ?? null));
  const toTell: LackingToTell = new LackingToTell(clock, () => lacking, tell);
  t.teardown(() => toTell.stop());
  const answer = { outcome: 'applied' as const, reason: '', progress: null, measured: {}, wallMs: 0, vm: VM };
  const seen = [host, ...others].map(() => 0);
  /** What agents do with what came in since. */
  const serve = (): void => {
    for (const [index, one] of [host, ...others].entries())
      for (; seen[index]! < one.suspends.length; seen[index]!++) {
        const { orderId, order } = one.suspends[seen[index]!]!;
        if (order.action === 'give') {
          const records = order.names.filter((name) => holds(index - 1, name)).map((name) => ({ ...RECORD, name }));
          one.send({ type: 'suspend-result', orderId, action: 'give', ...answer, records });
        } else if (order.action === 'supply') {
          lacking = lacking.filter((name) => !order.records.some((record) => record.name === name));
          tell();
        }
      }
  };
  tell();
  let seconds = 0;
  for (; seconds < 120 && lacking.length > 40; seconds++)
    for (let tenth = 0; tenth < 10; tenth++) {
      await world.run(100);
      serve();
    }
  t.same(lacking, all.slice(0, 40), 'all that anybody has');
  t.comment(`${seconds} s, ${seen.slice(1).join(' and ')} questions`);
  t.ok(seconds <= 30, `${seconds} s`);
  t.ok(Math.max(...seen.slice(1)) <= 200, 'no host was asked more often than records came');
  const asked = Math.max(...seen.slice(1));
  await world.run(600_000);
  const more = Math.max(...others.map((one) => one.suspends.length)) - asked;
  t.ok(more > 0 && more <= 150, `what nobody has was asked for ${more} more times within ten minutes`);
});
