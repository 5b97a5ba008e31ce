/**
 * Goal: rows that wait to be sealed come back as they were written, bit by bit, packed or not: any number of rows, one or
 * many at a time; and the queue that says which of them are due gives the soonest first.
 */
import fc from 'fast-check';
import t from 'tap';
import { ColumnArena } from '../../aggregator/store/sqlite/column-room.ts';
import { DueQueue } from '../../aggregator/store/sqlite/due-queue.ts';
import { RowSegment } from '../../aggregator/store/sqlite/row-segment.ts';

const FIELDS = ['a.constant', 'a.rounded', 'a.any', 'a.unknown'];
const START_MS = Date.UTC(2026, 0, 1);
const row = fc.tuple(
  fc.integer({ min: 0, max: 300_000 }),
  fc.constant(1024),
  fc.oneof(
    fc.integer({ min: -5000, max: 5000 }).map((n) => n / 100),
    fc.constant(Number.NaN),
  ),
  fc.oneof(fc.double({ noDefaultInfinity: true }), fc.constant(-0)),
  fc.constant(Number.NaN),
);

t.test('rows of a segment', async (t) => {
  let packed = 0;
  fc.assert(
    fc.property(
      fc.array(fc.array(row, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 8 }),
      fc.nat(3),
      (writes, tightFrom) => {
        const segment = new RowSegment({ fields: FIELDS, names: new Set(FIELDS) }, writes[0]!.length);
        for (const [i, rows] of writes.entries()) {
          // A block as it stands in a larger buffer: times, then values row by row.
          const numbers = Float64Array.from([9, ...rows.map(([ms]) => START_MS + ms), ...rows.flatMap(([, ...values]) => values), 9]);
          segment.add(numbers, 1, 1 + rows.length, rows.length, i > tightFrom);
        }
        const all = writes.flat();
        const times = all.map(([ms]) => START_MS + ms);
        if (writes.slice(0, -1).flat().length > 32 && tightFrom < writes.length - 1) packed++;
        const same = (found: Float64Array, wanted: number[]) =>
          found.length === wanted.length && found.every((x, i) => Object.is(x, wanted[i]));
        return (
          segment.rows === all.length &&
          segment.ascending === times.every((time, i) => i === 0 || time > times[i - 1]!) &&
          same(segment.times(), times) &&
          FIELDS.every((_, i) =>
            same(
              segment.values(i),
              all.map((values) => values[i + 1]!),
            ),
          )
        );
      },
    ),
    { numRuns: 300 },
  );
  t.ok(packed > 50, `${packed} of 300 runs had rows enough to be packed`);
});

t.test('where memory is short telemetry at rest takes little of it', async (t) => {
  const fields = Array.from({ length: 27 }, (_, i) => `vm.field${i}`);
  const segment = new RowSegment({ fields, names: new Set(fields) }, 1);
  const numbers = new Float64Array(28);
  for (let second = 0; second < 300; second++) {
    numbers[0] = START_MS + 1000 * second;
    for (let i = 0; i < 27; i++) numbers[1 + i] = i < 5 ? ((second * (i + 7)) % 1000) / 1000 : 100 * i;
    segment.add(numbers, 0, 1, 1, true);
    if (second === 40) t.ok(segment.bytes < 2 * 32 * 28 * 8, `${segment.bytes} bytes for 40 rows`);
  }
  t.ok(segment.bytes < 300 * 28 * 8 * 0.3, `${segment.bytes} bytes for 300 rows`);
});

t.test('columns of an arena: each its own, until all are free again', async (t) => {
  const arena = new ColumnArena();
  for (let round = 0; round < 2; round++) {
    const sizes = [1, 300, 128 * 1024, 5, 200_000, 77_000, 77_000];
    const columns = sizes.map((size, i) => arena.room(size).fill(i));
    for (const [i, column] of columns.entries()) t.ok(column.length === sizes[i] && column.every((x) => x === i));
    arena.clear();
  }
  const first = arena.room(8);
  arena.clear();
  t.equal(arena.room(8).buffer, first.buffer, 'the same memory again');
});

t.test('the soonest first', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant('pop' as const)), { maxLength: 60 }), (operations) => {
      const queue = new DueQueue<{ dueMs: number }>();
      const model: number[] = [];
      for (const operation of operations) {
        if (operation === 'pop') {
          model.sort((a, b) => a - b);
          if ((queue.pop()?.dueMs ?? null) !== (model.shift() ?? null)) return false;
        } else {
          queue.push({ dueMs: operation });
          model.push(operation);
        }
        if ((queue.soonest?.dueMs ?? null) !== (model.length === 0 ? null : Math.min(...model))) return false;
      }
      return true;
    }),
    { numRuns: 500 },
  );
  t.pass('property held');
});
