/**
 * Goal: whatever hosts there are, a VM comes back where it has room if any has; of equal ones where least must move; more chunks or more room
 * never make a host be chosen less; every host is either chosen or told why not; of a snapshot the sample is of its own records.
 */
import fc from 'fast-check';
import t from 'tap';
import { SAMPLE_NAMES, sampleChunks } from '../../agent/core/chunk-sample.ts';
import { chooseResumeHost, type ResumeCandidate, type ResumeNeed } from '../../aggregator/core/resume/choose-host.ts';
import { hostId } from '../../shared/ids.ts';

const MIB = 1024 * 1024;
const share = fc.double({ min: 0, max: 1, noNaN: true });
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const fleet: fc.Arbitrary<ResumeCandidate[]> = fc
  .array(
    fc.record({
      barred: fc.constantFrom(null, null, null, 'it is not connected'),
      freeMiB: orNull(fc.integer({ min: -100, max: 4000 })),
      peakFreeMiB: orNull(fc.integer({ min: -100, max: 4000 })),
      peakFreeCores: orNull(fc.integer({ min: -2, max: 8 })),
      held: orNull(fc.record({ first: share, rest: share })),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((all) =>
    all.map((one, i) => ({ ...one, host: hostId(`kvm${i}`), own: i === 0, ...(i === 0 ? { held: { first: 1, rest: 1 } } : {}) })),
  );
const need: fc.Arbitrary<ResumeNeed> = fc.record({
  memoryMiB: fc.integer({ min: 1, max: 3000 }),
  cores: orNull(fc.integer({ min: 0, max: 4 })),
  bytes: orNull(fc.record({ first: fc.integer({ min: 0, max: 256 * MIB }), rest: fc.integer({ min: 0, max: 2048 * MIB }) })),
});
const able = ({ barred, freeMiB }: ResumeCandidate, { memoryMiB }: ResumeNeed): boolean =>
  barred === null && freeMiB !== null && freeMiB >= memoryMiB;

t.test('room first; every host is chosen or told why not', (t) => {
  fc.assert(
    fc.property(fleet, need, (hosts, asked) => {
      const { host, reason, others } = chooseResumeHost(hosts, asked)!;
      const chosen = hosts.find((one) => one.host === host)!;
      if (hosts.some((one) => able(one, asked)) !== able(chosen, asked)) return false;
      if (!hosts.some((one) => able(one, asked)) && chosen.host !== 'kvm0') return false;
      if (others.length !== hosts.length - 1 || others.some((other) => other.reason === '' || other.host === host)) return false;
      return reason.startsWith(host);
    }),
    { numRuns: 500 },
  );
  t.equal(chooseResumeHost([], { memoryMiB: 1, cores: null, bytes: null }), null);
  t.end();
});

t.test('of a VM that was never brought back nothing is said of what it touches first', (t) => {
  const one = { own: false, barred: null, freeMiB: 500, peakFreeMiB: null, peakFreeCores: null, held: { first: 1, rest: 0.25 } };
  const placed = chooseResumeHost([{ ...one, host: hostId('kvm1') }], {
    memoryMiB: 100,
    cores: null,
    bytes: { first: 0, rest: 100 * MIB },
  });
  t.match(placed?.reason, /never seen, 25 % of all of it is there: 0 MiB move before it runs, 75 after/);
  t.end();
});

t.test('more of its chunks, or more room, never makes the chosen host lose', (t) => {
  fc.assert(
    fc.property(fleet, need, fc.integer({ min: 0, max: 2000 }), share, (hosts, asked, moreMiB, moreShare) => {
      const { host } = chooseResumeHost(hosts, asked)!;
      const better = hosts.map((one) => {
        if (one.host !== host) return one;
        const held = { first: Math.max(one.held?.first ?? 0, moreShare), rest: Math.max(one.held?.rest ?? 0, moreShare) };
        const more = (value: number | null): number | null => (value === null ? null : value + moreMiB);
        return { ...one, freeMiB: more(one.freeMiB), peakFreeMiB: more(one.peakFreeMiB), held };
      });
      return chooseResumeHost(better, asked)!.host === host;
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test('a sample is even, of its own records, and counts what is filled', (t) => {
  const records = fc.array(fc.constantFrom<readonly string[]>([], ['a'], ['b'], ['c', 'd']), { maxLength: 200 });
  fc.assert(
    fc.property(records, fc.uniqueArray(fc.integer({ min: 0, max: 250 }), { maxLength: 50 }), (chunks, predicted) => {
      const own = chunks.map((names, i) => names.map((name) => `${name}${i}`));
      const { first, rest, firstBytes, filledBytes } = sampleChunks(own, predicted, 10);
      const filled = own.filter((names) => names.length > 0).length;
      const firstOnes = new Set(predicted.flatMap((chunk) => own[chunk] ?? []));
      if (first.some((name) => !firstOnes.has(name)) || rest.some((name) => firstOnes.has(name))) return false;
      if (first.length !== Math.min(SAMPLE_NAMES, firstOnes.size) || new Set([...first, ...rest]).size !== first.length + rest.length)
        return false;
      return filledBytes === filled * 10 && firstBytes <= filledBytes;
    }),
  );
  t.end();
});
