/**
 * The names under which applications' metrics are reported, bounded over the agent's life so that no application can make
 * series without end. Input: names as applications give them; output: field names `vm_app.NAME`, or null when there is no
 * room, counted. One per guest agent, shared by all sources. Pure.
 */
import { APP_FIELDS_MAX } from '../../shared/guest-fields.ts';
import { APP_MEASUREMENT } from '../../shared/telemetry.ts';

const NAME_LENGTH_MAX = 64;

export class AppNames {
  readonly #fields = new Map<string, string>();
  readonly #namesMax: number;
  /** Values without a name of their own: too many names, or a name that cannot be one. */
  refused = 0;

  constructor(namesMax: number = APP_FIELDS_MAX) {
    this.#namesMax = namesMax;
  }

  /** Characters that cannot be part of a field's name become `_`. */
  fieldFor(name: string): string | null {
    const known = this.#fields.get(name);
    if (known !== undefined) return known;
    const plain = name.replaceAll(/[^a-zA-Z0-9_./:-]/g, '_');
    if (!/^[a-zA-Z0-9_]/.test(plain) || plain.length > NAME_LENGTH_MAX || this.#fields.size >= this.#namesMax) {
      this.refused++;
      return null;
    }
    const field = `${APP_MEASUREMENT}.${plain}`;
    this.#fields.set(name, field);
    return field;
  }
}
