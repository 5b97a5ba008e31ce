/**
 * Goal: whatever a lender does, and whenever (hangs, fails, comes back empty or full of another's bytes, answers with broken ones), a
 * mirror never gives back a byte that is not the last one written, and answers everything; what it says lies with the lender does.
 */
import fc from 'fast-check';
import t from 'tap';
import { BLOCK_BYTES, type Copy, Mirror, type RemoteCopy } from '../../agent/slice/mirror.ts';
import { systemClock } from '../../shared/clock.ts';

const BLOCKS = 12;
const BYTES = BLOCKS * BLOCK_BYTES;
/** A deadline passes soon: what is under test is that it passes, not when. */
const clock = { ...systemClock, setTimeout: (run: () => void) => systemClock.setTimeout(run, 1) };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function memoryCopy(fill: number): Copy & { memory: Buffer } {
  const memory = Buffer.alloc(BYTES, fill);
  return {
    memory,
    async read(offset, length) {
      await turn();
      return Buffer.from(memory.subarray(offset, offset + length));
    },
    async write(offset, data) {
      await turn();
      data.copy(memory, offset);
    },
    flush: turn,
  };
}

type Fault = 'none' | 'hangs' | 'fails' | 'breaks' | 'loses writes';

/** A lender's connection that does as it is told, from the n-th request on. */
function lender(fault: Fault, afterRequests: number): RemoteCopy {
  const copy = memoryCopy(0xee);
  let requests = 0;
  const misbehave = async (): Promise<Fault> => {
    if (requests++ < afterRequests) return 'none';
    if (fault === 'hangs') await new Promise(() => undefined);
    if (fault === 'fails') throw new Error('reset');
    return fault;
  };
  return {
    async read(offset, length) {
      const how = await misbehave();
      const data = await copy.read(offset, length);
      if (how === 'breaks') data[length >> 1]! ^= 0x10;
      return data;
    },
    async write(offset, data) {
      if ((await misbehave()) !== 'loses writes') await copy.write(offset, data);
    },
    async flush() {
      await misbehave();
    },
    destroy: () => undefined,
  };
}

const range = fc.tuple(fc.nat(BYTES / 512 - 1), fc.integer({ min: 1, max: 40 }), fc.boolean()).map(([sector, sectors, aligned]) => {
  const unit = aligned ? BLOCK_BYTES : 512;
  const offset = Math.floor((sector * 512) / unit) * unit;
  return { offset, length: Math.min(BYTES - offset, Math.ceil((sectors * 512) / unit) * unit) };
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('write' as const), range, fc.integer({ min: 1, max: 255 })) },
  { weight: 6, arbitrary: fc.tuple(fc.constant('read' as const), range) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant('lender' as const),
      fc.constantFrom<Fault>('none', 'none', 'hangs', 'fails', 'breaks', 'loses writes'),
      fc.nat(8),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant('refill' as const)) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('wait' as const)) },
);

t.test('never a stale byte', async (t) => {
  let lost = 0;
  let fromLender = 0;
  const done = await fc.check(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50 }), fc.boolean(), async (steps, filled) => {
      const local = memoryCopy(0);
      if (filled) local.memory.fill(7);
      const expected = Buffer.from(local.memory);
      const mirror = new Mirror({ bytes: BYTES, local, filled, clock, deadlineMs: 1, onLost: () => void lost++ });
      const under: Promise<void>[] = [];
      for (const one of steps) {
        if (one[0] === 'lender') mirror.attach(lender(one[1], one[2]));
        else if (one[0] === 'refill') under.push(mirror.refill());
        else if (one[0] === 'wait') await Promise.all(under.splice(0));
        else if (one[0] === 'write') {
          const data = Buffer.alloc(one[1].length, one[2]);
          data.copy(expected, one[1].offset);
          under.push(mirror.write(one[1].offset, data));
        } else {
          // Requests for the same bytes are carried out in the order they came.
          const { offset, length } = one[1];
          const wanted = Buffer.from(expected.subarray(offset, offset + length));
          if (mirror.view.sameBytes > 0) fromLender++;
          under.push(mirror.read(offset, length).then((data) => assertSame(data, wanted, offset)));
        }
      }
      await Promise.all(under);
      assertSame(await mirror.read(0, BYTES), expected, 0);
      assertSame(local.memory, expected, 0);
    }),
    { numRuns: 1000 },
  );
  t.notOk(done.failed, done.failed ? `seed ${done.seed}: ${JSON.stringify(done.counterexample)} ${String(done.errorInstance)}` : 'none');
  t.ok(lost > 100, `${lost} lenders were lost`);
  t.ok(fromLender > 100, `${fromLender} reads while a lender held something`);
});

t.test('a lender that comes back is read from again once it has everything', async (t) => {
  const local = memoryCopy(0);
  const reasons: string[] = [];
  const mirror = new Mirror({
    bytes: BYTES,
    local,
    filled: false,
    clock: systemClock,
    deadlineMs: 200,
    onLost: (reason) => void reasons.push(reason),
  });
  mirror.attach(lender('hangs', 1));
  await mirror.write(0, Buffer.alloc(2 * BLOCK_BYTES, 5));
  t.equal(mirror.view.sameBytes, 2 * BLOCK_BYTES);
  t.ok((await mirror.read(0, BLOCK_BYTES)).equals(Buffer.alloc(BLOCK_BYTES, 5)), 'by the local copy, once the deadline has passed');
  t.match(reasons, [/no answer within/]);
  t.same(mirror.view, { lender: false, writtenBytes: 2 * BLOCK_BYTES, sameBytes: 0 });
  t.notOk(await mirror.ask());
  mirror.attach(lender('none', 0));
  await mirror.write(100, Buffer.alloc(10, 6));
  t.equal(mirror.view.sameBytes, 0, 'a block written in part is not known there as a whole');
  await mirror.refill();
  t.equal(mirror.view.sameBytes, 2 * BLOCK_BYTES);
  local.memory.fill(0xaa);
  t.equal((await mirror.read(0, 200))[105], 6, 'by the lender');
});

t.test('a local copy that fails is told, and neither copy is taken for the other', async (t) => {
  const local = memoryCopy(0);
  const mirror = new Mirror({ bytes: BYTES, local, filled: false, clock: systemClock, deadlineMs: 200, onLost: () => undefined });
  mirror.attach(lender('none', 0));
  await mirror.write(0, Buffer.alloc(BLOCK_BYTES, 1));
  local.write = () => Promise.reject(new Error('I/O error'));
  await t.rejects(mirror.write(0, Buffer.alloc(BLOCK_BYTES, 2)), { message: 'I/O error' });
  t.equal(mirror.view.sameBytes, 0);
  t.equal((await mirror.read(0, 1))[0], 1);
  t.throws(() => new Mirror({ bytes: 5000, local, filled: false, clock: systemClock, deadlineMs: 200, onLost: () => undefined }), {
    code: 'USAGE',
  });
});

function assertSame(data: Buffer, wanted: Buffer, offset: number): void {
  if (data.equals(wanted)) return;
  const at = data.findIndex((byte, index) => byte !== wanted[index]);
  throw new Error(`byte ${offset + at} is ${data[at]}, ${wanted[at]} was written last`);
}
