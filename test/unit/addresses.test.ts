/** Goal: an agent finds its way among several aggregators: others after a failure, the owner when it is sent there, and never a hammering. */
import t from 'tap';
import { Addresses } from '../../agent/core/addresses.ts';
import { backoffMs } from '../../shared/backoff.ts';
import { createPrng } from '../../shared/prng.ts';

const BACKOFF = { baseMs: 500, capMs: 5000 };

t.test('one address is tried for ever, with the pauses it always had', async (t) => {
  const addresses = new Addresses(['a']);
  const [ours, plain] = [createPrng(1), createPrng(1)];
  for (let i = 0; i < 8; i++) {
    t.equal(addresses.next, 'a');
    t.equal(addresses.failed(0, BACKOFF, ours), backoffMs(i, BACKOFF, plain));
  }
  addresses.steady();
  t.equal(addresses.failed(0, BACKOFF, ours), backoffMs(0, BACKOFF, plain));
});

t.test('of several the next comes after each failure, and pauses grow once all have failed', async (t) => {
  const addresses = new Addresses(['a', 'b', 'c']);
  const random = createPrng(2);
  const tried: string[] = [];
  for (let i = 0; i < 6; i++) {
    tried.push(addresses.next);
    const waitMs = addresses.failed(0, BACKOFF, random);
    t.ok(waitMs <= 500 * 2 ** Math.floor(i / 3), `${waitMs} ms before attempt ${i + 2}`);
  }
  t.same(tried, ['a', 'b', 'c', 'a', 'b', 'c']);
});

t.test('sent on, it goes there at once; when nobody is there, on with the others', async (t) => {
  const addresses = new Addresses(['a', 'b']);
  const random = createPrng(3);
  t.ok(addresses.redirected('owner', 100, 0, BACKOFF, random) <= 100);
  t.equal(addresses.next, 'owner');
  addresses.failed(0, BACKOFF, random);
  t.equal(addresses.next, 'b');
});

t.test('who has just failed is not gone to on another word; a while later he is', async (t) => {
  const addresses = new Addresses(['a', 'b']);
  const random = createPrng(4);
  addresses.failed(1000, BACKOFF, random);
  t.equal(addresses.next, 'b');
  t.ok(addresses.redirected('a', 100, 1500, BACKOFF, random) >= 250, 'and the other is not asked again at once');
  t.equal(addresses.next, 'b', 'the one that answered is asked again');
  addresses.failed(2000, BACKOFF, random);
  t.ok(addresses.redirected('a', 100, 6000, BACKOFF, random) <= 100);
  t.equal(addresses.next, 'a');
});

t.test('sent on by one that cannot look after it, it asks the others at once and tells them who that was', async (t) => {
  const addresses = new Addresses(['a', 'b', 'c']);
  const random = createPrng(8);
  t.ok(addresses.redirected(null, 100, 1000, BACKOFF, random) <= 100);
  t.equal(addresses.next, 'b');
  t.same(addresses.unreachable(1000), ['a']);
  t.ok(addresses.redirected('a', 100, 1200, BACKOFF, random) >= 250, 'nor is it gone to on the word of another');
  t.equal(addresses.next, 'c');
  t.ok(addresses.redirected(null, 100, 1400, BACKOFF, random) <= 100);
  t.equal(addresses.next, 'b');
  t.ok(addresses.redirected(null, 100, 1500, BACKOFF, random) >= 250, 'none of them can: they are not hammered');
  t.same(addresses.unreachable(1500), ['a', 'c', 'b']);
});

t.test('sent in circles, it slows down until it is taken in', async (t) => {
  const addresses = new Addresses(['a', 'b']);
  const random = createPrng(5);
  const waits = Array.from({ length: 14 }, (_, i) => addresses.redirected(i % 2 ? 'a' : 'b', 100, 0, BACKOFF, random));
  t.ok(waits.slice(0, 6).every((ms) => ms <= 100));
  t.ok(waits.at(-1)! > 250);
  addresses.welcomed();
  t.ok(addresses.redirected('a', 100, 0, BACKOFF, random) <= 100);
});

t.test('others that it is told of come after those it was given; what failed of late is told', async (t) => {
  const addresses = new Addresses(['a']);
  const random = createPrng(6);
  addresses.welcomed(['a', 'b', 'c']);
  t.equal(addresses.next, 'a');
  addresses.failed(1000, BACKOFF, random);
  t.equal(addresses.next, 'b');
  addresses.failed(2000, BACKOFF, random);
  t.equal(addresses.next, 'c');
  t.same(addresses.unreachable(3000), ['a', 'b']);
  t.same(addresses.unreachable(11_500), ['b']);
  addresses.welcomed(['c', 'd']);
  t.equal(addresses.next, 'c', 'it stays where it is');
  addresses.failed(20_000, BACKOFF, random);
  t.equal(addresses.next, 'd', 'one that is no more is forgotten');
  addresses.failed(20_000, BACKOFF, random);
  t.equal(addresses.next, 'a', 'where it was told to look is not');
});
