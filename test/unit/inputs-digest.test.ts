/** Goal: the digest of a plan's inputs tells any two inputs apart, and is the same for equal ones, however long their texts. */
import fc from 'fast-check';
import t from 'tap';
import { InputsDigest } from '../../aggregator/core/plan/inputs-digest.ts';

const digest = (value: unknown): string => new InputsDigest().add(value).hex();

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(null, true, false, 0, 1, 0.1, -1, 'a', 'ab', ''),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('x', 'y', 'xy'), tie('value'), { noNullPrototype: true }),
  ),
})).value;

t.test('equal values, and only they, have equal digests', async (t) => {
  fc.assert(
    fc.property(plain, plain, (a, b) => {
      if (digest(a) !== digest(structuredClone(a))) return false;
      return (digest(a) === digest(b)) === (JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 2000 },
  );
  t.match(digest([]), /^[0-9a-f]{64}$/);
});

t.test('what is beside the point changes nothing', async (t) => {
  t.equal(digest({ a: 1, b: undefined, c: () => 1 }), digest({ a: 1 }));
});

t.test('texts longer than what is hashed at once', async (t) => {
  const long = 'ä€'.repeat(60_000);
  t.equal(digest([long, long]), digest([`${long}`, `${long}`]));
  t.not(digest([long]), digest([`${long.slice(0, -1)}x`]));
  t.not(digest(['ab', 'c']), digest(['a', 'bc']));
  t.not(digest(Array.from({ length: 20_000 }, (_, i) => i)), digest(Array.from({ length: 20_000 }, (_, i) => i % 19_999)));
});
