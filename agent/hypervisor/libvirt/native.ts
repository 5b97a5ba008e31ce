/**
 * The exact values behind a resource, as libvirt holds them: read for the journal, written back by restore, compared
 * afterwards. Checks the shape of what comes back from a journal: it crossed a disk and maybe a version.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { NativeSettings } from '../hypervisor.ts';
import type { Params, ParamValue } from './typed-params.ts';

const ADAPTER = 'libvirt';

export function nativeOf(values: Record<string, unknown>): NativeSettings {
  return { adapter: ADAPTER, values };
}

/** The parameters recorded under a name. Throws HYPERVISOR_REFUSED when the journal holds something else. */
export function recordedParams(native: NativeSettings, name: string): Params {
  check(native);
  return paramsIn(native.values[name], name);
}

/** Parameters per device recorded under a name. */
export function recordedDevices(native: NativeSettings, name: string): Map<string, Params> {
  check(native);
  const recorded = native.values[name];
  if (typeof recorded !== 'object' || recorded === null) throw broken(name);
  return new Map(Object.entries(recorded).map(([device, params]) => [device, paramsIn(params, `${name}.${device}`)]));
}

export function recordedNumber(native: NativeSettings, name: string): number {
  check(native);
  const value = native.values[name];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw broken(name);
  return value;
}

function check(native: NativeSettings): void {
  if (native.adapter !== ADAPTER) {
    throw new HeadroomError('HYPERVISOR_REFUSED', `these values were recorded by the adapter "${native.adapter}", not by libvirt's`);
  }
}

function paramsIn(value: unknown, name: string): Params {
  if (typeof value !== 'object' || value === null) throw broken(name);
  const params: Params = {};
  for (const [key, entry] of Object.entries(value)) {
    if (!['number', 'string', 'boolean'].includes(typeof entry)) throw broken(`${name}.${key}`);
    params[key] = entry as ParamValue;
  }
  return params;
}

function broken(name: string): HeadroomError {
  return new HeadroomError('HYPERVISOR_REFUSED', `the recorded values lack "${name}" or hold something else there`);
}
