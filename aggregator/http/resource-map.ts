/**
 * The map from virtual to physical: for each resource of each VM what stands behind it, on which host, how much of it is
 * granted and used, and how fresh that is. Input: VMs as the service tells them; output: rows.
 */
import { RESOURCES } from '../../shared/resources.ts';
import { settingWords } from '../core/plan/words.ts';
import type { ResourceView, VmView } from './service.ts';

export interface MapRow {
  vm: string;
  vmName: string;
  host: string;
  resource: string;
  virtual: string;
  /** Empty: the host has not told. */
  physical: string;
  unit: ResourceView['unit'];
  /** In force as read back, in words; null = nothing, or unknown. */
  granted: string | null;
  used: number | null;
  /** Age of the newest sample, ms; null = there was none. */
  ageMs: number | null;
}

/** A VM that does not run holds nothing: it has no rows. */
export function mapRows(vms: readonly VmView[]): MapRow[] {
  return vms.flatMap((vm) => {
    if (vm.state === 'stopped' || vm.state === 'error') return [];
    return RESOURCES.flatMap((resource) => {
      const { unit, setting, usage, ageMs } = vm.resources[resource];
      const known = (vm.devices ?? []).filter((device) => device.resource === resource);
      const devices = known.length > 0 || resource === 'network' || resource === 'disk' ? known : [{ virtual: resource, physical: '' }];
      return devices.map(({ virtual, physical }) => ({
        ...{ vm: vm.id, vmName: vm.name, host: vm.host, resource, virtual, physical, unit },
        granted: setting === null ? null : settingWords(setting),
        used: usage,
        ageMs: Number.isFinite(ageMs) ? ageMs : null,
      }));
    });
  });
}
