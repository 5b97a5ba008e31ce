/**
 * The catalogue of failures. One code per failure; HTTP, CLI exit codes and wire errors are derived from the code in one
 * place each. An expected refusal (a guard saying no) is a value, not one of these.
 */
export type ErrorCode =
  | 'INVARIANT_BROKEN'
  | 'CONFIG_INVALID'
  | 'POLICY_INVALID'
  | 'TEMPLATE_INVALID'
  | 'USAGE'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'VERSION_CHANGED'
  | 'UNAVAILABLE'
  | 'TIMEOUT'
  | 'FRAME_TOO_LARGE'
  | 'FRAME_MALFORMED'
  | 'FRAME_INVALID'
  | 'FRAME_OUT_OF_ORDER'
  | 'PROTOCOL_VERSION'
  | 'HANDSHAKE_REFUSED'
  | 'CONNECTION_CLOSED'
  | 'HYPERVISOR_UNAVAILABLE'
  | 'HYPERVISOR_REFUSED'
  | 'HYPERVISOR_UNSUPPORTED'
  | 'STORE_UNAVAILABLE'
  | 'STORE_CORRUPT'
  | 'STORE_FULL'
  | 'LEDGER_BROKEN'
  | 'BACKUP_DAMAGED'
  | 'BACKUP_UNKNOWN'
  | 'LEASE_EXPIRED'
  | 'PERMISSION'
  | 'UNAUTHENTICATED'
  | 'RATE_LIMITED'
  | 'ENVIRONMENT'
  | 'CANCELLED';

/** Base of every error Headroom raises on purpose. `message` says what was wrong, with what value, and what to do. */
export class HeadroomError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'HeadroomError';
    this.code = code;
  }
}

export function isHeadroomError(error: unknown, code?: ErrorCode): error is HeadroomError {
  return error instanceof HeadroomError && (code === undefined || error.code === code);
}

/** The text of anything thrown, for logs and messages. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
