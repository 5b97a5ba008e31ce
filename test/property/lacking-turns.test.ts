/**
 * Goal: whatever a VM lacks and whichever of it other hosts have, all that anybody has comes, soon, however many others nobody has; no more
 * names than a frame may have are told at once; and what nobody has is asked for ever more seldom.
 */
import fc from 'fast-check';
import t from 'tap';
import { LackingTurns } from '../../agent/core/lacking-turns.ts';

const AT_ONCE = 8;
const ANSWER_MS = 300;

/** Until everything is here that is somewhere. Answers how long that took, and how often other names were told. */
function fetched(lacking: string[], has: (name: string) => boolean, untilMs: number): { ms: number; left: string[]; tellings: number } {
  const turns = new LackingTurns(AT_ONCE);
  let left = lacking;
  let tellings = 0;
  let before = '';
  let ms = 0;
  let doneMs = 0;
  while (ms < untilMs) {
    const { names, nextAtMs } = turns.at(left, ms);
    if (names.length > AT_ONCE || new Set(names).size !== names.length) throw new Error(`${names.length} names at once`);
    if (names.join() !== before) tellings++;
    before = names.join();
    const come = names.filter(has);
    if (come.length > 0) {
      ms += ANSWER_MS;
      doneMs = ms;
      left = left.filter((name) => !come.includes(name));
    } else if (nextAtMs === null) break;
    else ms = Math.max(ms + 1, nextAtMs);
  }
  return { ms: doneMs, left, tellings };
}

const named = (count: number): string[] => Array.from({ length: count }, (_, n) => `name-${n}`);

t.test('all that somebody has comes, whatever nobody has', (t) => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), (held) => {
      const lacking = named(held.length);
      const has = (name: string): boolean => held[lacking.indexOf(name)] === true;
      const { ms, left } = fetched(lacking, has, 600_000);
      t.same(left.filter(has), []);
      // One turn for each eight that nobody has, one answer for each that somebody has, at the very worst.
      const nobodys = held.filter((one) => !one).length;
      return ms <= 2000 * (Math.ceil(nobodys / AT_ONCE) + 1) + ANSWER_MS * (held.length - nobodys);
    }),
    { numRuns: 200, seed: 1 },
  );
  t.end();
});

t.test('200 that another host has: as fast as they are answered', (t) => {
  const { ms, left, tellings } = fetched(named(200), () => true, 600_000);
  t.same(left, []);
  t.equal(ms, (200 / AT_ONCE) * ANSWER_MS);
  t.equal(tellings, 200 / AT_ONCE + 1, 'and that nothing is lacking any more');
  t.end();
});

t.test('what nobody has is asked for ever more seldom', (t) => {
  const hour = fetched(named(40), () => false, 3_600_000);
  t.ok(hour.tellings < 3_600_000 / (30_000 / 5) + 30, `${hour.tellings} tellings`);
  const few = fetched(named(AT_ONCE), () => false, 3_600_000);
  t.equal(few.tellings, 1, 'and told once where all can be named');
  t.end();
});

t.test('what a guest waits for now goes before what was asked for in vain', (t) => {
  const turns = new LackingTurns(2);
  t.same(turns.at(['a', 'b', 'c'], 0).names, ['a', 'b']);
  t.same(turns.at(['a', 'b', 'c'], 1999).names, ['a', 'b'], 'its turn');
  t.same(turns.at(['a', 'b', 'c', 'd'], 2000).names, ['c', 'd']);
  t.same(turns.at(['a', 'b', 'd'], 2100).names, ['a', 'd'], 'one came: the next takes its place');
  t.end();
});
