/**
 * Goal: memory parted between balloon and virtio-mem device keeps the sums at every instant, whatever the guest obeys, in which order,
 * how far: never above the larger nor below the smaller of what it had and what was asked for; and a guest that obeys has what was asked, or what
 * it had where blocks are too large for that.
 */
import fc from 'fast-check';
import t from 'tap';
import { growthInBlocksMiB, memoryMiBToCome, type Parts, partsFor, type Room, shrinkInBlocksMiB } from '../../agent/core/plugged-memory.ts';

const room = fc
  .record({ boot: fc.integer({ min: 64, max: 600 }), blocks: fc.integer({ min: 1, max: 100 }), block: fc.constantFrom(4, 8, 128) })
  .map(({ boot, blocks, block }): Room => ({ boot, size: blocks * block, block }));

/** An order, and how far the guest carries out each half of it before it gets the next; 1 = wholly. */
const order = fc.record({
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  balloon: fc.constantFrom(0, 0.3, 0.9, 1),
  plugged: fc.constantFrom(0, 0.3, 0.9, 1),
  balloonFirst: fc.boolean(),
});

const sum = ({ balloon, plugged }: Parts): number => balloon + plugged;

/** Nothing but a shrink is: one for which no number of blocks leaves enough beside them. */
function refused(total: number, now: Parts, { boot, block }: Room): void {
  if (total >= sum(now)) throw new Error(`a growth from ${sum(now)} to ${total} MiB was refused`);
  for (let plugged = 0; plugged <= now.plugged; plugged += block) {
    const balloon = total - plugged;
    if (balloon <= now.balloon && balloon >= Math.min(plugged / 3, 0.75 * boot))
      throw new Error(`${balloon} and ${plugged} MiB would have done for ${total}`);
  }
}

t.test('sums hold at every instant, however little of each order is obeyed', async () => {
  fc.assert(
    fc.property(room, fc.array(order, { minLength: 1, maxLength: 30 }), (at, orders) => {
      let now: Parts = { balloon: at.boot, plugged: 0 };
      for (const { share, balloon, plugged, balloonFirst } of orders) {
        const total = Math.round(32 + share * (at.boot + at.size - 32));
        const asked = partsFor(total, now, at);
        if (asked === null) {
          refused(total, now, at);
          continue;
        }
        const [least, most] = [Math.min(sum(now), total), Math.max(sum(now), total)];
        const balloonNext = now.balloon + (asked.balloon - now.balloon) * balloon;
        const pluggedNext = now.plugged + Math.round(((asked.plugged - now.plugged) * plugged) / 2) * 2;
        const half = balloonFirst ? { ...now, balloon: balloonNext } : { ...now, plugged: pluggedNext };
        const end = { balloon: balloonNext, plugged: pluggedNext };
        // Both to their ends as well: what is obeyed late counts like what is obeyed at once.
        for (const one of [half, end, asked, { ...now, balloon: asked.balloon }, { ...now, plugged: asked.plugged }]) {
          if (sum(one) > most + 1e-6) throw new Error(`${sum(one)} MiB are above ${most}`);
          if (sum(one) < least - 1e-6) throw new Error(`${sum(one)} MiB are below ${least}`);
          if (one.balloon > at.boot + 1e-6 || one.balloon < 0) throw new Error(`a balloon of ${one.balloon} MiB`);
          if (one.plugged < 0 || one.plugged > at.size) throw new Error(`${one.plugged} MiB plugged of ${at.size}`);
        }
        now = end;
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('a guest that obeys has what was asked for: exactly at a shrink, to less than a block at a growth', async () => {
  fc.assert(
    fc.property(room, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 }), (at, shares) => {
      let now: Parts = { balloon: at.boot, plugged: 0 };
      for (const share of shares) {
        const total = Math.round(32 + share * (at.boot + at.size - 32));
        const grows = total >= sum(now);
        const parts = partsFor(total, now, at);
        if (parts === null) {
          refused(total, now, at);
          continue;
        }
        now = parts;
        const short = total - sum(now);
        if (grows ? short < 0 || short >= at.block : short !== 0) throw new Error(`${short} MiB short of ${total}`);
        if (now.plugged % at.block !== 0) throw new Error(`${now.plugged} MiB plugged in blocks of ${at.block}`);
        // Nothing stays plugged, and no balloon inflated, that the other could have made needless by more than a block.
        if (grows && now.plugged > 0 && total > at.boot + at.size - at.block && now.balloon < at.boot) throw new Error('a balloon is left');
      }
    }),
    { numRuns: 2000 },
  );
});

t.test('large blocks: what cannot be unplugged is not taken from the little beside it; an odd MiB is', async (t) => {
  const room = { boot: 1024, size: 4096, block: 512 };
  t.same(partsFor(1100, { balloon: 1024, plugged: 1024 }, room), { balloon: 588, plugged: 512 });
  t.equal(partsFor(600, { balloon: 588, plugged: 512 }, room), null, 'its kernel would have 88 MiB');
  t.equal(partsFor(300, { balloon: 588, plugged: 512 }, { ...room, block: 512 })?.plugged, 0, 'unplugged whole');
  t.same(partsFor(10_241, { balloon: 1024, plugged: 12_288 }, { boot: 1024, size: 16_384, block: 4 }), { balloon: 1021, plugged: 9220 });
});

t.test('orders of growth and steps of a shrink in whole blocks', async (t) => {
  const sizes = { bootMemoryMiB: 256, plugged: { sizeMiB: 256, blockMiB: 2, requestedMiB: 64 } };
  // What was asked for, what the guest has, what is ordered.
  for (const [wanted, held, ordered] of [
    [200, 150, 200],
    [300, 256, 300],
    [303, 256, 300],
    [301, 300, 300],
    [301, 300.5, 300.5],
    [258, 100, 256],
    [280, 300, 280],
    [512, 256, 512],
  ] as const) {
    t.equal(growthInBlocksMiB(wanted, held, sizes), ordered, `a growth from ${held} to ${wanted}`);
  }
  t.equal(growthInBlocksMiB(303, 256, { bootMemoryMiB: 512 }), 303, 'without a device nothing is rounded');
  for (const [next, held, step] of [
    [301, 400, 304],
    [300, 400, 300],
    [255, 400, 255],
    [301, 303, 301],
  ] as const) {
    t.equal(shrinkInBlocksMiB(next, held, sizes), step, `a step from ${held} to ${next}`);
  }
  const large = { bootMemoryMiB: 256, plugged: { sizeMiB: 1024, blockMiB: 512, requestedMiB: 0 } };
  t.equal(shrinkInBlocksMiB(700, 768, large), 700, 'less than a block: the balloon takes it');
  t.equal(memoryMiBToCome(256, sizes), 320, 'requested and not plugged yet');
  t.equal(memoryMiBToCome(320, sizes), 320);
  t.equal(memoryMiBToCome(256, { bootMemoryMiB: 512 }), 256);
});
