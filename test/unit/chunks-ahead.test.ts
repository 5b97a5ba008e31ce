/**
 * Goal: what lies behind a request is decoded while it is on its way, once, and only of what is here; one that fails is an error of
 * whoever asks for it alone; nothing is fetched from another host without being asked for.
 */
import t from 'tap';
import { createAhead } from '../../agent/snapshot/chunks-ahead.ts';
import type { OpenSnapshot } from '../../agent/snapshot/snapshot-store.ts';

const CHUNKS = 200;
const ZERO = 20;
const AWAY = 21;
const BROKEN = 22;

function stage() {
  const decoded: number[] = [];
  const snapshot = {
    manifest: { memory: Array.from({ length: CHUNKS }, (_, chunk) => ({ kind: chunk === ZERO ? 'zero' : 'whole' })) },
    here: (chunk: number) => chunk !== AWAY,
    async chunk(chunk: number) {
      decoded.push(chunk);
      await new Promise((resolve) => setImmediate(resolve));
      if (chunk === BROKEN) throw new Error('broken');
      return Buffer.from(`${chunk}`);
    },
  } as unknown as OpenSnapshot;
  const ahead = createAhead(snapshot);
  const ask = async (first: number, last: number): Promise<void> => {
    await Promise.all(Array.from({ length: last - first + 1 }, (_, place) => ahead.chunk(first + place)));
    ahead.answered(first, last);
  };
  const rest = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { decoded, ahead, ask, rest };
}

const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, place) => first + place);

t.test('what lies behind is decoded once', async (t) => {
  const { decoded, ask, rest, ahead } = stage();
  await ask(0, 15);
  t.same(decoded, range(0, 15), 'not before what was asked for');
  await rest();
  t.same(
    decoded.slice(16),
    range(16, 31).filter((chunk) => chunk !== ZERO && chunk !== AWAY),
  );
  const before = decoded.length;
  await t.rejects(ahead.chunk(BROKEN), /broken/, 'asked for, it fails as it would have');
  await ask(16, 19);
  await rest();
  t.same(decoded.slice(before), [BROKEN], 'and all else is there');
});

t.test('somewhere else, it goes on there; a page at a time, nothing', async (t) => {
  const { decoded, ask, rest } = stage();
  await ask(0, 15);
  await ask(100, 115);
  await rest();
  t.notOk(decoded.includes(28), 'what nobody came for is given up');
  t.same(
    decoded.filter((chunk) => chunk > 115),
    range(116, 131),
  );
  const before = decoded.length;
  await ask(160, 160);
  await rest();
  t.same(decoded.slice(before), [160]);
});

t.test('side by side, a chunk is decoded once', async (t) => {
  const { decoded, ahead } = stage();
  await Promise.all([ahead.chunk(5), ahead.chunk(5)]);
  t.same(decoded, [5]);
});
