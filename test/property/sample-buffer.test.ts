/**
 * Goal: whatever is appended, taken, acknowledged, lost and reconnected, the buffer never exceeds its limits, never sends
 * again what was acknowledged, and never loses a row without counting it.
 */
import fc from 'fast-check';
import t from 'tap';
import { createBlockPacking } from '../../agent/block-packing.ts';
import type { Spill } from '../../agent/core/backlog.ts';
import { createSpill } from '../../agent/core/create-spill.ts';
import { type Batch, SampleBuffer, type SampleBufferLimits } from '../../agent/core/sample-buffer.ts';
import { MemorySegmentFiles } from '../support/segment-files.ts';
import { rowsOf, vmUuid } from '../support/wire-world.ts';

const LIMITS: SampleBufferLimits = { bytesMax: 20_000, rowsMax: 120, liveAgeMsMax: 50, batchBytesMax: 3000, batchRowsMax: 12 };

/** A ring far smaller than what the steps append, with rows that go there after two of the live lane's ages. */
const RING = { bytesMax: 12_000, segmentBytesMax: 3000, freeBytesMin: 0, retryMs: 10 };
const smallSpill = (files: MemorySegmentFiles): Spill => ({ ...createSpill(files, createBlockPacking(), RING, 1500), afterMs: 100 });

type Step =
  | { do: 'append'; vm: number; rows: number; backwards: boolean }
  | { do: 'take'; lane: 'live' | 'backlog'; window: number }
  | { do: 'ack'; which: number }
  | { do: 'lose' }
  | { do: 'expire' }
  | { do: 'wait'; ms: number }
  | { do: 'disk'; full: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      vm: fc.nat(3),
      rows: fc.integer({ min: 1, max: 30 }),
      backwards: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('take' as const),
      lane: fc.constantFrom('live' as const, 'backlog' as const),
      window: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ack' as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), full: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(80) }) },
);

/** Runs steps against the buffer and a list of every row's fate. */
class Model {
  readonly files = new MemorySegmentFiles();
  readonly buffer: SampleBuffer;
  readonly fate = new Map<string, 'held' | 'stored' | 'dropped'>();
  sent: Batch[] = [];
  now = 0;
  label = 1_000_000;
  readonly acked = new Set<string>();
  readonly #ring: boolean;

  constructor(ring: boolean) {
    this.#ring = ring;
    this.buffer = new SampleBuffer(LIMITS, ring ? smallSpill(this.files) : null);
  }

  run(step: Step): void {
    if (step.do === 'append') this.append(step);
    else if (step.do === 'take') this.take(step.lane, step.window);
    else if (step.do === 'ack') this.ack(step.which);
    else if (step.do === 'wait') this.now += step.ms;
    else if (step.do === 'disk') this.files.capacityBytes = step.full ? 0 : Number.POSITIVE_INFINITY;
    else if (step.do === 'expire') {
      this.buffer.expire(this.now, 100);
    } else {
      this.sent = [];
      this.buffer.disconnected();
      if (this.#ring) this.buffer.age(this.now + 1000);
      this.buffer.reconnected(this.now);
    }
    this.buffer.age(this.now);
    this.check();
  }

  append(step: { vm: number; rows: number; backwards: boolean }): void {
    const vm = vmUuid(step.vm);
    const times = Array.from({ length: step.rows }, () => this.label++);
    if (step.backwards) this.label -= 1;
    const keys = times.map((time) => `${vm}/${time}`);
    // The same label twice is a row of its own: count per append.
    const token = `${this.fate.size}`;
    for (const key of keys) this.fate.set(`${key}/${token}`, 'held');
    this.buffer.append(rowsOf(vm, times), this.now, (stored) => {
      for (const key of keys) this.fate.set(`${key}/${token}`, stored ? 'stored' : 'dropped');
    });
  }

  take(lane: 'live' | 'backlog', window: number): void {
    const batch = this.buffer.take(lane, this.now, window);
    if (!batch) return;
    if (this.acked.has(`${batch.lane}/${batch.seq}`)) throw new Error(`${lane} ${batch.seq} was acknowledged and came again`);
    // A record of the ring is taken whole.
    if (!this.#ring && batch.bytes > LIMITS.batchBytesMax && batch.blocks.length > 1) throw new Error(`batch of ${batch.bytes} bytes`);
    if (!this.#ring && batch.rows > LIMITS.batchRowsMax) throw new Error(`batch of ${batch.rows} rows`);
    const last = Math.max(0, ...this.sent.filter((sent) => sent.lane === lane).map((sent) => sent.seq));
    if (batch.seq <= last) throw new Error(`${lane} ${batch.seq} after ${last} on one connection`);
    this.sent.push(batch);
  }

  ack(which: number): void {
    const batch = this.sent[which % Math.max(1, this.sent.length)];
    if (!batch) return;
    this.acked.add(`${batch.lane}/${batch.seq}`);
    this.buffer.acknowledge(batch.lane, batch.seq, batch.seq);
  }

  check(): void {
    const { stats } = this.buffer;
    // What was read from disk to be sent counts on top until the next row is appended.
    const more = this.#ring ? 2 : 1;
    if (stats.rows > LIMITS.rowsMax * more || stats.bytes > LIMITS.bytesMax * more)
      throw new Error(`${stats.rows} rows, ${stats.bytes} bytes`);
    const dropped = Object.values(stats.droppedRows).reduce((sum, rows) => sum + rows, 0);
    if (stats.appendedRows !== stats.rows + (stats.ring?.rows ?? 0) + stats.acknowledgedRows + dropped)
      throw new Error(`rows do not add up: ${JSON.stringify(stats)}`);
    if (stats.rows === 0 && stats.bytes !== 0) throw new Error('bytes without rows');
  }
}

t.test('limits hold, acknowledged never comes again, nothing is lost uncounted', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.boolean(), (steps, ring) => {
      const model = new Model(ring);
      for (const one of steps) model.run(one);
      // Heal: everything left can be taken and acknowledged.
      model.sent = [];
      model.now += 1000;
      model.buffer.reconnected(model.now);
      model.buffer.age(model.now);
      for (let i = 0; i < 1000 && !model.buffer.empty; i++) {
        for (const lane of ['live', 'backlog'] as const) {
          const batch = model.buffer.take(lane, model.now, 4);
          if (batch) model.buffer.acknowledge(lane, batch.seq, batch.seq);
        }
      }
      model.check();
      return model.buffer.empty && [...model.fate.values()].every((fate) => fate !== 'held');
    }),
    { numRuns: 800 },
  );
  t.pass('property held');
});
