/**
 * What a guest may name its series: a tenant's fields must not pass for the host's, nor grow in number without end.
 * Input: a block of one guest. Output: whether its names are accepted. One gate per guest.
 */
import { APP_MEASUREMENT, PROCESS_MEASUREMENT, VM_GUEST_FIELDS, VM_GUEST_SLOW_FIELDS } from './telemetry.ts';

/** Application metrics one guest may name over the life of a gate. */
export const APP_FIELDS_MAX = 128;
/** Two a process name. */
export const PROCESS_FIELDS_MAX = 128;

const KNOWN: ReadonlySet<string> = new Set([...VM_GUEST_FIELDS, ...VM_GUEST_SLOW_FIELDS]);
const FREE: readonly (readonly [prefix: string, fieldsMax: number])[] = [
  [`${APP_MEASUREMENT}.`, APP_FIELDS_MAX],
  [`${PROCESS_MEASUREMENT}.`, PROCESS_FIELDS_MAX],
];

export class GuestFieldGate {
  /** Names accepted so far, by prefix. */
  readonly #names = FREE.map(() => new Set<string>());
  /** Field lists already accepted, by identity: decoders share one array per field set. */
  readonly #accepted = new WeakSet<readonly string[]>();

  accepts(fields: readonly string[]): boolean {
    if (this.#accepted.has(fields)) return true;
    const fresh = FREE.map(() => [] as string[]);
    for (const field of fields) {
      if (KNOWN.has(field)) continue;
      const kind = FREE.findIndex(([prefix]) => field.startsWith(prefix));
      if (kind < 0) return false;
      if (!this.#names[kind]!.has(field)) fresh[kind]!.push(field);
    }
    if (FREE.some(([, fieldsMax], kind) => this.#names[kind]!.size + fresh[kind]!.length > fieldsMax)) return false;
    for (const [kind, names] of fresh.entries()) for (const name of names) this.#names[kind]!.add(name);
    this.#accepted.add(fields);
    return true;
  }
}
