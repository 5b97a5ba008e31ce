/**
 * Reading, writing, recording and restoring one resource of one live domain through libvirt's calls. The domain and what
 * is wanted in; values read back out. Everything is live-only and idempotent: what holds already is not written.
 */
import type { Clock } from '../../../shared/clock.ts';
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { Resource, Setting, SettingOf } from '../../../shared/resources.ts';
import type { NativeSettings } from '../hypervisor.ts';
import type { BootingVms } from './booting-vms.ts';
import { type CgroupVersion, cpuDifferences, cpuParams, cpuRestoreParams, cpuSettingOf, sameQuotas } from './cpu-tuning.ts';
import { limitableDevices, throttledDisks } from './definition.ts';
import {
  differences,
  diskParams,
  diskRestoreParams,
  diskSettingOf,
  networkParams,
  networkRestoreParams,
  networkSettingOf,
} from './io-tuning.ts';
import { readMemoryMiB, readNativeMemory, restoreMemory, writeMemory } from './memory-tuning.ts';
import { nativeOf, recordedDevices, recordedParams } from './native.ts';
import type { DomainRef, LibvirtApi } from './procedures.ts';
import type { Params, TypedParam } from './typed-params.ts';

export interface Tuning {
  api: LibvirtApi;
  domain: DomainRef;
  cgroup: CgroupVersion;
  clock: Clock;
  booting: BootingVms;
  /** Its live definition has a virtio-mem device. */
  pluggable: boolean;
}

export async function readResource<R extends Resource>(tuning: Tuning, resource: R): Promise<SettingOf<R>> {
  return (await readAny(tuning, resource)) as SettingOf<R>;
}

async function readAny(tuning: Tuning, resource: Resource): Promise<Setting> {
  const { api, domain, cgroup } = tuning;
  switch (resource) {
    case 'cpu': {
      const [params, info] = await Promise.all([api.schedulerParams(domain), api.info(domain)]);
      return cpuSettingOf(params, info.vcpus, cgroup);
    }
    case 'memory':
      return { resource: 'memory', memoryMiB: await readMemoryMiB(tuning) };
    case 'network':
      return networkSettingOf([...(await interfaceParams(api, domain)).values()]);
    case 'disk':
      return diskSettingOf([...(await diskParamsOf(api, domain)).values()]);
  }
}

async function interfaceParams(api: LibvirtApi, domain: DomainRef): Promise<Map<string, Params>> {
  const found = new Map<string, Params>();
  for (const device of limitableDevices(await api.xml(domain, 0))) found.set(device, await api.interfaceParams(domain, device));
  return found;
}

async function diskParamsOf(api: LibvirtApi, domain: DomainRef): Promise<Map<string, Params>> {
  const found = new Map<string, Params>();
  for (const disk of throttledDisks(await api.xml(domain, 0))) found.set(disk, await api.blockIoTune(domain, disk));
  return found;
}

export async function writeResource(tuning: Tuning, setting: Setting): Promise<void> {
  const { api, domain, cgroup } = tuning;
  switch (setting.resource) {
    case 'cpu': {
      const [params, info] = await Promise.all([api.schedulerParams(domain), api.info(domain)]);
      await setScheduler(api, domain, cpuParams(setting, params, info.vcpus, cgroup));
      return;
    }
    case 'memory':
      await writeMemory(tuning, setting.memoryMiB);
      return;
    case 'network': {
      const current = await interfaceParams(api, domain);
      if (current.size === 0) throw new HeadroomError('HYPERVISOR_UNSUPPORTED', `${domain.name} has no interface that libvirt can limit`);
      const wanted = networkParams(setting, [...current.values()]);
      await setDevices(current, wanted, (device, params) => api.setInterfaceParams(domain, device, params));
      return;
    }
    case 'disk': {
      const current = await diskParamsOf(api, domain);
      if (current.size === 0) throw new HeadroomError('HYPERVISOR_UNSUPPORTED', `${domain.name} has no disk that libvirt can limit`);
      const wanted = diskParams(setting, [...current.values()]);
      await setDevices(current, wanted, (device, params) => api.setBlockIoTune(domain, device, params));
    }
  }
}

async function setScheduler(api: LibvirtApi, domain: DomainRef, params: readonly TypedParam[]): Promise<void> {
  if (params.length > 0) await api.setSchedulerParams(domain, params);
}

/**
 * Writes device after device. When one refuses, its values of before are written again: libvirt leaves half a limit in
 * the kernel when a later step of its own fails.
 */
async function setDevices(
  current: ReadonlyMap<string, Params>,
  wanted: readonly TypedParam[][],
  set: (device: string, params: readonly TypedParam[]) => Promise<void>,
): Promise<void> {
  for (const [i, [device, before]] of [...current].entries()) {
    const params = wanted[i] ?? [];
    if (params.length === 0) continue;
    try {
      await set(device, params);
    } catch (error) {
      const undo = params.map((param) => ({ ...param, value: Number(before[param.name] ?? 0) }));
      await set(device, undo).catch(() => undefined);
      throw asUnsupported(error);
    }
  }
}

/** libvirt limits interfaces by running `tc`; where the kernel lacks a part of it, no limit can be had at all. */
function asUnsupported(error: unknown): unknown {
  if (!isHeadroomError(error) || !/Child process \(.*\btc\b/.test(error.message)) return error;
  return new HeadroomError('HYPERVISOR_UNSUPPORTED', `this host's kernel cannot limit interfaces: ${error.message}`, { cause: error });
}

export async function readNativeResource(tuning: Tuning, resource: Resource): Promise<NativeSettings> {
  const { api, domain } = tuning;
  switch (resource) {
    case 'cpu':
      return nativeOf({ scheduler: { ...(await api.schedulerParams(domain)) } });
    case 'memory':
      return readNativeMemory(tuning);
    case 'network':
      return nativeOf({ interfaces: Object.fromEntries(await interfaceParams(api, domain)) });
    case 'disk':
      return nativeOf({ disks: Object.fromEntries(await diskParamsOf(api, domain)) });
  }
}

/** The recorded values with the setting written over them, as they would be read back. */
export async function nativesWith({ api, domain, cgroup }: Tuning, native: NativeSettings, setting: Setting): Promise<NativeSettings[]> {
  switch (setting.resource) {
    case 'cpu': {
      const recorded = recordedParams(native, 'scheduler');
      const { vcpus } = await api.info(domain);
      const written = over(recorded, cpuParams(setting, recorded, vcpus, cgroup));
      return sameQuotas(written).map((scheduler) => nativeOf({ scheduler }));
    }
    case 'memory':
      return [native];
    case 'network':
      return [nativeOf({ interfaces: overDevices(recordedDevices(native, 'interfaces'), (current) => networkParams(setting, current)) })];
    case 'disk':
      return [nativeOf({ disks: overDevices(recordedDevices(native, 'disks'), (current) => diskParams(setting, current)) })];
  }
}

function over(recorded: Params, params: readonly TypedParam[]): Params {
  return { ...recorded, ...Object.fromEntries(params.map(({ name, value }) => [name, value])) };
}

function overDevices(
  recorded: ReadonlyMap<string, Params>,
  wanted: (current: readonly Params[]) => TypedParam[][],
): Record<string, Params> {
  const params = wanted([...recorded.values()]);
  return Object.fromEntries([...recorded].map(([device, before], i) => [device, over(before, params[i] ?? [])]));
}

/** Writes the recorded values back and answers what still differs, in words; devices that are gone are passed over. */
export async function restoreNative(tuning: Tuning, resource: Resource, native: NativeSettings): Promise<string[]> {
  const { api, domain } = tuning;
  switch (resource) {
    case 'cpu': {
      const recorded = recordedParams(native, 'scheduler');
      await setScheduler(api, domain, cpuRestoreParams(recorded, await api.schedulerParams(domain)));
      return cpuDifferences(recorded, await api.schedulerParams(domain));
    }
    case 'memory':
      return restoreMemory(tuning, native);
    case 'network': {
      const recorded = recordedDevices(native, 'interfaces');
      await restoreDevices(recorded, await interfaceParams(api, domain), networkRestoreParams, (device, params) =>
        api.setInterfaceParams(domain, device, params),
      );
      return leftOver(recorded, await interfaceParams(api, domain));
    }
    case 'disk': {
      const recorded = recordedDevices(native, 'disks');
      await restoreDevices(recorded, await diskParamsOf(api, domain), diskRestoreParams, (device, params) =>
        api.setBlockIoTune(domain, device, params),
      );
      return leftOver(recorded, await diskParamsOf(api, domain));
    }
  }
}

async function restoreDevices(
  recorded: ReadonlyMap<string, Params>,
  current: ReadonlyMap<string, Params>,
  paramsFor: (recorded: Params, current: Params) => TypedParam[],
  set: (device: string, params: readonly TypedParam[]) => Promise<void>,
): Promise<void> {
  for (const [device, before] of recorded) {
    const now = current.get(device);
    const params = now === undefined ? [] : paramsFor(before, now);
    if (params.length > 0) await set(device, params);
  }
}

function leftOver(recorded: ReadonlyMap<string, Params>, current: ReadonlyMap<string, Params>): string[] {
  return [...recorded].flatMap(([device, before]) => {
    const now = current.get(device);
    return now === undefined ? [] : differences(device, before, now);
  });
}
