/**
 * libvirt's errors → ours, keeping libvirt's own message and code as text. An answer with status "error" in, a
 * HeadroomError out: what the daemon cannot do is UNSUPPORTED, what it does not want is REFUSED, what it could not reach in
 * time is UNAVAILABLE. Codes: virErrorNumber of libvirt's virterror.h.
 */
import { type ErrorCode, HeadroomError } from '../../../shared/errors.ts';
import type { XdrReader } from './xdr.ts';

export const LIBVIRT_NO_DOMAIN = 42;
export const LIBVIRT_NO_FILTER = 62;
export const LIBVIRT_NO_METADATA = 80;

const NAMES: Record<number, string> = {
  1: 'INTERNAL_ERROR',
  2: 'NO_MEMORY',
  3: 'NO_SUPPORT',
  8: 'INVALID_ARG',
  9: 'OPERATION_FAILED',
  29: 'OPERATION_DENIED',
  38: 'SYSTEM_ERROR',
  39: 'RPC',
  42: 'NO_DOMAIN',
  45: 'AUTH_FAILED',
  55: 'OPERATION_INVALID',
  62: 'NO_NWFILTER',
  67: 'CONFIG_UNSUPPORTED',
  68: 'OPERATION_TIMEOUT',
  74: 'ARGUMENT_UNSUPPORTED',
  78: 'OPERATION_ABORTED',
  79: 'AUTH_CANCELLED',
  80: 'NO_DOMAIN_METADATA',
  84: 'OPERATION_UNSUPPORTED',
  86: 'AGENT_UNRESPONSIVE',
  87: 'RESOURCE_BUSY',
  88: 'ACCESS_DENIED',
};
const UNSUPPORTED = new Set([3, 67, 74, 84]);
const UNAVAILABLE = new Set([68, 86, 87]);
const RPC = 39;

/** A HeadroomError that still knows libvirt's number, for the adapter alone. */
export class LibvirtError extends HeadroomError {
  readonly libvirtCode: number;
  constructor(code: ErrorCode, libvirtCode: number, message: string) {
    super(code, message);
    this.name = 'LibvirtError';
    this.libvirtCode = libvirtCode;
  }
}

export function errorFromReply(reader: XdrReader): LibvirtError {
  const code = reader.i32();
  reader.i32();
  const text = reader.optionalString() ?? 'no message';
  return libvirtError(code, text);
}

export function libvirtError(code: number, text: string): LibvirtError {
  return new LibvirtError(codeFor(code, text), code, `libvirt: ${text.trim()} (${NAMES[code] ?? 'error'} ${code})`);
}

function codeFor(code: number, text: string): ErrorCode {
  if (UNSUPPORTED.has(code) || /unsupported flags/.test(text) || (code === RPC && /unknown procedure|program/i.test(text)))
    return 'HYPERVISOR_UNSUPPORTED';
  return UNAVAILABLE.has(code) ? 'HYPERVISOR_UNAVAILABLE' : 'HYPERVISOR_REFUSED';
}
