/**
 * Goal: any frame survives the wire unchanged, also many on one connection; no bytes whatever crash the decoder or take
 * long, they only end in the errors of our catalogue; keys cannot reach a prototype.
 */
import { deepStrictEqual } from 'node:assert';
import fc from 'fast-check';
import { Packr } from 'msgpackr/pack';
import t from 'tap';
import { isHeadroomError } from '../../shared/errors.ts';
import { createCodec } from '../../shared/net/codec.ts';
import { VALUES_MAX } from '../../shared/net/scan.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';
import { frame } from '../support/frame-arbitrary.ts';

/** Lone surrogates are no text: UTF-8 cannot carry them, and no field of ours should. */
const wellFormed = (value: unknown): boolean => JSON.stringify(value).isWellFormed() && !/\\ud[89a-f]/i.test(JSON.stringify(value));

for (const selfContained of [false, true]) {
  t.test(`frames on one connection come out as they went in (${selfContained ? 'self-contained' : 'sequential'})`, async (t) => {
    fc.assert(
      fc.property(fc.array(frame.filter(wellFormed), { minLength: 1, maxLength: 12 }), (frames) => {
        const sender = createCodec({ maxBytes: FRAME_BYTES_MAX, selfContained });
        const receiver = createCodec({ maxBytes: FRAME_BYTES_MAX, selfContained });
        for (const sent of frames) {
          checkFrame(sent);
          deepStrictEqual(receiver.decode(sender.encode(sent).slice()), sent);
        }
      }),
      { numRuns: 150 },
    );
    t.pass('property held');
  });
}

function decodesOrRefuses(codec: ReturnType<typeof createCodec>, bytes: Uint8Array): boolean {
  try {
    codec.decode(bytes);
    return true;
  } catch (error) {
    return isHeadroomError(error) && /^FRAME_/.test(error.code);
  }
}

t.test('no bytes crash the decoder', async (t) => {
  const tokens = fc.constantFrom(
    0x90,
    0x91,
    0xdc,
    0xdd,
    0x81,
    0xde,
    0xdf,
    0xd4,
    0x72,
    0x40,
    0x41,
    0x5f,
    0xa1,
    0xd9,
    0xc4,
    0xc7,
    0xc1,
    0xcb,
    0xff,
    0x00,
  );
  const hostile = fc.array(fc.oneof(tokens, fc.nat(255)), { maxLength: 200 }).map((array) => Uint8Array.from(array));
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), hostile), { maxLength: 5 }), (messages) => {
      const codec = createCodec({ maxBytes: 1024 });
      return messages.every((message) => decodesOrRefuses(codec, message));
    }),
    { numRuns: 3000 },
  );
  t.pass('property held');
});

t.test('honest frames with a few bytes changed do not crash the decoder either', async (t) => {
  fc.assert(
    fc.property(frame, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(), (sent, changes, cut) => {
      const bytes = createCodec({ maxBytes: FRAME_BYTES_MAX }).encode(sent).slice();
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      const codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
      return decodesOrRefuses(codec, bytes) && decodesOrRefuses(codec, bytes.subarray(0, cut % bytes.length));
    }),
    { numRuns: 1500 },
  );
  t.pass('property held');
});

t.test('bombs are refused before they are decoded', async (t) => {
  const codec = () => createCodec({ maxBytes: FRAME_BYTES_MAX });
  const definitions = Buffer.concat([
    Buffer.of(0xdc, 0, 100),
    ...Array.from({ length: 100 }, (_, i) => Buffer.from([0xd4, 0x72, 0x40 + (i % 32), 0x91, 0xa1, 0x61 + (i % 26), 1])),
  ]);
  const cases: [string, Uint8Array, string][] = [
    ['depth by arrays', Buffer.alloc(200_000, 0x91), 'FRAME_MALFORMED'],
    ['depth by maps', Buffer.from('81a161'.repeat(100_000), 'hex'), 'FRAME_MALFORMED'],
    ['depth by record definitions', Buffer.from('d4724091a161'.repeat(50_000), 'hex'), 'FRAME_MALFORMED'],
    ['depth by records of themselves', Buffer.from(`d4724091a161${'40'.repeat(100_000)}01`, 'hex'), 'FRAME_MALFORMED'],
    ['a promise of 2^32 values', Buffer.from('ddffffffff', 'hex'), 'FRAME_MALFORMED'],
    ['a promise of 2^32 pairs', Buffer.from('dfffffffff', 'hex'), 'FRAME_MALFORMED'],
    ['a string longer than the frame', Buffer.from('dbffffffff61', 'hex'), 'FRAME_MALFORMED'],
    ['a million values', Buffer.concat([Buffer.from('dd000f4240', 'hex'), Buffer.alloc(1_000_000)]), 'FRAME_TOO_LARGE'],
    ['a flood of record definitions', definitions, 'FRAME_MALFORMED'],
    ['a record out of range', Buffer.from('d4727f91a16101', 'hex'), 'FRAME_MALFORMED'],
    ['a two-byte record', Buffer.from('d572400191a16101', 'hex'), 'FRAME_MALFORMED'],
    ['a record with a field that is no string', Buffer.from('d47240910101', 'hex'), 'FRAME_MALFORMED'],
    ['a regular expression', new Packr({ moreTypes: true } as never).pack([/x/]), 'FRAME_MALFORMED'],
    ['a Set', new Packr({ moreTypes: true } as never).pack(new Set([1])), 'FRAME_MALFORMED'],
    ['a Date', new Packr({}).pack(new Date(0)), 'FRAME_MALFORMED'],
    ['more bytes than the limit', new Uint8Array(FRAME_BYTES_MAX + 1), 'FRAME_TOO_LARGE'],
  ];
  t.ok(VALUES_MAX < 1_000_000);
  for (const [name, bytes, code] of cases) t.throws(() => codec().decode(bytes), { code }, name);
});

t.test('no key reaches a prototype', async (t) => {
  const codec = createCodec({ maxBytes: 4096 });
  const hostile = '{"type":"ping","id":1,"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
  const asMap = codec.decode(new Packr({ useRecords: false }).pack(JSON.parse(hostile)));
  const asRecord = createCodec({ maxBytes: 4096 }).decode(new Packr({ useRecords: true, sequential: true }).pack(JSON.parse(hostile)));
  for (const decoded of [asMap, asRecord]) {
    t.equal(Object.getPrototypeOf(decoded), Object.prototype);
    t.equal((decoded as unknown as { polluted?: boolean }).polluted, undefined);
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined);
});

t.test('a frame that would be too large is refused by its sender', async (t) => {
  const small = createCodec({ maxBytes: 100 });
  t.throws(() => small.encode({ type: 'goodbye', reason: 'x'.repeat(200) }), { code: 'FRAME_TOO_LARGE' });
});
