/** Goal: telemetry blocks, NaN and all, survive the wire bit for bit, whatever order and number of field lists there is. */
import fc from 'fast-check';
import t from 'tap';
import { createBlockDecoder, createBlockEncoder } from '../../shared/net/blocks.ts';
import { createCodec } from '../../shared/net/codec.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

const name = fc.stringMatching(/^[a-z][a-zA-Z0-9_]{0,8}\.[a-zA-Z0-9_]{1,8}$/);
const fieldList = fc.uniqueArray(name, { minLength: 1, maxLength: 6 });
const value = fc.oneof(fc.constant(Number.NaN), fc.constant(-0), fc.double({ noDefaultInfinity: true, noNaN: true }));

const blockOf = (lists: readonly (readonly string[])[]): fc.Arbitrary<TelemetryBlock> =>
  fc
    .tuple(fc.constantFrom(...lists), fc.uuid(), fc.boolean(), fc.uniqueArray(fc.nat(2 ** 41), { minLength: 1, maxLength: 6 }))
    .chain(([fields, id, copy, times]) =>
      fc.array(value, { minLength: fields.length * times.length, maxLength: fields.length * times.length }).map((values) => ({
        subject: { kind: 'vm' as const, id },
        source: 'guest' as const,
        fields: copy ? [...fields] : fields,
        timesMs: Float64Array.from(times.sort((a, b) => a - b)),
        values: Float64Array.from(values),
      })),
    );

const stream = fc.array(fieldList, { minLength: 1, maxLength: 8 }).chain((lists) => fc.array(blockOf(lists), { maxLength: 20 }));

for (const [setsMax, selfContained] of [
  [1024, false],
  [3, false],
  [3, true],
] as const) {
  t.test(`round trip with ${setsMax} field sets${selfContained ? ', each message by itself' : ''}`, async (t) => {
    fc.assert(
      fc.property(stream, (blocks) => {
        const encoder = createBlockEncoder(setsMax, selfContained);
        const decoder = createBlockDecoder(setsMax);
        const sender = createCodec({ maxBytes: 1e6, selfContained });
        const receiver = createCodec({ maxBytes: 1e6, selfContained });
        for (const block of blocks) {
          const bytes = sender.encode({
            type: 'telemetry',
            lane: 'live',
            seq: 1,
            wallMs: 0,
            monotonicMs: 0,
            blocks: [encoder.encode(block)],
          });
          const frame = receiver.decode(bytes.slice());
          if (frame.type !== 'telemetry') throw new Error('not telemetry');
          const back = decoder.decode(frame.blocks)[0]!;
          if (back.fields.join() !== block.fields.join() || back.subject.id !== block.subject.id) return false;
          if (back.timesMs.length !== block.timesMs.length || back.timesMs.some((time, i) => time !== block.timesMs[i])) return false;
          if (back.values.some((v, i) => !Object.is(v, block.values[i]))) return false;
        }
        return true;
      }),
      { numRuns: 300 },
    );
    t.pass('property held');
  });
}

t.test('each frame stands alone where frames are lost, and names a list once', async (t) => {
  const frames = fc.array(fc.tuple(fc.boolean(), fc.array(fc.nat(5), { minLength: 1, maxLength: 8 })), { maxLength: 12 });
  const lists = Array.from({ length: 6 }, (_, list) => [`vm_cpu.a${list}`, `vm_cpu.b${list}`]);
  fc.assert(
    fc.property(frames, fc.constantFrom(2, 1024), (sent, setsMax) => {
      const encoder = createBlockEncoder(setsMax, true);
      const decoder = createBlockDecoder(setsMax);
      for (const [lost, picks] of sent) {
        const blocks = picks.map((list, row) => ({
          subject: { kind: 'host' as const, id: 'a' },
          source: 'host' as const,
          fields: lists[list]!,
          timesMs: Float64Array.of(row),
          values: Float64Array.of(list, row),
        }));
        const wire = encoder.encodeFrame(blocks);
        if (lost) continue;
        const back = decoder.decode(wire);
        if (back.some(({ fields, values }, i) => fields.join() !== blocks[i]!.fields.join() || values[1] !== i)) return false;
        if (setsMax > lists.length && wire.filter(({ fields }) => fields).length !== new Set(picks).size) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.pass('property held');
});

t.test('names travel once per field set', async (t) => {
  const encoder = createBlockEncoder(8);
  const fields = ['vm_cpu.usageCores'];
  const block = (names: string[]): TelemetryBlock => ({
    subject: { kind: 'host', id: 'a' },
    source: 'host',
    fields: names,
    timesMs: Float64Array.of(1),
    values: Float64Array.of(1),
  });
  t.ok(encoder.encode(block(fields)).fields);
  t.notOk(encoder.encode(block(fields)).fields);
  t.notOk(encoder.encode(block([...fields])).fields, 'an equal list is the same set');
  t.equal(encoder.encode(block(['vm_cpu.weight'])).set, 1);
});
