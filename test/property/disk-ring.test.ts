/**
 * Goal: whatever is appended, read, settled, killed, torn, flipped or refused by a full disk, the ring stays within its
 * budget, hands out only what was put in, in order, finds after a crash everything nobody settled, and counts what is lost.
 */
import fc from 'fast-check';
import t from 'tap';
import { DiskRing, type DiskRingLimits, type RingRecord } from '../../agent/core/disk-ring.ts';
import { encodeRecord, scanSegment } from '../../agent/core/ring-record.ts';
import { MemorySegmentFiles } from '../support/segment-files.ts';

const LIMITS: DiskRingLimits = { bytesMax: 6000, segmentBytesMax: 900, freeBytesMin: 100, retryMs: 0 };

type Step =
  | { do: 'append'; bytes: number; rows: number }
  | { do: 'next' }
  | { do: 'settle'; which: number }
  | { do: 'crash'; tear: number; flip: number | null }
  | { do: 'disk'; capacityBytes: number; tellsFree: boolean; readFails: boolean; removeFails: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      bytes: fc.integer({ min: 4, max: 400 }),
      rows: fc.integer({ min: 1, max: 50 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('next' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('crash' as const),
      tear: fc.oneof(fc.constant(0), fc.nat(500)),
      flip: fc.option(fc.nat(1_000_000), { freq: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('disk' as const),
      capacityBytes: fc.integer({ min: 0, max: 20_000 }),
      tellsFree: fc.boolean(),
      readFails: fc.boolean(),
      removeFails: fc.boolean(),
    }),
  },
);

class Model {
  readonly files = new MemorySegmentFiles();
  ring!: DiskRing<number>;
  /** Rows by record number. */
  readonly appended = new Map<number, number>();
  readonly seen = new Set<number>();
  /** Read in this life and not settled. */
  readonly open: RingRecord<number>[] = [];
  lastSeen = -1;
  lostRows = 0;
  lostBytes = 0;
  /** A write that was refused may still have left its record whole on a torn disk. */
  readonly refused = new Set<number>();
  #number = 0;

  constructor() {
    this.begin();
  }

  begin(): void {
    this.ring = new DiskRing(this.files, LIMITS, () => {});
    this.open.length = 0;
    this.lastSeen = -1;
  }

  /** This life's losses are written down before it ends. */
  end(): void {
    const { overflowRows, damagedRows, damagedBytes } = this.ring.stats;
    this.lostRows += overflowRows + damagedRows;
    this.lostBytes += damagedBytes;
  }

  run(step: Step): void {
    if (step.do === 'append') this.append(step.bytes, step.rows);
    else if (step.do === 'next') this.next();
    else if (step.do === 'settle') this.settle(step.which);
    else if (step.do === 'crash') this.crash(step.tear, step.flip);
    else Object.assign(this.files, { ...step, do: undefined });
    if (!this.files.removeFails && this.files.bytes > LIMITS.bytesMax + 430) throw new Error(`${this.files.bytes} bytes on disk`);
    if (this.ring.stats.rows < 0) throw new Error(`${this.ring.stats.rows} rows wait`);
  }

  append(bytes: number, rows: number): void {
    const number = this.#number++;
    const payload = Buffer.alloc(bytes, number & 255);
    payload.writeUInt32LE(number);
    if (this.ring.append(payload, rows, number, 0)) this.appended.set(number, rows);
    else this.refused.add(number);
  }

  next(): boolean {
    const record = this.ring.next();
    if (record === null) return false;
    const payload = Buffer.from(record.payload);
    const number = payload.readUInt32LE();
    const rows = this.appended.get(number);
    if (rows !== undefined && rows !== record.rows) throw new Error(`record ${number} has ${record.rows} rows, had ${rows}`);
    if (rows === undefined && !this.refused.has(number)) throw new Error(`record ${number} was never appended`);
    if (payload.subarray(4).some((byte) => byte !== (number & 255))) throw new Error(`record ${number} is not what was put in`);
    if (record.tag !== undefined && record.tag !== number) throw new Error(`record ${number} carries the tag of ${record.tag}`);
    if (number <= this.lastSeen) throw new Error(`record ${number} after ${this.lastSeen}`);
    this.lastSeen = number;
    this.seen.add(number);
    this.open.push(record);
    return true;
  }

  settle(which: number): void {
    const [record] = this.open.splice(which % Math.max(1, this.open.length), 1);
    if (record) this.ring.settle(record.segment);
  }

  crash(tear: number, flip: number | null): void {
    this.end();
    // What was read and not settled must come again, unless its segment was given up meanwhile.
    for (const { payload, segment } of this.open) {
      if (this.files.files.has(segment)) this.seen.delete(Buffer.from(payload).readUInt32LE());
    }
    const before = this.files.bytes;
    this.files.tear(tear);
    if (flip !== null) this.files.flip(flip);
    this.lostBytes += before - this.files.bytes;
    this.begin();
  }

  finish(): void {
    Object.assign(this.files, { capacityBytes: Number.POSITIVE_INFINITY, tellsFree: true, readFails: false, removeFails: false });
    while (this.next());
    if (!this.ring.drained) throw new Error('not drained');
    while (this.open.length > 0) this.settle(0);
    this.end();
    // Files that could not be removed go with the next append.
    this.ring.append(Buffer.alloc(4), 1, 0, 0);
    while (this.ring.next()) this.ring.settle(this.files.list()[0]!.id);
    if (this.files.bytes > 0) throw new Error(`${this.files.bytes} bytes stay on disk`);
    let unseen = 0;
    for (const [number, rows] of this.appended) if (!this.seen.has(number)) unseen += rows;
    if (unseen > this.lostRows && this.lostBytes === 0) throw new Error(`${unseen} rows were never read, ${this.lostRows} were counted`);
  }
}

t.test('the budget holds, order holds, nothing unsettled is lost uncounted', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const model = new Model();
      for (const one of steps) model.run(one);
      model.finish();
    }),
    { numRuns: 1500 },
  );
  t.pass('property held');
});

t.test('a crash at any byte: every record wholly written before it is found, the torn one is counted', async (t) => {
  const records = [3, 5, 7].map((rows, i) => ({ payload: Buffer.alloc(40 + i, i), rows }));
  let rowsBefore = 0;
  const segment = Buffer.concat(
    records.map(({ payload, rows }) => {
      const record = encodeRecord(payload, rows, rowsBefore);
      rowsBefore += rows;
      return record;
    }),
  );
  const ends = records.map((_, i) => records.slice(0, i + 1).reduce((sum, { payload }) => sum + payload.length + 24, 0));
  for (let cut = 0; cut <= segment.length; cut++) {
    const scanned = scanSegment(segment.subarray(0, cut));
    const whole = ends.filter((end) => end <= cut).length;
    if (scanned.records.length !== whole) t.fail(`cut at ${cut}: ${scanned.records.length} records, not ${whole}`);
    const start = ends[whole - 1] ?? 0;
    // From the first whole header on, the rows that went with the tail are known.
    const rows = cut - start >= 24 ? records[whole]!.rows : 0;
    if (scanned.lostRows !== rows) t.fail(`cut at ${cut}: ${scanned.lostRows} rows lost, not ${rows}`);
    if (scanned.lostBytes !== cut - start) t.fail(`cut at ${cut}: ${scanned.lostBytes} bytes lost, not ${cut - start}`);
  }
  for (let bit = 0; bit < segment.length * 8; bit++) {
    const bytes = Buffer.from(segment);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const scanned = scanSegment(bytes);
    if (scanned.records.length !== 2) t.fail(`bit ${bit} flipped: ${scanned.records.length} whole records, not 2`);
    const damaged = ends.findIndex((end) => bit >> 3 < end);
    const told = damaged < 2 || (bit >> 3) - (ends[1] ?? 0) >= 24;
    if (told && scanned.lostRows !== records[damaged]!.rows) t.fail(`bit ${bit} flipped: ${scanned.lostRows} rows lost`);
  }
  t.pass('every cut and every bit');
});

t.test('a record stays on disk until it is settled, and with it its segment', async (t) => {
  const files = new MemorySegmentFiles();
  const ring = new DiskRing<number>(files, LIMITS, () => {});
  for (const number of [1, 2, 3]) t.ok(ring.append(Buffer.alloc(8, number), 1, number, 0));
  const read = [ring.next(), ring.next(), ring.next()];
  t.equal(ring.next(), null);
  ring.settle(read[0]!.segment);
  ring.settle(read[2]!.segment);
  const after = new DiskRing<number>(new MemorySegmentFiles(files), LIMITS, () => {});
  t.same([after.next()?.payload[0], after.next()?.payload[0], after.next()?.payload[0]], [1, 2, 3], 'one was not settled');
  ring.settle(read[1]!.segment);
  t.equal(files.bytes, 0);
});
