/**
 * Goal: whatever the host sees, the fast guard never shrinks anything, never goes beyond a VM's ceiling or the host's
 * reserves, and does nothing on what is unknown.
 */
import fc from 'fast-check';
import t from 'tap';
import { fastGuard, type GuardVm } from '../../shared/fast-guard.ts';
import { vmId } from '../../shared/ids.ts';

const maybe = (max: number) =>
  fc.option(fc.oneof(fc.double({ min: 0, max, noNaN: true }), fc.constant(0), fc.constant(Number.NaN)), { nil: null });
const arbitraryVm: fc.Arbitrary<Omit<GuardVm, 'vm'>> = fc.record({
  capCores: maybe(64),
  usageCores: maybe(64),
  throttledFraction: maybe(1),
  cpuCeilingCores: maybe(64),
  balloonMiB: maybe(65_536),
  targetMiB: maybe(65_536),
  availableMiB: maybe(65_536),
  foreseenMiB: fc.oneof(
    maybe(1024),
    maybe(1024).map((value) => value && -value),
  ),
  silent: fc.boolean(),
  memoryPressureFraction: maybe(1),
  swapInMiBPerSecond: maybe(100),
  memoryCeilingMiB: maybe(65_536),
});
const id = (index: number) => vmId(`00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`);
const arbitraryInput = fc.record({
  vms: fc.array(arbitraryVm, { maxLength: 12 }).map((vms) => vms.map((vm, index) => ({ ...vm, vm: id(index) }))),
  reserveCores: fc.double({ min: 0, max: 64, noNaN: true }),
  reserveMiB: fc.double({ min: 0, max: 65_536, noNaN: true }),
});
const EPSILON = 1e-6;

t.test('grows only, within ceilings, and the reserves are what was there less what was given', async () => {
  fc.assert(
    fc.property(arbitraryInput, (input) => {
      const output = fastGuard(input);
      let cores = 0;
      let memoryMiB = 0;
      for (const action of output.actions) {
        const vm = input.vms.find((one) => one.vm === action.vm)!;
        if (action.resource === 'cpu') {
          if (!(action.capCores > vm.capCores!)) return false;
          if (action.capCores > vm.cpuCeilingCores! + EPSILON) return false;
          if (!(vm.throttledFraction! > 0)) return false;
          cores += action.capCores - vm.capCores!;
        } else {
          if (!(action.memoryMiB > vm.targetMiB!)) return false;
          if (action.memoryMiB > vm.memoryCeilingMiB! + EPSILON) return false;
          memoryMiB += Math.max(0, action.memoryMiB - Math.max(vm.balloonMiB!, vm.targetMiB!));
        }
      }
      return (
        cores <= input.reserveCores + EPSILON &&
        memoryMiB <= input.reserveMiB + EPSILON &&
        Math.abs(input.reserveCores - cores - output.reserveCores) < EPSILON &&
        Math.abs(input.reserveMiB - memoryMiB - output.reserveMiB) < EPSILON
      );
    }),
    { numRuns: 2000 },
  );
});

t.test('the same twice is the same, one action per VM and resource', async () => {
  fc.assert(
    fc.property(arbitraryInput, (input) => {
      const output = fastGuard(input);
      const keys = output.actions.map((action) => `${action.vm}/${action.resource}`);
      return new Set(keys).size === keys.length && JSON.stringify(fastGuard(input)) === JSON.stringify(output);
    }),
  );
});

const calm: GuardVm = {
  vm: id(1),
  capCores: 1,
  usageCores: 1,
  throttledFraction: 0,
  cpuCeilingCores: 2,
  balloonMiB: 512,
  targetMiB: 512,
  availableMiB: 200,
  foreseenMiB: null,
  silent: false,
  memoryPressureFraction: 0,
  swapInMiBPerSecond: 0,
  memoryCeilingMiB: 1024,
};
const run = (vm: Partial<GuardVm>, reserveCores = 4, reserveMiB = 1024) =>
  fastGuard({ vms: [{ ...calm, ...vm }], reserveCores, reserveMiB }).actions;

t.test('what it reacts to', async (t) => {
  t.same(run({}), [], 'a calm VM is left alone');
  t.match(run({ throttledFraction: 0.3 }), [{ resource: 'cpu', capCores: 1.5 }]);
  t.same(run({ throttledFraction: 0.3, capCores: null }), [], 'no cap, nothing to grow');
  t.same(run({ throttledFraction: null }), [], 'unknown is not zero and not throttled');
  t.match(run({ throttledFraction: 0.3 }, 0.2), [{ capCores: 1.2 }], 'no more than the reserve');
  t.same(run({ throttledFraction: 0.3 }, 0), []);
  t.match(run({ memoryPressureFraction: 0.2 }), [{ resource: 'memory', memoryMiB: 640 }]);
  t.match(run({ swapInMiBPerSecond: 1 }), [{ resource: 'memory' }]);
  t.match(run({ availableMiB: 10 }), [{ resource: 'memory' }]);
  t.match(run({ availableMiB: 10, targetMiB: 300 }, 0, 0), [{ memoryMiB: 512 }], 'an inflation under way is stopped without any reserve');
  t.same(run({ availableMiB: 10, balloonMiB: null }), []);
  t.match(run({ foreseenMiB: -1 }), [{ memoryMiB: 640 }], 'a guest that grows into what its balloon took gets memory back ahead of need');
  t.same(run({ foreseenMiB: 1 }), [], 'one that will have some left is left alone');
  t.match(run({ foreseenMiB: -1, targetMiB: 300 }, 0, 0), [{ memoryMiB: 512 }], 'without reserve its inflation is stopped');
  t.match(run({ silent: true, targetMiB: 300 }), [{ memoryMiB: 512 }], 'a guest gone silent has its inflation stopped');
  t.same(run({ silent: true }), [], 'and earns nothing by silence');
});
