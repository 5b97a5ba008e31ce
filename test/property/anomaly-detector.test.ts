/**
 * Goal: detectors keep what the seam promises: scores are likelihoods, what comes later changes no score before it, state is
 * bounded and goes on after a restore as if nothing had happened, and no input (constant, huge, tiny, missing) breaks them.
 */
import fc from 'fast-check';
import t from 'tap';
import { ALARM_SCORE, type AnomalyPoint } from '../../aggregator/core/anomaly/detector.ts';
import { ENSEMBLE } from '../../aggregator/core/anomaly/ensemble-detector.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const points = (values: readonly number[]): AnomalyPoint[] =>
  values.map((value, i) => ({ timeMs: 1_400_000_000_000 + i * STEP_MS, value }));

function scores(values: readonly number[]): number[] {
  const detector = ENSEMBLE.create();
  return points(values).map((point) => detector.score(point).score);
}

const anyValue = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: -100, max: 100, noNaN: true }) },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, 5) },
  { weight: 1, arbitrary: fc.double({ noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constant(Number.NaN) },
);

t.test('any input: a likelihood, never NaN, with contributors that add up', async (t) => {
  fc.assert(
    fc.property(fc.array(anyValue, { minLength: 80, maxLength: 300 }), (values) => {
      const detector = ENSEMBLE.create();
      for (const point of points(values)) {
        const { score, kind, contributors } = detector.score(point);
        if (!(score >= 0 && score <= 1)) return false;
        if (score === 0 && (kind !== 'none' || contributors.length > 0)) return false;
        const shares = contributors.reduce((sum, { share }) => sum + share, 0);
        if (!(contributors.length <= 3 && shares <= 1 + 1e-9)) return false;
      }
      return true;
    }),
    { numRuns: 200 },
  );
  t.pass('held');
});

t.test('what comes later changes no score before it', async (t) => {
  fc.assert(
    fc.property(fc.array(anyValue, { minLength: 100, maxLength: 250 }), fc.array(anyValue, { maxLength: 50 }), (past, future) => {
      const alone = scores(past);
      const together = scores([...past, ...future]).slice(0, past.length);
      return alone.every((score, i) => score === together[i]);
    }),
    { numRuns: 100 },
  );
  t.pass('held');
});

t.test('a restored detector goes on exactly as the one that was stored; other bytes are refused', async (t) => {
  fc.assert(
    fc.property(fc.array(anyValue, { minLength: 150, maxLength: 300 }), fc.integer({ min: 0, max: 149 }), (values, at) => {
      const whole = ENSEMBLE.create();
      let second = ENSEMBLE.create();
      const bytes = second.stateBytes;
      for (const [i, point] of points(values).entries()) {
        if (i === at) second = ENSEMBLE.restore(second.serialise());
        if (JSON.stringify(whole.score(point)) !== JSON.stringify(second.score(point))) return false;
      }
      return second.stateBytes === bytes;
    }),
    { numRuns: 100 },
  );
  const bytes = ENSEMBLE.create().serialise();
  bytes[bytes.length - 1]! ^= 1;
  t.throws(() => ENSEMBLE.restore(bytes), /checksum/);
  try {
    ENSEMBLE.restore(bytes.subarray(0, 20));
    t.fail('truncated bytes were read');
  } catch (error) {
    t.ok(isHeadroomError(error, 'STORE_CORRUPT'));
  }
});

t.test('state is at most 2 KiB a series: 16 KiB for a VM of eight metrics', async (t) => {
  const detector = ENSEMBLE.create();
  for (const point of points(Array.from({ length: 3000 }, (_, i) => Math.sin(i / 20)))) detector.score(point);
  t.ok(detector.stateBytes <= 2048, `${detector.stateBytes} bytes`);
});

/** A day's wave with noise. */
function wave(seed: number, steps: number): number[] {
  const random = createPrng(seed, 'wave');
  return Array.from({ length: steps }, (_, i) => 50 + 10 * Math.sin((i / 288) * 2 * Math.PI) + 2 * (random.next() + random.next() - 1));
}

const QUIET_STEPS = 2000;
const EVENTS: Readonly<Record<string, (values: number[], from: number) => void>> = {
  spike: (v, from) => {
    v[from] = v[from]! + 60;
  },
  'level shift up': (v, from) => {
    for (let i = from; i < v.length; i++) v[i]! += 30;
  },
  'fall to nothing': (v, from) => {
    for (let i = from; i < v.length; i++) v[i] = 0;
  },
  stuck: (v, from) => {
    for (let i = from; i < v.length; i++) v[i] = v[from]!;
  },
  'noise ten times as strong': (v, from) => {
    const random = createPrng(7, 'noise');
    for (let i = from; i < v.length; i++) v[i]! += 40 * (random.next() - 0.5);
  },
};

for (const [event, happen] of Object.entries(EVENTS)) {
  t.test(`${event}: seen within two hours in at least 9 of 10 series, few alarms before`, async (t) => {
    let seen = 0;
    let early = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const values = wave(seed, QUIET_STEPS + 24);
      happen(values, QUIET_STEPS);
      const judged = scores(values);
      early += judged.slice(0, QUIET_STEPS).filter((score) => score >= ALARM_SCORE).length;
      if (judged.slice(QUIET_STEPS).some((score) => score >= ALARM_SCORE)) seen += 1;
    }
    t.ok(seen >= 9, `seen in ${seen} of 10 series (seeds 1 to 10)`);
    t.ok(early <= 10, `${early} alarms in ten quiet weeks`);
  });
}

t.test('a constant series is quiet, its first change is not', async (t) => {
  const judged = scores([...Array<number>(500).fill(3), 8]);
  t.ok(judged.slice(0, 500).every((score) => score === 0));
  t.ok(judged[500]! >= ALARM_SCORE, `${judged[500]}`);
});

t.test('missing points are silence once beyond what is usual, are not learnt, and do not stand for zero', async (t) => {
  const detector = ENSEMBLE.create();
  const values = wave(3, 600);
  for (const point of points(values)) detector.score(point);
  const kinds = points(Array<number>(30).fill(Number.NaN)).map((point) => detector.score(point).kind);
  t.same(
    kinds.flatMap((kind, i) => (kind === 'none' ? [] : [[i, kind]])),
    [[4, 'silence']],
    'told once, at the fifth',
  );
  const back = detector.score({ timeMs: 1_400_000_000_000 + 630 * STEP_MS, value: values[54]! });
  t.ok(back.score < ALARM_SCORE, 'the value it would have had is no alarm');
  const again = points(Array<number>(70).fill(Number.NaN)).map((point) => detector.score(point).kind);
  t.equal(again.indexOf('silence'), 60, 'a gap as long as the known one is usual by now');
});

t.test('scale and offset of a series do not matter much', async (t) => {
  const values = wave(5, 1500);
  values[1400] = 140;
  const plain = scores(values);
  for (const [scale, offset] of [
    [1e9, 0],
    [1, 1e6],
    [1e-6, 0],
  ] as const) {
    const other = scores(values.map((value) => value * scale + offset));
    t.ok(plain[1400]! >= ALARM_SCORE && other[1400]! >= ALARM_SCORE, `× ${scale} + ${offset}: ${plain[1400]} and ${other[1400]}`);
  }
});
