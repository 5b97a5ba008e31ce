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
import { FRAME_BYTES_MAX, type Frame } from '../../shared/protocol/frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';

/** Plain objects, as senders make them. */
const record = <T extends Record<string, fc.Arbitrary<unknown>>>(model: T, requiredKeys?: (keyof T)[]) =>
  fc.record(model as Record<string, fc.Arbitrary<unknown>>, {
    noNullPrototype: true,
    ...(requiredKeys ? { requiredKeys: requiredKeys as string[] } : {}),
  });
const uuid = fc.uuid().map((text) => text.toLowerCase());
const unsigned = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const amount = fc.double({ min: 0, max: 1e9, noNaN: true });
const text = (maxLength: number) =>
  fc.string({ maxLength: Math.min(maxLength, 40), unit: 'grapheme' }).filter((s) => s.length <= maxLength);
const limit = fc.option(amount);
const pair = record({ epoch: unsigned, generation: unsigned });
const resource = fc.constantFrom('cpu', 'memory', 'network', 'disk');
const lane = fc.constantFrom('live', 'backlog');
const setting = fc.oneof(
  record({ resource: fc.constant('cpu'), weight: fc.double({ min: 0.1, max: 26000, noNaN: true }), capCores: limit }),
  record({ resource: fc.constant('memory'), memoryMiB: amount }),
  record({ resource: fc.constant('network'), inboundBytesPerSecond: limit, outboundBytesPerSecond: limit }),
  record({ resource: fc.constant('disk'), bytesPerSecond: limit, iops: limit }),
);
const eligibility = fc.oneof(record({ allowed: fc.constant(true) }), record({ allowed: fc.constant(false), reason: text(1024) }));
/** Without -0, which is 0 to every reader of a time. */
const wall = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0);
const label = fc.string({ maxLength: 20 }).filter((key) => key !== '__proto__');
const vm = record({
  vm: uuid,
  name: text(256),
  state: fc.constantFrom('launching', 'ready', 'paused', 'stopped', 'error', 'unknown'),
  vcpus: amount,
  bootMemoryMiB: amount,
  overheadMiB: limit,
  osFamily: fc.option(text(32)),
  labels: fc.dictionary(label, text(256), { maxKeys: 5, noNullPrototype: true }),
  eligibility: record({ cpu: eligibility, memory: eligibility, network: eligibility, disk: eligibility }),
  baseline: fc.array(setting, { maxLength: 4 }),
  current: fc.array(setting, { maxLength: 4 }),
  pairs: fc.array(record({ resource, pair }), { maxLength: 4 }),
  holds: fc.array(record({ resource, reason: text(256), forMs: limit }), { maxLength: 3 }),
  jobActive: fc.boolean(),
  guestAgent: fc.boolean(),
  missingSignals: fc.array(text(128), { maxLength: 3 }),
});
const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array));
const wireBlock = record(
  {
    kind: fc.constantFrom('vm', 'host'),
    id: text(128),
    source: fc.constantFrom('host', 'guest'),
    set: fc.nat(4095),
    fields: fc.array(fc.string({ minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 5 }),
    times: bytes,
    values: bytes,
  },
  ['kind', 'id', 'source', 'set', 'times', 'values'],
);
const type = <T extends string>(name: T) => fc.constant(name);

const frame = fc.oneof(
  record({
    type: type('hello'),
    versions: fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 4 }),
    role: fc.constantFrom('host', 'guest'),
    host: fc.option(fc.constantFrom('a', 'host-1.example')),
    vm: fc.option(uuid),
    bootId: text(64),
    agentVersion: text(64),
    capabilities: fc.array(text(64), { maxLength: 3 }),
    wallMs: wall,
    monotonicMs: wall,
    highestPairs: fc.array(record({ vm: uuid, resource, pair }), { maxLength: 3 }),
  }),
  record({
    type: type('telemetry'),
    lane,
    seq: fc.integer({ min: 1 }),
    wallMs: wall,
    monotonicMs: wall,
    blocks: fc.array(wireBlock, { maxLength: 4 }),
  }),
  record({ type: type('ack'), bootId: text(64), lane, fromSeq: unsigned, toSeq: unsigned }),
  record({
    type: type('inventory'),
    full: fc.boolean(),
    host: record({
      cpuCores: amount,
      memoryMiB: amount,
      numaNodes: fc.array(record({ id: fc.integer(), memoryMiB: amount }), { maxLength: 2 }),
      architecture: text(32),
      hypervisorVersion: text(64),
      balloonManager: fc.option(text(64)),
      hypervisorConnected: fc.boolean(),
      killSwitch: fc.boolean(),
    }),
    vms: fc.array(vm, { maxLength: 4 }),
    gone: fc.array(uuid, { maxLength: 2 }),
  }),
  record({
    type: type('command'),
    commandId: text(128),
    vm: uuid,
    resource,
    pair,
    leaseMs: amount,
    previous: setting,
    target: setting,
    floor: amount,
    ceiling: amount,
    mode: fc.constantFrom('off', 'observe', 'recommend', 'auto'),
    reason: text(1024),
  }),
  record({
    type: type('lease'),
    epoch: unsigned,
    leaseMs: amount,
    reserveCores: amount,
    reserveMiB: amount,
    allowances: fc.array(record({ vm: uuid, cpuCeilingCores: limit, memoryCeilingMiB: limit }), { maxLength: 3 }),
  }),
  record({ type: fc.constantFrom('ping', 'pong'), id: unsigned }),
  record({ type: type('goodbye'), reason: text(256) }),
  record({ type: type('error'), code: text(64), message: text(1024) }),
) as unknown as fc.Arbitrary<Frame>;

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
