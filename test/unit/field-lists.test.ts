/** Goal: field lists of the same names are one array across connections, and hostile numbers of them cost no more than the table. */
import t from 'tap';
import { sharedFieldList } from '../../shared/field-lists.ts';
import { createBlockDecoder, createBlockEncoder, FIELD_SETS_MAX } from '../../shared/net/blocks.ts';
import { vmUuid } from '../bench/made-rows.ts';

t.test('two connections that name the same fields have the same list', async (t) => {
  const block = (fields: readonly string[]) => ({
    ...{ subject: { kind: 'vm', id: vmUuid(1) }, source: 'host', fields },
    ...{ timesMs: Float64Array.of(1000), values: new Float64Array(fields.length).fill(7) },
  });
  const told = (fields: readonly string[]) => {
    const encoder = createBlockEncoder(FIELD_SETS_MAX);
    return createBlockDecoder(FIELD_SETS_MAX).decode([encoder.encode(block(fields) as never)])[0]!;
  };
  const one = told(['vm_cpu.usageCores', 'vm_memory.balloonMiB']);
  const other = told(['vm_cpu.usageCores', 'vm_memory.balloonMiB']);
  t.equal(one.fields, other.fields);
  t.ok(Object.isFrozen(one.fields));
  t.not(told(['vm_memory.balloonMiB', 'vm_cpu.usageCores']).fields, one.fields, 'their order counts');
});

t.test('numbers of one frame stay what they are when later frames come', async (t) => {
  const encoder = createBlockEncoder(FIELD_SETS_MAX);
  const decoder = createBlockDecoder(FIELD_SETS_MAX);
  const fields = Object.freeze(['vm_cpu.usageCores']);
  const sizes = [1, 4000, 300, 20_000, 5, 5, 3000];
  const decoded = sizes.map((rows, i) => {
    const timesMs = Float64Array.from({ length: rows }, (_, row) => 1000 * (row + 1));
    const values = new Float64Array(rows).fill(i);
    const [block] = decoder.decode([encoder.encode({ subject: { kind: 'vm', id: vmUuid(1) }, source: 'host', fields, timesMs, values })]);
    return block!;
  });
  for (const [i, { timesMs, values }] of decoded.entries()) {
    t.equal(values.length, sizes[i]);
    t.ok(values.every((value) => value === i));
    t.ok(timesMs.every((timeMs, row) => timeMs === 1000 * (row + 1)));
  }
});

t.test('a full table forgets, and goes on', async (t) => {
  const first = sharedFieldList(['a.b']);
  for (let i = 0; i < 3000; i++) sharedFieldList([`m.f${i}`]);
  t.same(sharedFieldList(['a.b']), first);
});
