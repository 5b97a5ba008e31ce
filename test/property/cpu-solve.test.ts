/**
 * Goal: weight, cap and vCPUs solved from one demand never leave a VM less than it wants on account of vCPUs that are offline:
 * what is taken fits the cap in force before anything is written, what grows never waits, and nothing is taken unasked.
 */
import fc from 'fast-check';
import t from 'tap';
import { type CpuProblem, solveCpu } from '../../aggregator/core/plan/cpu-solve.ts';

const cores = (max: number) => fc.double({ min: 0, max, noNaN: true });
const problems: fc.Arbitrary<CpuProblem> = fc
  .record({
    vcpus: fc.integer({ min: 1, max: 64 }),
    a: fc.double({ min: 0, max: 1, noNaN: true }),
    caps: fc.boolean(),
    mayTake: fc.boolean(),
  })
  .chain(({ vcpus, a, caps, mayTake }) =>
    fc.record({
      vcpus: fc.constant(vcpus),
      online: fc.integer({ min: 1, max: vcpus }),
      cores: cores(vcpus),
      sustainedCores: cores(vcpus),
      floorCores: cores(vcpus / 2),
      ceilingCores: fc.constant(Math.max(0.2 * vcpus, a * vcpus)),
      capCores: fc.option(fc.double({ min: 0.2 * vcpus, max: vcpus, noNaN: true }), { nil: null }),
      caps: fc.constant(caps),
      roomCores: cores(32),
      mayTake: fc.constant(mayTake),
    }),
  );
const RUNS = { numRuns: 5000, seed: 7 };
const EPSILON = 0.01;

/** What so many vCPUs can run under a cap: a quota of each. */
const runs = (problem: CpuProblem, online: number, cap: number | null): number =>
  Math.min(online, ((cap ?? problem.vcpus) * online) / problem.vcpus);

const holds = (name: string, check: (problem: CpuProblem, solved: ReturnType<typeof solveCpu>) => boolean): void => {
  t.test(name, async () =>
    fc.assert(
      fc.property(problems, (problem) => check(problem, solveCpu(problem))),
      RUNS,
    ),
  );
};

holds(
  'a whole number of vCPUs it has',
  ({ vcpus }, solved) => Number.isInteger(solved.vcpus) && solved.vcpus >= 1 && solved.vcpus <= vcpus,
);

holds('all are online, or those online can run what is wanted under the cap that is set', (problem, solved) => {
  const cap = problem.caps ? solved.capCores : problem.capCores;
  return solved.vcpus === problem.vcpus || runs(problem, solved.vcpus, cap) >= Math.max(problem.cores, problem.sustainedCores) - EPSILON;
});

holds('vCPUs go only when the cap in force lets the rest run it already', (problem, solved) => {
  if (solved.vcpus >= problem.online) return true;
  return runs(problem, solved.vcpus, problem.capCores) >= Math.max(problem.cores, problem.sustainedCores) - EPSILON;
});

holds('they go only when they may, at most half at once, at least a quarter, and never below the floor', (problem, solved) => {
  if (solved.vcpus >= problem.online) return true;
  const { online, floorCores, mayTake } = problem;
  return mayTake && solved.vcpus >= Math.ceil(online / 2) && solved.vcpus <= 0.75 * online && solved.vcpus >= floorCores - EPSILON;
});

holds(
  'demand that the vCPUs online cannot run brings more, at once and whatever may be taken',
  (problem, solved) =>
    Math.max(problem.cores, problem.sustainedCores) <= problem.online || solved.vcpus > problem.online || problem.online === problem.vcpus,
);

holds('a cap never takes more room than the host has, but for what is wanted itself', (problem, solved) => {
  if (solved.capCores === null) return !problem.caps;
  const inForce = problem.capCores ?? problem.vcpus;
  return solved.capCores <= Math.max(inForce + problem.roomCores, problem.cores) + EPSILON && solved.capCores <= problem.vcpus + EPSILON;
});

holds(
  'a cap is never set below what is wanted',
  (problem, solved) => solved.capCores === null || solved.capCores >= Math.min(problem.cores, problem.vcpus) - EPSILON,
);

t.test('the more is wanted, the more are online', async () => {
  const more = fc.tuple(problems, fc.double({ min: 0, max: 8, noNaN: true }));
  fc.assert(
    fc.property(more, ([problem, extra]) => {
      const uncapped = { ...problem, caps: false };
      return solveCpu({ ...uncapped, cores: uncapped.cores + extra }).vcpus >= solveCpu(uncapped).vcpus;
    }),
    RUNS,
  );
});

t.test('taking settles: what follows from the outcome takes nothing back', async () => {
  const settled = (problem: CpuProblem): CpuProblem => {
    let now = { ...problem, mayTake: true };
    for (let plans = 0; plans < 20; plans++) {
      const { capCores, vcpus } = solveCpu(now);
      now = { ...now, online: vcpus, capCores: now.caps ? capCores : now.capCores };
    }
    return now;
  };
  fc.assert(
    fc.property(problems, (problem) => {
      const last = settled(problem);
      return solveCpu(last).vcpus === last.online;
    }),
    RUNS,
  );
});

t.test('eight vCPUs that want 1.3 cores: two run it, under a cap of four times as much where there is room', (t) => {
  const eight: CpuProblem = {
    ...{ vcpus: 8, online: 8, cores: 1.3, sustainedCores: 1.3, floorCores: 1.6, ceilingCores: 8, capCores: null, caps: false },
    ...{ roomCores: 16, mayTake: true },
  };
  t.equal(solveCpu(eight).vcpus, 4, 'half of them first');
  t.equal(solveCpu({ ...eight, online: 4 }).vcpus, 2);
  t.equal(solveCpu({ ...eight, online: 2 }).vcpus, 2);
  const capped = { ...eight, caps: true, capCores: 1.6 };
  t.match(solveCpu(capped), { capCores: 2.6, vcpus: 8 }, 'first the cap, then the vCPUs that it leaves over');
  t.match(solveCpu({ ...capped, capCores: 2.6 }), { capCores: 2.6, vcpus: 4 });
  t.match(solveCpu({ ...capped, capCores: 2.6, online: 4 }), { capCores: 5.2, vcpus: 4 });
  t.match(solveCpu({ ...capped, capCores: 5.2, online: 4 }), { capCores: 5.2, vcpus: 2 });
  t.match(solveCpu({ ...capped, online: 2, roomCores: 0 }), { capCores: 1.6, vcpus: 7 }, 'no room: they come back');
  t.end();
});
