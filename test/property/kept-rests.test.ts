/**
 * Goal: what a VM rests from outlives a restart: the same shrinks are barred before and after, by planner and lint, and what is owed is
 * owed still; time that passed meanwhile counts, whichever way the wall clock was stepped; no rest is longer than the longest there is;
 * and of broken text nothing is believed but what is sound in itself.
 */
import fc from 'fast-check';
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { VcpuWatch } from '../../aggregator/core/state/vcpu-watch.ts';
import { Verdicts } from '../../aggregator/core/state/verdicts.ts';
import { bringVmRests, keptVmRests } from '../../aggregator/core/state/vm-rests.ts';
import { createPrng } from '../../shared/prng.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const COOL_MS = 1_800_000;
const OPTIONS = { stepMs: 5000, windowMs: 600_000, cooldownMs: COOL_MS };
const VCPUS = 4;
const BOOT_MIB = 1024;
const INVENTORY = { vcpus: VCPUS, bootMemoryMiB: BOOT_MIB, baseline: [], current: [] } as never;
const RUNS = { numRuns: 500, seed: 4 };

const before: Record<Resource, Setting> = {
  cpu: { resource: 'cpu', weight: 100, capCores: 2 },
  memory: { resource: 'memory', memoryMiB: 900 },
  network: { resource: 'network', inboundBytesPerSecond: 2e6, outboundBytesPerSecond: null },
  disk: { resource: 'disk', bytesPerSecond: 4e6, iops: 900 },
};
const after: Record<Resource, Setting> = {
  cpu: { resource: 'cpu', weight: 100, capCores: 1.5 },
  memory: { resource: 'memory', memoryMiB: 700 },
  network: { resource: 'network', inboundBytesPerSecond: 1e6, outboundBytesPerSecond: null },
  disk: { resource: 'disk', bytesPerSecond: 2e6, iops: 800 },
};

type Act = { resource: Resource | 'vcpus'; kind: 'harm' | 'fail' | 'given' | 'applied'; waitMs: number };
const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.record({
    resource: fc.constantFrom('vcpus' as const, ...RESOURCES),
    kind: fc.constantFrom('harm' as const, 'harm' as const, 'fail' as const, 'fail' as const, 'given' as const, 'applied' as const),
    waitMs: fc.integer({ min: 0, max: 900_000 }),
  }),
  { maxLength: 25 },
);

interface Vm {
  verdicts: Verdicts;
  vcpus: VcpuWatch;
  inventory: never;
}
const made = (): Vm => ({ verdicts: new Verdicts(OPTIONS), vcpus: new VcpuWatch(OPTIONS), inventory: INVENTORY });

/** Answers the time at its end. */
function live({ verdicts, vcpus }: Vm, history: readonly Act[], fromMs: number): number {
  let nowMs = fromMs;
  vcpus.note(VCPUS, nowMs);
  for (const { resource, kind, waitMs } of history) {
    nowMs += waitMs + 1;
    const since = { ms: nowMs, sign: 'it was short', demand: null };
    if (resource === 'vcpus') {
      if (kind !== 'fail') vcpus.applied({ from: kind === 'given' ? 2 : VCPUS, to: kind === 'given' ? VCPUS : 2, planId: 'p' }, nowMs);
      if (kind !== 'fail') vcpus.note(kind === 'given' ? VCPUS : 2, nowMs);
      if (kind === 'harm') vcpus.harmed(since, nowMs);
      if (kind === 'fail') vcpus.failed({ from: VCPUS, to: 2, planId: 'p' }, 'the guest refused', nowMs, nowMs);
    } else {
      const [from, to] = kind === 'given' ? [after[resource], before[resource]] : [before[resource], after[resource]];
      const change = { resource, direction: kind === 'given' ? ('grow' as const) : ('shrink' as const), from, to };
      if (kind === 'fail') verdicts.failed(change, 'refused '.repeat(100), nowMs);
      else verdicts.applied({ ...change, atMs: nowMs, planId: 'p' }, null);
      if (kind === 'harm') verdicts.harmed(resource, since, nowMs);
    }
    verdicts.expire(nowMs);
    vcpus.expire(nowMs);
  }
  return nowMs;
}

const textOf = (vm: Vm, writtenMs: number): string => JSON.stringify({ writtenMs, ...keptVmRests(vm) });
const settled = (vm: Vm, nowMs: number): Vm => {
  vm.verdicts.expire(nowMs);
  vm.vcpus.expire(nowMs);
  return vm;
};
/** A reason is cut, and how often it failed is no part of it. */
const seen = (vm: Vm): string => JSON.stringify(keptVmRests(vm), (key, value) => (key === 'rests' ? undefined : value));

t.test('after a restart it rests from the same, for as long as is left', async () => {
  fc.assert(
    fc.property(acts, fc.integer({ min: 0, max: 4 * COOL_MS }), (history, awayMs) => {
      const [vm, next] = [made(), made()];
      const nowMs = live(vm, history, NOW_MS);
      const text = textOf(vm, nowMs);
      if (!bringVmRests(next, text, nowMs + awayMs)) throw new Error('not read');
      const [was, is] = [seen(settled(vm, nowMs + awayMs)), seen(next)];
      if (was !== is) throw new Error(`${was}\n${is}`);
      if (text.length > 4096) throw new Error(`${text.length} bytes`);
      const again = made();
      bringVmRests(again, textOf(next, nowMs + awayMs), nowMs + awayMs);
      if (seen(again) !== is) throw new Error('not the same a second time');
    }),
    RUNS,
  );
});

t.test('the wall clock was stepped meanwhile: no rest is longer than what was left of it, or than any may be', async () => {
  fc.assert(
    fc.property(acts, fc.integer({ min: -1e12, max: 1e12 }), (history, stepMs) => {
      const [vm, next] = [made(), made()];
      const nowMs = live(vm, history, NOW_MS);
      bringVmRests(next, textOf(vm, nowMs), nowMs + stepMs);
      for (const resource of RESOURCES) {
        const [was, is] = [vm.verdicts.coolUntilMs[resource], next.verdicts.coolUntilMs[resource]];
        if (is !== undefined && is - (nowMs + stepMs) > was! - nowMs) throw new Error(`${resource}: longer`);
        if (was !== undefined && stepMs < 0 && is === undefined) throw new Error(`${resource}: a clock set back ends no rest`);
      }
    }),
    RUNS,
  );
});

const junk = fc.oneof(
  fc.constantFrom(253_402_300_800_000, -1, 1e300, '9', null, true, [], {}, '', 1.5),
  fc.constant({ resource: 'memory', memoryMiB: 1e9 }),
  fc.constant({ to: { resource: 'memory', memoryMiB: 1e9 }, reason: 'x' }),
  fc.constant({ to: { resource: 'cpu', weight: 100, capCores: 4096 }, reason: 'x' }),
  fc.jsonValue(),
);

/** With one value in it, anywhere, another. */
function broken(value: unknown, at: number, by: unknown): unknown {
  let left = at;
  const walk = (each: unknown): unknown => {
    if (left-- === 0) return by;
    if (typeof each !== 'object' || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([key, part]) => [key, walk(part)]));
  };
  return walk(value);
}

t.test('broken text: no rest beyond the longest, nothing owed that it never had, no other field lost by it', async () => {
  fc.assert(
    fc.property(acts, fc.integer({ min: 0, max: 60 }), junk, (history, at, by) => {
      const [vm, next] = [made(), made()];
      const nowMs = live(vm, history, NOW_MS);
      bringVmRests(next, JSON.stringify(broken(JSON.parse(textOf(vm, nowMs)), at, by)), nowMs);
      const { coolUntilMs, rollback, infeasible } = next.verdicts;
      for (const resource of RESOURCES) {
        const coolMs = (coolUntilMs[resource] ?? nowMs) - nowMs;
        if (!(coolMs >= 0 && coolMs <= COOL_MS)) throw new Error(`${resource} rests ${coolMs} ms`);
        const restMs = (infeasible[resource]?.untilMs ?? nowMs) - nowMs;
        if (!(restMs >= 0 && restMs <= 16 * COOL_MS)) throw new Error(`${resource} is out of reach for ${restMs} ms`);
        const to = rollback[resource]?.to;
        if (to !== undefined && to.resource !== resource) throw new Error(`${resource}: ${JSON.stringify(to)}`);
        if (to?.resource === 'memory' && !(to.memoryMiB > 0 && to.memoryMiB <= BOOT_MIB)) throw new Error(`${to.memoryMiB} MiB`);
        if (to?.resource === 'cpu' && to.capCores !== null && !(to.capCores > 0 && to.capCores <= VCPUS)) throw new Error(`${to.capCores}`);
        if (to !== undefined && coolUntilMs[resource] === undefined) throw new Error('owed without a rest');
      }
      next.vcpus.note(1, nowMs);
      const view = next.vcpus.view(nowMs, nowMs);
      if ((view?.rollback?.to ?? 0) > VCPUS) throw new Error(`${view?.rollback?.to} vCPUs owed`);
      if ((view?.coolUntilMs ?? 0) > nowMs + 12 * COOL_MS) throw new Error('vCPUs rest too long');
      const [was, is] = [keptVmRests(vm), keptVmRests(next)].map((kept) => Object.keys(kept.settings.coolUntilMs).length) as [
        number,
        number,
      ];
      const ofOne = ['version', 'writtenMs', 'settings'];
      if (is < was - 1 && !ofOne.includes(pathAt(JSON.parse(textOf(vm, nowMs)), at)[0] ?? 'version'))
        throw new Error('others went with it');
    }),
    { ...RUNS, numRuns: 2000 },
  );
  for (const text of ['', 'null', '[]', '"x"', '{"version":2}', '{"version":1}', '{"version":1,"settings":3,"writtenMs":1}']) {
    const vm = made();
    bringVmRests(vm, text, NOW_MS);
    if (Object.keys(vm.verdicts.coolUntilMs).length > 0) throw new Error(text);
  }
});

/** Keys on the way to the value that `broken` replaces. */
function pathAt(value: unknown, at: number): string[] {
  let left = at;
  const walk = (each: unknown, path: string[]): string[] | null => {
    if (left-- === 0) return path;
    if (typeof each !== 'object' || each === null) return null;
    for (const [key, part] of Object.entries(each)) {
      const found = walk(part, [...path, key]);
      if (found !== null) return found;
    }
    return null;
  };
  return walk(value, []) ?? [];
}

t.test('what was changed before the text was read is not given back, and the longer of two rests holds', async (t) => {
  const [vm, next] = [made(), made()];
  const nowMs = live(vm, [{ resource: 'memory', kind: 'harm', waitMs: 0 }], NOW_MS);
  next.verdicts.applied({ resource: 'memory', direction: 'grow', from: after.memory, to: before.memory, atMs: nowMs, planId: 'p' }, null);
  next.verdicts.coolUntilMs.memory = nowMs + 7;
  bringVmRests(next, textOf(vm, nowMs), nowMs);
  t.equal(next.verdicts.coolUntilMs.memory, nowMs + COOL_MS);
  t.same(next.verdicts.rollback, {});
});

t.test('out of reach stays out of reach for longer each time, over a restart', async (t) => {
  const [vm, next] = [made(), made()];
  const fail = { resource: 'memory', kind: 'fail', waitMs: 0 } as const;
  const nowMs = live(vm, [fail, fail, fail], NOW_MS);
  t.equal(vm.verdicts.infeasible.memory!.untilMs, nowMs + 2 * COOL_MS);
  bringVmRests(next, textOf(vm, nowMs), nowMs + 1);
  live(next, [fail], nowMs + 1);
  t.equal(next.verdicts.infeasible.memory!.untilMs, nowMs + 2 + 4 * COOL_MS);
});

t.test('planner and lint keep to what was brought: no shrink, and what is owed goes back', async (t) => {
  const vm = made();
  const nowMs = live(vm, [{ resource: 'cpu', kind: 'harm', waitMs: 0 }], NOW_MS - 61_000);
  const cap = (capCores: number) => ({ resource: 'cpu', weight: 100, capCores }) as const;
  const snapshotWith = (capCores: number, rested: Vm | null) => {
    const { coolUntilMs = {}, rollback = {} } = rested?.verdicts ?? {};
    const demand = { ...vmOf(1).demand, cpu: demandOf(0.5, forecastOf(Array.from({ length: 6 }, () => 0.5))) };
    return snapshotOf([vmOf(1, { demand, current: { ...vmOf(1).current, cpu: cap(capCores) }, coolUntilMs, rollback })]);
  };
  const planned = (capCores: number, rested: Vm | null) =>
    plan(snapshotWith(capCores, rested), policyOf(), { epoch: 1 }, createPrng(1)).plan;
  const ofCpu = (capCores: number, rested: Vm | null) => planned(capCores, rested).steps.filter(({ resource }) => resource === 'cpu');
  t.match(ofCpu(2, null), [{ direction: 'shrink' }], 'without a rest it would be shrunk');
  const next = made();
  bringVmRests(next, textOf(vm, nowMs), nowMs + 60_000);
  t.ok(
    lintPlan(planned(2, null), snapshotWith(2, next), policyOf()).some(({ message }) => /cools down/.test(message)),
    'nor let through',
  );
  t.same(ofCpu(2, next), []);
  t.match(ofCpu(1.5, next), [{ direction: 'grow', to: { capCores: 2 }, constraint: 'rollback' }]);
  t.same(lintPlan(planned(1.5, next), snapshotWith(1.5, next), policyOf()), []);
});
