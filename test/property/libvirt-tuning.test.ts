/**
 * Goal: settings survive the way into libvirt's parameters and back within the resolution libvirt has; what is shared out
 * adds up; restoring a recorded state from any other gives the recorded state.
 */
import fc from 'fast-check';
import t from 'tap';
import { cpuDifferences, cpuParams, cpuRestoreParams, cpuSettingOf, QUOTA_UNLIMITED } from '../../agent/hypervisor/libvirt/cpu-tuning.ts';
import {
  differences,
  diskParams,
  diskRestoreParams,
  diskSettingOf,
  networkParams,
  networkRestoreParams,
  networkSettingOf,
  shareOut,
} from '../../agent/hypervisor/libvirt/io-tuning.ts';
import type { Params, TypedParam } from '../../agent/hypervisor/libvirt/typed-params.ts';
import { sameSetting } from '../../shared/resources.ts';

const apply = (current: Params, params: readonly TypedParam[]): Params => ({
  ...current,
  ...Object.fromEntries(params.map(({ name, value }) => [name, value])),
});
const cpuState = fc.record({
  cpu_shares: fc.integer({ min: 2, max: 262144 }),
  vcpu_period: fc.constantFrom(10_000, 100_000, 1_000_000),
  vcpu_quota: fc.oneof(fc.constantFrom(-1, QUOTA_UNLIMITED), fc.integer({ min: 1000, max: 10_000_000 })),
  global_quota: fc.constant(-1),
  emulator_quota: fc.constantFrom(-1, 50_000),
});

t.test('CPU: written and read back within a thousandth of a core per microsecond of quota', async () => {
  fc.assert(
    fc.property(
      cpuState,
      fc.double({ min: 1, max: 2000, noNaN: true }),
      fc.option(fc.double({ min: 0.2, max: 64, noNaN: true })),
      fc.integer({ min: 1, max: 64 }),
      (state, weight, cap, vcpus) => {
        const capCores = cap === null ? null : Math.min(cap * vcpus, vcpus);
        const setting = { resource: 'cpu', weight, capCores } as const;
        const params = cpuParams(setting, state, vcpus, 1);
        const after = apply(state, params);
        const read = cpuSettingOf(after, vcpus, 1);
        const quotaStep = vcpus / state.vcpu_period;
        const capSame =
          read.capCores === null || capCores === null ? read.capCores === capCores : Math.abs(read.capCores - capCores) <= quotaStep;
        const touched = params.every(({ name }) => name === 'cpu_shares' || name === 'vcpu_quota');
        return capSame && Math.abs(read.weight - weight) <= 0.05 && touched && cpuParams(setting, after, vcpus, 1).length === 0;
      },
    ),
  );
});

t.test('CPU: any state is restored to any other', async () => {
  fc.assert(
    fc.property(cpuState, cpuState, (recorded, current) => {
      const after = apply({ ...current, emulator_quota: recorded.emulator_quota }, cpuRestoreParams(recorded, current));
      return cpuDifferences(recorded, after).length === 0;
    }),
  );
});

t.test('CPU: weight is the value itself on cgroup v2', async (t) => {
  t.equal(cpuSettingOf({ cpu_shares: 100 }, 1, 2).weight, 100);
  t.equal(cpuSettingOf({ cpu_shares: 1024 }, 1, 1).weight, 100);
  t.same(cpuParams({ resource: 'cpu', weight: 250, capCores: null }, { cpu_shares: 100 }, 1, 2), [
    { name: 'cpu_shares', type: 'ullong', value: 250 },
  ]);
  t.equal(
    cpuSettingOf({ cpu_shares: 100, vcpu_quota: 50_000, vcpu_period: 100_000, global_quota: 30_000, global_period: 100_000 }, 2, 2)
      .capCores,
    0.3,
  );
  t.throws(() => cpuSettingOf({ weight: 50 }, 1, 1), { code: 'HYPERVISOR_UNSUPPORTED' });
});

t.test('parts add up to the whole and differ by one at most', async () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 64 }), (total, parts) => {
      const shares = shareOut(total, parts);
      return shares.reduce((sum, share) => sum + share, 0) === total && Math.max(...shares) - Math.min(...shares) <= 1;
    }),
  );
});

const limit = fc.option(fc.integer({ min: 100_000, max: 2 ** 40 }));
const burst = fc.constantFrom(0, 5_000_000);
const diskState = fc.record({
  total_bytes_sec: fc.constant(0),
  read_bytes_sec: fc.constantFrom(0, 1_000_000),
  write_bytes_sec: fc.constantFrom(0, 2_000_000),
  total_bytes_sec_max: fc.constant(0),
  read_bytes_sec_max: burst,
  write_bytes_sec_max: burst,
  total_iops_sec: fc.constantFrom(0, 100),
});

t.test('disk: written and read back exactly over any number of disks; restored exactly', async () => {
  fc.assert(
    fc.property(fc.array(diskState, { minLength: 1, maxLength: 5 }), limit, limit, (disks, bytesPerSecond, iops) => {
      const setting = { resource: 'disk', bytesPerSecond, iops } as const;
      const after = disks.map((state, i) => apply(state, diskParams(setting, disks)[i] ?? []));
      const back = after.map((state, i) => apply(state, diskRestoreParams(disks[i] as Params, state)));
      const unmoved = disks.every((state, i) => differences('disk', state, back[i] as Params).length === 0);
      return sameSetting(diskSettingOf(after), setting) && diskParams(setting, after).every((params) => params.length === 0) && unmoved;
    }),
  );
});

t.test('network: written and read back to a KiB; restored exactly', async () => {
  const state = fc.record({
    'inbound.average': fc.nat(9000),
    'inbound.peak': fc.nat(9000),
    'inbound.burst': fc.nat(9000),
    'inbound.floor': fc.constant(0),
    'outbound.average': fc.nat(9000),
    'outbound.peak': fc.nat(9000),
    'outbound.burst': fc.nat(9000),
  });
  fc.assert(
    fc.property(
      fc.array(state, { minLength: 1, maxLength: 4 }),
      limit,
      limit,
      (interfaces, inboundBytesPerSecond, outboundBytesPerSecond) => {
        const setting = { resource: 'network', inboundBytesPerSecond, outboundBytesPerSecond } as const;
        const after = interfaces.map((one, i) => apply(one, networkParams(setting, interfaces)[i] ?? []));
        const back = after.map((one, i) => apply(one, networkRestoreParams(interfaces[i] as Params, one)));
        return (
          sameSetting(networkSettingOf(after), setting) &&
          interfaces.every((one, i) => differences('nic', one, back[i] as Params).length === 0)
        );
      },
    ),
  );
});

t.test('a VM with one open disk, or limits one way only, has no limit', async (t) => {
  t.equal(diskSettingOf([{ total_bytes_sec: 5 }, { total_bytes_sec: 0 }]).bytesPerSecond, null);
  t.equal(diskSettingOf([{ read_bytes_sec: 5 }]).bytesPerSecond, null);
  t.equal(diskSettingOf([{ read_bytes_sec: 5, write_bytes_sec: 7 }]).bytesPerSecond, 12);
  t.same(networkSettingOf([]), { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: null });
});
