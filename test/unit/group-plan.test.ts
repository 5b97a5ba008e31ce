/**
 * Goal: a group gets what it should and no more: made where there is room and while there is budget, called back before made anew,
 * let go only after its time, never below the least, never the last healthy member, never what Headroom did not make.
 */
import fc from 'fast-check';
import t from 'tap';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import type { HostRoom } from '../../aggregator/core/spawn/choose-host.ts';
import { decideGroup, type GroupMember, type GroupSituation } from '../../aggregator/core/spawn/group-plan.ts';
import { EMPTY_BOOK, ordered } from '../../aggregator/core/spawn/spawn-book.ts';
import type { SpawnRecord } from '../../aggregator/core/spawn/spawn-record.ts';
import { hostId, vmId } from '../../shared/ids.ts';

const NOW = 10_000_000;
const KVM1 = hostId('kvm1');
const idOf = (n: number) => vmId(`6f1b0000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`);
const policyOf = (more = ', mode: auto') =>
  parsePolicyFile(`version: 1\ngroups:\n  - {name: web, template: web, min: 1, max: 8, target: {cpu: 0.5}, idleFor: 1m${more}}\n`, {
    version: 1,
    forecasters: [],
  }).policy.groups![0]!;

function recordOf(n: number, phase: SpawnRecord['phase'] = 'serving'): SpawnRecord {
  const made = { vm: idOf(n), host: KVM1, vcpus: 2, memoryMiB: 1024, pool: 'images', template: 'web@1', reason: 'asked' };
  return { ...ordered(EMPTY_BOOK, 'web', made, 1000 + n).records[0]!, phase };
}

const memberOf = (n: number, change: Partial<GroupMember> = {}): GroupMember => ({
  ...{ vm: idOf(n), host: KVM1, record: recordOf(n), healthy: true, demand: n / 10 },
  ...change,
});
const room: HostRoom = { host: KVM1, barred: null, freeMemoryMiB: 1e6, freeCores: 1e3, members: 0 };

/** Members serve one core each; the forecast is the same for every step. */
function situation(members: GroupMember[], expected: number | null, change: Partial<GroupSituation> = {}): GroupSituation {
  const horizons = [1, 2, 3];
  const values = Float64Array.from(horizons, () => expected ?? 0);
  const forecast = expected === null ? null : { quantiles: [0.96], horizons, values, confidence: 1, explanation: '' };
  return {
    ...{
      policy: policyOf(),
      least: 1,
      most: 8,
      members,
      leaving: [],
      surplusSinceMs: null,
      barred: null,
      retryAtMs: 0,
      poolLacks: 0,
      rooms: [room],
      nowMs: NOW,
    },
    demands: [{ resource: 'cpu', unit: 1, now: expected, forecast }],
    sizing: { leadSteps: 2, holdSteps: 3 },
    budget: { left: 100, reason: 'enough' },
    asked: { memoryMiB: 1024, cores: 1, membersPerHostMax: 100 },
    ...change,
  };
}

const three = [memberOf(1), memberOf(2), memberOf(3)];

t.test('the warm pool is filled when nothing else is to be done, within budget and room', async (t) => {
  const lacking = { poolLacks: 2 };
  t.match(decideGroup(situation(three, 3, lacking)), { spawn: [], spares: [{ host: 'kvm1' }, {}], notDone: null });
  t.match(decideGroup(situation(three, 4.5, lacking)), { spawn: [{}, {}], spares: [] }, 'what is wanted comes first');
  t.match(decideGroup(situation(three, 3, { ...lacking, budget: { left: 1, reason: 'the budget' } })), {
    ...{ spares: [{}], notDone: 'the warm pool is not full: the budget' },
  });
  t.match(decideGroup(situation(three, 3, { ...lacking, policy: policyOf('') })), { spares: [], notDone: 'its mode is recommend' });
  t.match(decideGroup(situation(three, 3, { ...lacking, barred: 'frozen' })), { spares: [], notDone: 'frozen' });
});

t.test('a stopped member is called back only where its host has room for it; one that drains still runs', async (t) => {
  const rooms = [{ ...room, freeMemoryMiB: 1500 }];
  const stopped = [recordOf(8, 'stopped'), recordOf(9, 'stopped'), recordOf(10, 'draining')];
  const { callBack, spawn, notDone } = decideGroup(situation(three, 6, { leaving: stopped, rooms }));
  t.same(
    callBack.map(({ vm }) => vm),
    [idOf(8), idOf(10)],
  );
  t.same(spawn, []);
  t.match(notDone, /476 MiB are free, 1024 are needed/);
});

const LONG_AGO = { surplusSinceMs: NOW - 60_000 };

t.test('grows: those on their way out first, then new ones within budget, room and time', async (t) => {
  const { callBack, spawn } = decideGroup(situation(three, 4.5, { leaving: [recordOf(9, 'stopped')] }));
  t.match([callBack, spawn], [[{ vm: idOf(9), reason: /^called back: 4.5 of cpu for 5 VMs expected in 2 steps/ }], [{ host: 'kvm1' }]]);
  t.match(decideGroup(situation(three, 6, { budget: { left: 1, reason: 'the budget' } })), { spawn: [{}], notDone: 'the budget' });
  const apart = { memoryMiB: 1, cores: 1, membersPerHostMax: 1 };
  t.match(decideGroup(situation(three, 6, { asked: apart })), { spawn: [{}], notDone: /kvm1: it has 1 of the group already/ });
  t.match(decideGroup(situation(three, 6, { retryAtMs: NOW + 5000 })), { spawn: [], notDone: /the next is made in 5 s/ });
  t.match(decideGroup(situation([], null)), { desired: { size: 1 }, spawn: [{}] }, 'the least whatever is known');
  const now = situation(three, 0.1);
  t.match(decideGroup({ ...now, demands: [{ ...now.demands[0]!, now: 5 }] }), {
    desired: { size: 5, reason: '5 of cpu wanted now for 5 VMs' },
  });
});

t.test('shrinks: only after its time, the least used first, those that began to serve long enough ago', async (t) => {
  t.match(decideGroup(situation(three, 0.5)), { retire: [], surplusSinceMs: NOW, notDone: /for 0 s of the 60 s asked for/ });
  t.match(decideGroup(situation(three, 0.5, LONG_AGO)).retire, [{ vm: idOf(1) }, { vm: idOf(2) }]);
  const young = three.map((member, i) => (i === 0 ? { ...member, record: { ...recordOf(1), sinceMs: NOW - 1000 } } : member));
  t.match(decideGroup(situation(young, 0.5, LONG_AGO)).retire, [{ vm: idOf(2) }, { vm: idOf(3) }]);
  t.match(
    decideGroup(situation(three, null, LONG_AGO)),
    { desired: { size: 3 }, retire: [], surplusSinceMs: null },
    'not on what is not known',
  );
  const strangers = three.map((member) => ({ ...member, record: null }));
  t.match(decideGroup(situation(strangers, 0.5, LONG_AGO)), { retire: [], notDone: /the others are not for Headroom to end/ });
  t.match(decideGroup(situation(three, 0.5, { ...LONG_AGO, barred: 'the kill switch is on' })), {
    retire: [],
    notDone: 'the kill switch is on',
  });
  const asked = { ...LONG_AGO, policy: policyOf(', mode: recommend') };
  t.match(decideGroup(situation(three, 0.5, asked)), { retire: [], notDone: 'its mode is recommend' });
});

t.test('property: the least and a healthy one stay, the most is kept, whoever is ill and whatever is expected', async () => {
  const ill = fc.array(fc.record({ healthy: fc.boolean(), ours: fc.boolean() }), { maxLength: 8 });
  fc.assert(
    fc.property(ill, fc.double({ min: 0, max: 12, noNaN: true }), fc.integer({ min: 1, max: 4 }), (all, expected, least) => {
      const members = all.map(({ healthy, ours }, i) => memberOf(i + 1, { healthy, ...(ours ? {} : { record: null }) }));
      const { retire, spawn } = decideGroup(situation(members, expected, { ...LONG_AGO, least }));
      const left = members.filter(({ healthy, vm }) => healthy && !retire.some((gone) => gone.vm === vm));
      const ended = members.filter(({ vm }) => retire.some((gone) => gone.vm === vm));
      return (
        (retire.length === 0 || left.length >= Math.max(1, least)) &&
        ended.every(({ record, healthy }) => record !== null && healthy) &&
        members.length + spawn.length <= Math.max(8, members.length) &&
        (retire.length === 0 || spawn.length === 0)
      );
    }),
  );
});
