/** Sound frames of every kind a peer may send, for property tests and fuzzers. */
import fc from 'fast-check';
import type { Frame } from '../../shared/protocol/frames.ts';

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
const plainName = fc.stringMatching(/^[a-z][a-z0-9._+-]{0,20}$/);
const type = <T extends string>(name: T) => fc.constant(name);

export const frame = fc.oneof(
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
  record({ type: type('ack'), bootId: text(64), lane, fromSeq: unsigned, toSeq: unsigned, flushMs: fc.integer({ min: 100, max: 60_000 }) }),
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
  record({
    type: type('build'),
    orderId: fc.string({ minLength: 1, maxLength: 40 }),
    pair,
    leaseMs: amount,
    order: fc.oneof(
      record({ action: fc.constantFrom('stop', 'end'), vm: uuid }),
      record({ action: fc.constant('remove'), vm: uuid, pool: plainName, keepDisk: fc.boolean() }),
    ),
  }),
  record({
    type: type('redirect'),
    url: fc.option(fc.webUrl().map((url) => url.replace(/^http/, 'ws'))),
    retryMs: fc.nat({ max: 60_000 }),
    reason: text(256),
  }),
  record({ type: fc.constantFrom('ping', 'pong'), id: unsigned }),
  record({ type: type('goodbye'), reason: text(256) }),
  record({ type: type('error'), code: text(64), message: text(1024) }),
) as unknown as fc.Arbitrary<Frame>;
