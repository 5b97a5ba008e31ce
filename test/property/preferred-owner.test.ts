/** Goal: owners are spread evenly, and who comes or goes moves only what must move, a bounded number a round. */
import fc from 'fast-check';
import t from 'tap';
import { movesOfRound, preferredOwner } from '../../aggregator/core/ownership/preferred-owner.ts';

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/), { minLength: 1, maxLength: 8 });
const hostNames = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9.-]{0,12}$/), { maxLength: 200 });

t.test('nobody to choose from', async (t) => {
  t.equal(preferredOwner('kvm1', []), null);
});

t.test('the choice does not depend on the order in which members are named', async () => {
  fc.assert(
    fc.property(names, fc.string(), (members, host) => preferredOwner(host, members) === preferredOwner(host, [...members].reverse())),
  );
});

t.test('a member that goes moves its own hosts alone; one that comes takes hosts only for itself', async () => {
  fc.assert(
    fc.property(names, hostNames, fc.nat(), (members, hosts, pick) => {
      const gone = members[pick % members.length]!;
      const rest = members.filter((member) => member !== gone);
      return hosts.every((host) => {
        const before = preferredOwner(host, members);
        return before === gone || preferredOwner(host, rest) === before;
      });
    }),
  );
});

t.test('three members share ten thousand hosts to within a twentieth', async (t) => {
  const counts = new Map<string, number>();
  for (let i = 0; i < 10_000; i++) {
    const owner = preferredOwner(`host-${i}.example`, ['a', 'b', 'c'])!;
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  for (const count of counts.values()) t.ok(Math.abs(count - 10_000 / 3) < 500, `${count}`);
});

t.test('rounds move at most what they may, only what is misplaced, and come to an end', async () => {
  fc.assert(
    fc.property(names, hostNames, fc.integer({ min: 1, max: 20 }), (members, hosts, movesMax) => {
      const self = members[0]!;
      let held = hosts;
      for (let round = 0; round <= hosts.length; round++) {
        const moves = movesOfRound(self, held, members, movesMax);
        if (moves.length > movesMax || moves.some(({ host, to }) => to === self || preferredOwner(host, members) !== to)) return false;
        if (moves.length === 0) return held.every((host) => preferredOwner(host, members) === self);
        const moved = new Set(moves.map(({ host }) => host));
        held = held.filter((host) => !moved.has(host));
      }
      return false;
    }),
  );
});
