/** Goal: equal values have one text, the text means the value, and what JSON would bend in silence is refused by path. */
import fc from 'fast-check';
import t from 'tap';
import { canonicalJson } from '../../shared/canonical-json.ts';

t.test('keys are sorted at every depth, order of insertion does not matter', async (t) => {
  t.equal(canonicalJson({ b: [{ d: 1, c: null }], a: 'x"\n' }), '{"a":"x\\"\\n","b":[{"c":null,"d":1}]}');
  t.equal(canonicalJson({ a: 1, b: 2 }), canonicalJson({ b: 2, a: 1 }));
});

t.test('the text means the value', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value);
      t.same(JSON.parse(text), JSON.parse(JSON.stringify(value)));
      return canonicalJson(JSON.parse(text)) === text;
    }),
    { numRuns: 200 },
  );
});

const cycle: { self?: unknown } = {};
cycle.self = cycle;
for (const [name, value, path] of [
  ['NaN', { a: [1, Number.NaN] }, '$.a[1]'],
  ['infinity', { a: { b: Number.POSITIVE_INFINITY } }, '$.a.b'],
  ['undefined', { a: undefined }, '$.a'],
  ['undefined itself', undefined, '$'],
  ['a hole', { a: new Array(1) }, '$.a[0]'],
  ['a date', { at: new Date(0) }, '$.at'],
  ['a map', { m: new Map() }, '$.m'],
  ['bytes', { b: new Uint8Array(1) }, '$.b'],
  ['a function', { f: () => 1 }, '$.f'],
  ['a bigint', { n: 1n }, '$.n'],
  ['a cycle', cycle, '$.self'],
] as const) {
  t.test(`${name} is refused`, async (t) => {
    t.throws(() => canonicalJson(value), { code: 'INVARIANT_BROKEN', message: new RegExp(path.replaceAll(/[$.[\]]/g, '\\$&')) });
  });
}
