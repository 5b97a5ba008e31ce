/**
 * Goal: in any order, with any repeats and losses, pairs that the guard lets through only rise, and nothing goes through
 * that breaks a floor, a ceiling, 20 % of a vCPU, a working set or the host's sum.
 */
import fc from 'fast-check';
import t from 'tap';
import { type Command, type GuardedHost, type GuardedVm, guardCommand } from '../../agent/core/command-guard.ts';
import { comparePairs, type Pair } from '../../shared/resources.ts';
import { told } from '../support/told.ts';

const VM = '00000000-0000-4000-8000-000000000001';
const allowed = { allowed: true } as const;
const HOST: GuardedHost = { killed: null, balloonManager: null, usableMiB: 4096, exposureMiB: 2048, freeMiB: 1024 };

function guarded(over: Partial<GuardedVm>): GuardedVm {
  return {
    running: true,
    vcpus: 2,
    eligibility: { cpu: allowed, memory: allowed, network: allowed, disk: allowed },
    growOnly: false,
    current: {},
    pairs: {},
    results: [],
    holds: {},
    jobActive: false,
    killed: null,
    memory: { targetMiB: null, fromMiB: null, balloonMiB: null, ...told(null, null), rssMiB: null, pressure: false },
    ...over,
  };
}

t.test('pairs only rise', async () => {
  const pairs = fc.array(fc.record({ epoch: fc.integer({ min: 0, max: 4 }), generation: fc.integer({ min: 0, max: 20 }) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(pairs, (list) => {
      const current = { resource: 'cpu' as const, weight: 100, capCores: 1 };
      let highest: Pair | undefined;
      for (const [index, pair] of list.entries()) {
        const command: Command = {
          type: 'command',
          commandId: String(index),
          vm: VM,
          resource: 'cpu',
          pair,
          leaseMs: 1000,
          previous: current,
          target: current,
          floor: 0,
          ceiling: 2,
          mode: 'auto',
          reason: '',
        };
        const verdict = guardCommand(command, guarded({ current: { cpu: current }, pairs: highest ? { cpu: highest } : {} }), HOST, 0);
        const rises = highest === undefined || comparePairs(pair, highest) > 0;
        if ((verdict.kind === 'go') !== rises) return false;
        if (rises) highest = pair;
      }
      return true;
    }),
  );
});

t.test('what goes through is within every bound', async () => {
  const arbitrary = fc.record({
    from: fc.integer({ min: 64, max: 2048 }),
    to: fc.integer({ min: 0, max: 4096 }),
    floor: fc.integer({ min: 0, max: 1024 }),
    ceiling: fc.integer({ min: 256, max: 4096 }),
    available: fc.option(fc.integer({ min: 0, max: 2048 }), { nil: null }),
    exposure: fc.integer({ min: 0, max: 5000 }),
    pressure: fc.boolean(),
    grows: fc.double({ min: 0, max: 50, noNaN: true }),
    age: fc.integer({ min: 0, max: 30_000 }),
  });
  fc.assert(
    fc.property(arbitrary, ({ from, to, floor, ceiling, available, exposure, pressure, grows, age }) => {
      const current = { resource: 'memory' as const, memoryMiB: from };
      const command: Command = {
        type: 'command',
        commandId: 'x',
        vm: VM,
        resource: 'memory',
        pair: { epoch: 1, generation: 1 },
        leaseMs: 1000,
        previous: current,
        target: { resource: 'memory', memoryMiB: to },
        floor,
        ceiling,
        mode: 'auto',
        reason: '',
      };
      const workingSet = available === null ? null : from - available;
      const growth = { growthMiBPerSecond: grows, toldAgeMs: age };
      const memory = {
        ...{ targetMiB: from, fromMiB: null, balloonMiB: from, rssMiB: null, pressure },
        ...{ availableMiB: available, workingSetMiB: workingSet, ...growth },
      };
      const verdict = guardCommand(command, guarded({ current: { memory: current }, memory }), { ...HOST, exposureMiB: exposure }, 0);
      if (verdict.kind !== 'go') return true;
      if (to > from + 1) return to <= ceiling && exposure + to - from <= HOST.usableMiB! && to - from <= HOST.freeMiB!;
      if (to < from - 1) return to >= floor && !pressure && available !== null && to >= from - available + (grows * (age + 5000)) / 1000;
      return true;
    }),
    { numRuns: 2000 },
  );
});

t.test('no cap below 20 % of each vCPU, ever', async () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 8, noNaN: true }), fc.integer({ min: 1, max: 32 }), (capCores, vcpus) => {
      const current = { resource: 'cpu' as const, weight: 100, capCores: null };
      const command: Command = {
        type: 'command',
        commandId: 'x',
        vm: VM,
        resource: 'cpu',
        pair: { epoch: 1, generation: 1 },
        leaseMs: 1000,
        previous: current,
        target: { ...current, capCores },
        floor: 0,
        ceiling: 64,
        mode: 'auto',
        reason: '',
      };
      const verdict = guardCommand(command, guarded({ current: { cpu: current }, vcpus }), HOST, 0);
      return verdict.kind !== 'go' || capCores >= 0.2 * vcpus - 1e-6;
    }),
  );
});
