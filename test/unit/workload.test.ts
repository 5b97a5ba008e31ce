/** Goal: made demand is a pure function of seed and time, stays within the VM's size, and every kind occurs. */
import fc from 'fast-check';
import t from 'tap';
import { createPrng } from '../../shared/prng.ts';
import { createWorkload, WORKLOAD_KINDS } from '../../simulation/workload.ts';

const SIZE = { vcpus: 4, memoryMiB: 4096, dayMs: 86_400_000 };

t.test('within the size, and the same again for the same seed', (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 10 * SIZE.dayMs }), (seed, atMs) => {
      const first = createWorkload(createPrng(seed), SIZE);
      const again = createWorkload(createPrng(seed), SIZE);
      const cpu = first.cpuCores(atMs);
      const memory = first.workingSetMiB(atMs);
      return (
        cpu > 0 &&
        cpu <= SIZE.vcpus &&
        memory > 0 &&
        memory < SIZE.memoryMiB &&
        cpu === again.cpuCores(atMs) &&
        memory === again.workingSetMiB(atMs)
      );
    }),
  );
  t.pass('property held');
  t.end();
});

t.test('all kinds occur', (t) => {
  const kinds = new Set(Array.from({ length: 200 }, (_, seed) => createWorkload(createPrng(seed), SIZE).kind));
  t.same([...kinds].sort(), [...WORKLOAD_KINDS].sort());
  t.end();
});
