/** Branded identifiers: a VM is known by its UUID (lower case), a host by the name it enrolled with. */
import { HeadroomError } from './errors.ts';

export type VmId = string & { readonly brand: 'VmId' };
export type HostId = string & { readonly brand: 'HostId' };

/** How a VM's UUID is written everywhere, as the source of a regular expression. */
export const UUID_SOURCE = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const UUID = new RegExp(`^${UUID_SOURCE}$`);
const HOST = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/;

export function vmId(text: string): VmId {
  const lower = text.toLowerCase();
  if (!UUID.test(lower)) throw new HeadroomError('USAGE', `"${text}" is not a VM UUID; expected 8-4-4-4-12 hexadecimal digits`);
  return lower as VmId;
}

export function hostId(text: string): HostId {
  if (!HOST.test(text)) throw new HeadroomError('USAGE', `"${text}" is not a host name; use letters, digits, dot, dash and underscore`);
  return text as HostId;
}
