/**
 * Goal: incidents are named soundly whatever comes. A metric that is told at every so-many-th point weighs what it would weigh told at each;
 * how grave a change is grows with it and stays within its bounds; a name is taken when it has held, and told once.
 */
import fc from 'fast-check';
import t from 'tap';
import { INCIDENT_KINDS, type Incident, VM_METRICS } from '../../aggregator/core/anomaly/incident.ts';
import { IncidentCourse } from '../../aggregator/core/anomaly/incident-course.ts';
import { gravity } from '../../aggregator/core/anomaly/material.ts';
import { VmWatch } from '../../aggregator/core/anomaly/vm-watch.ts';
import { WatchEngine } from '../../aggregator/core/anomaly/watch-engine.ts';

const STEP_MS = 1000;

/** What memory weighs after its last value, told at every `every`-th point at the same times. */
function weightOf(memory: readonly number[], every: number): number {
  const watch = new VmWatch(new WatchEngine(VM_METRICS.length));
  const stepMs = (12 * STEP_MS) / every;
  for (let i = 0; i <= (memory.length - 1) * every; i++) {
    const values = { network: 5, ...(i % every === 0 ? { memory: memory[i / every]! } : {}) };
    watch.observe({ timeMs: i * stepMs, values });
  }
  return watch.serialise().metrics.find(({ metric }) => metric === 'memory')!.weight;
}

t.test('a metric told at every so-many-th point weighs what it would weigh told at each', async (t) => {
  const values = fc.tuple(
    fc.array(fc.double({ min: 70, max: 74, noNaN: true }), { minLength: 90, maxLength: 100 }),
    fc.array(fc.double({ min: 60, max: 320, noNaN: true }), { minLength: 1, maxLength: 30 }),
  );
  let weighed = 0;
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 5 }), ([before, after], every) => {
      const memory = [...before, ...after];
      const weight = weightOf(memory, 1);
      if (weight > 1) weighed += 1;
      return Math.abs(weight - weightOf(memory, every)) <= 0.01 * weight + 0.01;
    }),
    { numRuns: 60 },
  );
  t.ok(weighed > 30, `${weighed} of 60 had something to weigh`);
});

t.test('a metric that stays away beyond its own gap fades, and what is held is held for a dozen points at most', async (t) => {
  const watch = new VmWatch(new WatchEngine(VM_METRICS.length));
  const weight = (): number => watch.serialise().metrics.find(({ metric }) => metric === 'memory')!.weight;
  let i = 0;
  const next = (values: object) => watch.observe({ timeMs: i++ * STEP_MS, values: { network: 5, ...values } });
  // Twenty points away between two values each time, for long.
  for (let n = 0; n < 90; n++) for (let k = 0; k <= 20; k++) next(k === 0 ? { memory: n < 80 ? 70 + (n % 3) : 300 } : {});
  next({ memory: 300 });
  const told = weight();
  t.ok(told > 5, String(told));
  for (let k = 0; k < 12; k++) next({});
  t.equal(weight(), told);
  next({});
  t.ok(weight() < told);
});

t.test('how grave: within its bounds, never less for more', async (t) => {
  const amount = fc.double({ min: 0, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(fc.constantFrom(...VM_METRICS), amount, amount, amount, (metric, before, a, b) => {
      const of = (away: number): number => gravity(metric, { [metric]: before }, { [metric]: before + away }, { cpu: 4, memory: 4096 });
      const [less, more] = [of(Math.min(a, b)), of(Math.max(a, b))];
      return less >= 0.1 && more <= 1 && less <= more && of(-a) <= of(a);
    }),
  );
  t.equal(gravity('cpu', { cpu: 1 }, { cpu: 1.2 }, {}), 1, 'of unknown size: not passed over');
  t.equal(gravity('cpu', {}, { cpu: 1.2 }, { cpu: 4 }), 1, 'of unknown past: not passed over');
});

const called = fc.record({
  kind: fc.constantFrom(...INCIDENT_KINDS),
  contributors: fc.constantFrom(...VM_METRICS).map((metric) => [{ name: `${metric}: value`, share: 1 }]),
});

t.test('a name is taken when it has held for two points, told once, and never for a moment only', async (t) => {
  const keyOf = ({ kind, contributors }: Pick<Incident, 'kind' | 'contributors'>): string =>
    kind === 'silence' ? kind : `${kind} ${contributors[0]!.name}`;
  fc.assert(
    fc.property(fc.array(called, { minLength: 1, maxLength: 60 }), fc.integer({ min: 0, max: 59 }), (sequence, restartAt) => {
      let course = new IncidentCourse();
      let open = sequence[0]!;
      course.opened(open, 8);
      const told = [keyOf(open)];
      for (const [i, now] of sequence.entries()) {
        // Kept and taken up again at any point.
        if (i === restartAt) course = new IncidentCourse(JSON.parse(JSON.stringify(course)));
        course.next(false);
        const name = course.name(open, now);
        const same = keyOf(now) === keyOf(open);
        const held = i > 0 && keyOf(sequence[i - 1]!) === keyOf(now);
        if ((name === 'same') !== same) return false;
        if (name === 'another' && !held && open.kind !== 'spike' && now.kind !== 'silence') return false;
        if (name === 'not yet' && held) return false;
        if (name !== 'another') continue;
        open = now;
        const formerly = course.formerly(open);
        if ((formerly !== null) !== (now.kind !== 'spike' && !told.includes(keyOf(now)))) return false;
        if (formerly !== null) told.push(keyOf(now));
      }
      return new Set(told).size === told.length;
    }),
  );
  t.pass('held');
});
