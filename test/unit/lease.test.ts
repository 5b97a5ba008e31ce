/**
 * Goal: leases count from receipt and only an owner at least as new renews them; when they run out, caps go up or away and
 * never down, and growth towards baselines stays within the room there is.
 */
import fc from 'fast-check';
import t from 'tap';
import { growTowardsBaseline, growthPauseMs, leaseExpired, liftCaps, renewLease } from '../../agent/core/lease.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Setting } from '../../shared/resources.ts';

const id = (n: number) => vmId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);

t.test('leases', async (t) => {
  const first = renewLease(null, 3, 1000, 50_000)!;
  t.same(first, { epoch: 3, expiresAtMs: 51_000 });
  t.notOk(leaseExpired(first, 50_999));
  t.ok(leaseExpired(first, 51_000));
  t.equal(renewLease(first, 2, 99_000, 50_500), first, 'an older owner renews nothing');
  t.same(renewLease(first, 4, 1000, 60_000), { epoch: 4, expiresAtMs: 61_000 });
});

t.test('caps are lifted to the baseline or away, nothing else changes', async (t) => {
  const cases: [string, Setting, Setting, Setting | null][] = [
    [
      'cap away',
      { resource: 'cpu', weight: 80, capCores: 0.5 },
      { resource: 'cpu', weight: 100, capCores: null },
      { resource: 'cpu', weight: 80, capCores: null },
    ],
    [
      'cap raised',
      { resource: 'cpu', weight: 80, capCores: 0.5 },
      { resource: 'cpu', weight: 100, capCores: 1 },
      { resource: 'cpu', weight: 80, capCores: 1 },
    ],
    ['a cap above the baseline stays', { resource: 'cpu', weight: 80, capCores: 2 }, { resource: 'cpu', weight: 100, capCores: 1 }, null],
    ['no cap stays none', { resource: 'cpu', weight: 80, capCores: null }, { resource: 'cpu', weight: 100, capCores: 1 }, null],
    ['memory is held', { resource: 'memory', memoryMiB: 300 }, { resource: 'memory', memoryMiB: 512 }, null],
    [
      'network, each way for itself',
      { resource: 'network', inboundBytesPerSecond: 1e6, outboundBytesPerSecond: 5e6 },
      { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: 2e6 },
      { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: 5e6 },
    ],
    [
      'disk',
      { resource: 'disk', bytesPerSecond: 1e6, iops: 100 },
      { resource: 'disk', bytesPerSecond: null, iops: 500 },
      { resource: 'disk', bytesPerSecond: null, iops: 500 },
    ],
  ];
  for (const [name, current, baseline, expected] of cases) t.same(liftCaps(current, baseline), expected, name);
});

t.test('growth towards the baseline: never beyond it or the room, never a shrink', async (t) => {
  const vms = fc.array(fc.record({ held: fc.integer({ min: 0, max: 4096 }), baseline: fc.integer({ min: 64, max: 4096 }) }), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(vms, fc.integer({ min: -500, max: 4096 }), fc.integer(), (list, roomMiB, seed) => {
      const hungry = list.map(({ held, baseline }, index) => ({ vm: id(index), heldMiB: held, baselineMiB: baseline }));
      const growth = growTowardsBaseline(hungry, roomMiB, createPrng(seed));
      if (growth === null) return true;
      const vm = hungry.find((one) => one.vm === growth.vm)!;
      return growth.memoryMiB > vm.heldMiB && growth.memoryMiB <= vm.baselineMiB && growth.memoryMiB - vm.heldMiB <= roomMiB;
    }),
  );
  t.equal(growTowardsBaseline([{ vm: id(1), heldMiB: 512, baselineMiB: 512 }], 1000, createPrng(1)), null);
  t.match(
    growTowardsBaseline([{ vm: id(1), heldMiB: 500, baselineMiB: 512 }], 1000, createPrng(1)),
    { memoryMiB: 512 },
    'the last step may be small',
  );
});

t.test('a few a minute, jittered', async (t) => {
  const random = createPrng(7);
  const pauses = Array.from({ length: 200 }, () => growthPauseMs(3, random));
  t.ok(pauses.every((ms) => ms >= 10_000 && ms <= 30_000));
  t.ok(new Set(pauses.map((ms) => Math.round(ms / 1000))).size > 10);
});
