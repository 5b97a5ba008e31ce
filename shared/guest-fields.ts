/**
 * What a guest may name its series: a tenant's fields must not pass for the host's, nor grow in number without end.
 * Input: a block of one guest. Output: whether its names are accepted. One gate per guest.
 */
import { APP_MEASUREMENT, VM_GUEST_FIELDS } from './telemetry.ts';

/** Application metrics one guest may name over the life of a gate. */
export const APP_FIELDS_MAX = 128;

const KNOWN: ReadonlySet<string> = new Set(VM_GUEST_FIELDS);
const APP_PREFIX = `${APP_MEASUREMENT}.`;

export class GuestFieldGate {
  readonly #appFields = new Set<string>();
  /** Field lists already accepted, by identity: decoders share one array per field set. */
  readonly #accepted = new WeakSet<readonly string[]>();

  accepts(fields: readonly string[]): boolean {
    if (this.#accepted.has(fields)) return true;
    const fresh: string[] = [];
    for (const field of fields) {
      if (KNOWN.has(field) || this.#appFields.has(field)) continue;
      if (!field.startsWith(APP_PREFIX)) return false;
      fresh.push(field);
    }
    if (this.#appFields.size + fresh.length > APP_FIELDS_MAX) return false;
    for (const field of fresh) this.#appFields.add(field);
    this.#accepted.add(fields);
    return true;
  }
}
