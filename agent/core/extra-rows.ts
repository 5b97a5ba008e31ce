/**
 * Values whose names vary, as blocks of their own beside the fixed row: one a measurement, so that a limit on names or a new
 * name touches nothing else. Input: values by field name; output: for each measurement that has one its fields and values. Field
 * lists only grow, and stay the same array while they do not: each new list is named on the wire. Pure.
 */
export interface ExtraRow {
  fields: readonly string[];
  values: Float64Array;
}

/** What one block may name. */
const FIELDS_MAX = 128;

export class ExtraRows {
  readonly #known: ReadonlySet<string>;
  readonly #lists = new Map<string, readonly string[]>();

  /** `fixed`: the fields that have a row of their own. */
  constructor(fixed: readonly string[]) {
    this.#known = new Set(fixed);
  }

  rows(values: Readonly<Record<string, number>>): ExtraRow[] {
    const told = new Map<string, string[]>();
    for (const [field, value] of Object.entries(values)) {
      if (this.#known.has(field) || !Number.isFinite(value)) continue;
      const measurement = field.slice(0, field.indexOf('.'));
      const fields = told.get(measurement);
      if (fields) fields.push(field);
      else told.set(measurement, [field]);
    }
    return [...told].map(([measurement, fields]) => {
      const list = this.#listWith(measurement, fields);
      return { fields: list, values: Float64Array.from(list, (field) => values[field] ?? Number.NaN).map(finite) };
    });
  }

  #listWith(measurement: string, told: readonly string[]): readonly string[] {
    const list = this.#lists.get(measurement) ?? [];
    const fresh = told.filter((field) => !list.includes(field));
    if (fresh.length === 0) return list;
    const grown = Object.freeze([...list, ...fresh].slice(0, FIELDS_MAX));
    this.#lists.set(measurement, grown);
    return grown;
  }
}

const finite = (value: number): number => (Number.isFinite(value) ? value : Number.NaN);
