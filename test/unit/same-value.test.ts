/** Goal: two values are the same exactly when they are the same on the wire, whatever they are made of. */
import fc from 'fast-check';
import t from 'tap';
import { sameValue } from '../../shared/same-value.ts';

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(null, true, false, 0, 1, 'a', 'b'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.oneof(tie('value'), fc.constant(undefined)), { noNullPrototype: true }),
  ),
})).value;

/** Text in which the order of fields says nothing. */
const wire = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part,
  );

t.test('as on the wire', async (t) => {
  let same = 0;
  fc.assert(
    fc.property(plain, plain, fc.boolean(), (a, b, copied) => {
      const other = copied ? structuredClone(a) : b;
      if (wire(a) === wire(other)) same++;
      return sameValue(a, other) === (wire(a) === wire(other));
    }),
    { numRuns: 2000 },
  );
  t.ok(same > 500, `${same} pairs were the same`);
});

t.test('unknown numbers are the same as one another, and as nothing else', async (t) => {
  t.equal(sameValue({ miB: Number.NaN }, { miB: Number.NaN }), true);
  t.equal(sameValue({ miB: Number.NaN }, { miB: 0 }), false);
  t.equal(sameValue([], {}), false);
  t.equal(sameValue({ length: 0 }, []), false);
});
