/** Goal: the small pure parts of the wire do what they say, at their edges too. */
import t from 'tap';
import { GuestClock } from '../../agent/core/guest-clock.ts';
import { Outbox } from '../../agent/core/outbox.ts';
import { GUEST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { Committer, type PendingBatch } from '../../aggregator/ingest/committer.ts';
import { contiguous, SeqRanges } from '../../aggregator/ingest/seq-ranges.ts';
import { APP_FIELDS_MAX, GuestFieldGate } from '../../shared/guest-fields.ts';
import { createPrng } from '../../shared/prng.ts';
import { type FrameOf, HINT_CAPABILITY } from '../../shared/protocol/frames.ts';
import { checkFrame } from '../../shared/protocol/validate.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { eventFrame, helloFrame, MemoryStore, rowsOf, vmUuid } from '../support/wire-world.ts';

t.test('sequence ranges: membership, joining, forgetting the oldest', async (t) => {
  const ranges = new SeqRanges();
  for (const seq of [5, 1, 3, 2, 4, 9]) ranges.add(seq);
  t.same(
    [0, 1, 2, 3, 4, 5, 6, 8, 9, 10].map((seq) => ranges.has(seq)),
    [false, true, true, true, true, true, false, false, true, false],
  );
  for (let seq = 100; seq < 400; seq += 2) ranges.add(seq);
  t.equal(ranges.has(1), false, 'forgotten');
  t.equal(ranges.has(398), true);
  t.same(contiguous([4, 2, 3, 9, 7, 8, 1]), [
    [1, 4],
    [7, 9],
  ]);
  t.same(contiguous([]), []);
});

t.test('token bucket: burst, rate, debt', async (t) => {
  const bucket = new TokenBucket({ ratePerSecond: 10, burst: 20 }, 0);
  t.equal(bucket.take(20, 0), 0);
  t.equal(bucket.take(5, 0), 500, 'five owed at ten a second');
  t.equal(bucket.available(500), 0);
  t.equal(bucket.available(100_000), 20, 'never above the burst');
  t.equal(bucket.available(50_000), 20, 'a clock that went back gives nothing');
});

t.test('outbox: at least once, in order, bounded', async (t) => {
  const outbox = new Outbox(3);
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => eventFrame(name));
  outbox.add(a!);
  outbox.add(b!);
  t.equal(outbox.next([]), a);
  const mark = outbox.mark();
  outbox.next([]);
  outbox.connectionLost();
  t.same([outbox.next([]), outbox.next([])], [a, b], 'both again');
  outbox.confirm(mark);
  t.equal(outbox.unconfirmed, 1, 'a was confirmed');
  outbox.add(c!);
  t.ok(outbox.add(d!));
  t.notOk(outbox.add(eventFrame('e')));
  t.equal(outbox.dropped, 1);
});

t.test('outbox: what the other side does not understand waits, and holds up nothing', async (t) => {
  const outbox = new Outbox();
  const hint: FrameOf<'hint'> = { type: 'hint', hintId: 'h/1', vm: vmUuid(1), resource: 'cpu', amount: 4, inMs: 0, forMs: 60_000 };
  const [a, b] = [eventFrame('a'), eventFrame('b')];
  outbox.add(a);
  outbox.add(hint, HINT_CAPABILITY);
  outbox.add(b);
  t.same([outbox.next([HINT_CAPABILITY]), outbox.next([HINT_CAPABILITY])], [a, hint]);
  outbox.connectionLost();
  t.same([outbox.next([]), outbox.next([]), outbox.next([])], [a, b, undefined], 'to an older one, after a newer one was given it');
  t.equal(outbox.waiting, 1);
  t.equal(outbox.next([HINT_CAPABILITY]), hint);
});

t.test('guest clock: small differences are left, large ones corrected, the same row gets the same label', async (t) => {
  const clock = new GuestClock();
  const block = rowsOf(vmUuid(1), [10_000, 11_000]);
  clock.observe(11_000, 11_900);
  t.equal(clock.toHostTime(block, 12_000), block);
  clock.observe(11_000, 1_000_000);
  t.same([...(clock.toHostTime(block, 1_000_000)?.timesMs ?? [])], [999_000, 1_000_000]);
  clock.observe(12_000, 1_001_800);
  t.same([...(clock.toHostTime(block, 1_001_800)?.timesMs ?? [])], [999_000, 1_000_000], 'jitter does not move it');
  t.equal(clock.toHostTime(rowsOf(vmUuid(1), [60_000]), 1_001_800), null, 'from the future');
  clock.observe(1_002_000, 1_002_000);
  t.equal(clock.toHostTime(block, 1_002_000), block, 'back in step');
});

t.test('guest fields: the known and a bounded number of application metrics', async (t) => {
  const gate = new GuestFieldGate();
  t.ok(gate.accepts(['vm_memory.guestAvailableMiB', 'vm_app.requests']));
  t.notOk(gate.accepts(['vm_memory.rssMiB']), "the host's own");
  t.notOk(gate.accepts(Array.from({ length: APP_FIELDS_MAX }, (_, i) => `vm_app.m${i}`)), 'one too many');
  t.ok(gate.accepts(Array.from({ length: APP_FIELDS_MAX - 1 }, (_, i) => `vm_app.m${i}`)));
  t.notOk(gate.accepts(['vm_app.another']));
  t.ok(gate.accepts(['vm_app.requests']));
});

t.test('frame checks name the path and what was found', async (t) => {
  t.throws(() => checkFrame({ ...helloFrame(), versions: [1, 'two'] }), {
    code: 'FRAME_INVALID',
    message: /\/versions\/1.*must be.*got string "two"/,
  });
  t.throws(() => checkFrame(null), { message: /got null/ });
  t.throws(() => checkFrame([1]), { message: /an array of 1/ });
  t.throws(() => checkFrame({ type: 'constructor' }), { message: /unknown frame type "constructor"/ });
  t.throws(() => checkFrame({ type: 5 }), { message: /unknown frame type 5/ });
  t.equal(checkFrame(helloFrame()).type, 'hello');
});

t.test('sample buffer: rows of a series share a block; a large block is split and receipted once', async (t) => {
  const buffer = new SampleBuffer(GUEST_BUFFER_LIMITS);
  for (const time of [1, 2, 3]) buffer.append(rowsOf(vmUuid(1), [time]), 0);
  buffer.append(rowsOf(vmUuid(1), [2]), 0);
  const batch = buffer.take('live', 0, 8);
  t.same(
    batch?.blocks.map((block) => [...block.timesMs]),
    [[1, 2, 3], [2]],
    'a time that is not later begins a block of its own',
  );
  const told: boolean[] = [];
  buffer.append(
    rowsOf(
      vmUuid(2),
      Array.from({ length: 2500 }, (_, i) => i),
    ),
    0,
    (stored) => told.push(stored),
  );
  const parts = [buffer.take('live', 0, 8), buffer.take('live', 0, 8), buffer.take('live', 0, 8)];
  t.same(
    parts.map((part) => part?.rows),
    [1000, 1000, 500],
  );
  buffer.acknowledge('live', 1, 3);
  t.same(told, []);
  buffer.acknowledge('live', 4, 4);
  t.same(told, [true]);
  buffer.append({ ...rowsOf(vmUuid(1), [5]), values: Float64Array.of(1) }, 0, (stored) => told.push(stored));
  t.same(told, [true, false]);
  t.equal(buffer.stats.droppedRows.invalid, 1);
});

t.test('committer: one append under way, the next collects; backlog keeps to its rate and behind live', async (t) => {
  const time = new SimulatedTime(createPrng(1), 0);
  const clock = new NodeClock(time);
  const store = new MemoryStore();
  let release: () => void = () => undefined;
  const appended: number[] = [];
  const slow = {
    append: async (blocks: Parameters<MemoryStore['append']>[0]) => {
      await new Promise<void>((resolve) => (release = resolve));
      appended.push(blocks.length);
      await store.append(blocks);
    },
  };
  const committer = new Committer({ clock, store: slow, collectMs: 50, backlogRowsPerSecond: 10 });
  const done: string[] = [];
  const batch = (lane: 'live' | 'backlog', rows: number, name: string): PendingBatch => ({
    lane,
    rows,
    bytes: rows * 8,
    blocks: [rowsOf(vmUuid(1), [appended.length * 100 + done.length + 1])],
    done: (error) => done.push(`${name}${error ? ' failed' : ''}`),
  });
  committer.add(batch('live', 1, 'a'));
  await time.runUntil(60);
  committer.add(batch('live', 1, 'b'));
  committer.add(batch('live', 1, 'c'));
  await time.runUntil(500);
  t.same(appended, [], 'the first is still under way');
  release();
  await time.runUntil(600);
  t.same(done, ['a']);
  release();
  await time.runUntil(700);
  t.same(appended, [1, 2]);
  for (let i = 0; i < 5; i++) committer.add(batch('backlog', 10, `old${i}`));
  committer.add(batch('live', 1, 'd'));
  for (let now = 700; now < 2700; now += 10) {
    release();
    await time.runUntil(now + 10);
  }
  t.ok(done.indexOf('d') < 5, 'live does not wait for backlog');
  t.ok(done.length >= 6 && done.length <= 8, `${done.length}: ten rows a second`);
  const all = committer.flush();
  for (let now = 2700; now < 3000; now += 10) {
    release();
    await time.runUntil(now + 10);
  }
  await all;
  t.equal(done.length, 9, 'a flush does not wait for the rate');
});
