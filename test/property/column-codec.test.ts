/** Goal: stored columns come back bit by bit, whatever is in them, and damage to a stored chunk never passes as data. */
import fc from 'fast-check';
import t from 'tap';
import { decodeGroup, encodeGroup } from '../../aggregator/store/sqlite/chunk-codec.ts';
import { decodeColumn, encodeColumn, encodedBytesMax } from '../../aggregator/store/sqlite/column-codec.ts';

const decimals = fc
  .tuple(fc.integer({ min: -(2 ** 33), max: 2 ** 33 }), fc.constantFrom(1, 10, 1000, 1024, 1e5, 1e6))
  .map(([n, scale]) => n / scale);
const value = fc.oneof(
  { weight: 3, arbitrary: decimals },
  fc.double(),
  fc.constantFrom(0, -0, Number.NaN, Number.MAX_VALUE, Number.MIN_VALUE, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 53)),
);
/** Columns as telemetry has them: constant, rounded, with holes; and columns as nobody has them. */
const column = fc.oneof(
  fc.array(value, { minLength: 1, maxLength: 80 }),
  fc.array(decimals, { minLength: 1, maxLength: 400 }),
  fc.tuple(value, fc.integer({ min: 1, max: 300 })).map(([x, n]) => Array<number>(n).fill(x)),
  fc.array(fc.option(fc.integer({ min: 0, max: 5000 }), { nil: Number.NaN }), { minLength: 1, maxLength: 200 }),
  fc
    .tuple(fc.integer(), fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 200 }))
    .map(([start, steps]) => steps.map((_, i) => start + steps.slice(0, i).reduce((a, b) => a + b, 0))),
);

const same = (a: Float64Array, b: Float64Array): boolean => a.length === b.length && a.every((x, i) => Object.is(x, b[i]));

t.test('a column alone', async (t) => {
  fc.assert(
    fc.property(column, (numbers) => {
      const values = Float64Array.from(numbers);
      const most = encodedBytesMax(values.length);
      const to = { plain: new Uint8Array(most + 3), plainAt: 3, noise: new Uint8Array(most + 5), noiseAt: 5 };
      encodeColumn(values, to);
      // Among others: what lies before and after must stay.
      const around = new Float64Array(values.length + 4).fill(7);
      decodeColumn(to.plain.slice(0, to.plainAt), 3, to.noise.slice(0, to.noiseAt), around, 2, values.length);
      const back = around.slice(2, -2);
      return to.plainAt <= to.plain.length && to.noiseAt <= to.noise.length && same(back, values);
    }),
    { numRuns: 1000 },
  );
  t.pass('property held');
});

t.test('a group of columns, read whole or in part', async (t) => {
  fc.assert(
    fc.property(fc.array(column, { minLength: 1, maxLength: 8 }), fc.nat(), (columns, pick) => {
      const rows = Math.max(...columns.map((numbers) => numbers.length));
      const group = columns.map((numbers) => Float64Array.from({ length: rows }, (_, i) => numbers[i] ?? Number.NaN));
      const bytes = encodeGroup(group);
      const all = decodeGroup(
        bytes,
        rows,
        group.map((_, i) => i),
      );
      const one = pick % group.length;
      return group.every((values, i) => same(all[i]!, values)) && same(decodeGroup(bytes, rows, [one])[0]!, group[one]!);
    }),
    { numRuns: 300 },
  );
  t.pass('property held');
});

t.test('a changed byte is found', async (t) => {
  fc.assert(
    fc.property(column, fc.nat(), fc.integer({ min: 1, max: 255 }), (numbers, at, flip) => {
      const values = Float64Array.from(numbers);
      const bytes = encodeGroup([values]);
      // Whether the payload is compressed (byte 0, lowest bit) is told apart by decoding it, everything else by the checksum.
      bytes[1 + (at % (bytes.length - 1))]! ^= flip;
      try {
        decodeGroup(bytes, values.length, [0]);
        return false;
      } catch (error) {
        return (error as { code?: string }).code === 'STORE_CORRUPT';
      }
    }),
    { numRuns: 500 },
  );
  t.pass('property held');
});

t.test('rounded telemetry takes little room', async (t) => {
  const rows = 300;
  const usage = Float64Array.from({ length: rows }, (_, i) => Math.round((1 + Math.sin(i / 9)) * 1e4) / 1e4);
  const constant = new Float64Array(rows).fill(2048);
  const resident = Float64Array.from({ length: rows }, (_, i) => 1500 + (((i * 7919) % 64) * 4) / 1024);
  const bytes = encodeGroup([usage, constant, resident]).length;
  t.ok(bytes < rows * 3, `${bytes} bytes for ${rows} rows of 3 values`);
});
