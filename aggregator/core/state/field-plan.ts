/**
 * Where the fields of a block stand, looked up once per field list and not once per row. Input: how to look them up;
 * output: the same by field list. Lists are told apart by identity: whoever makes blocks keeps its lists and does not
 * change them, and a list that nobody holds any more is forgotten with what was found in it (the newest excepted).
 */
export function fieldPlan<Plan>(make: (fields: readonly string[]) => Plan): (fields: readonly string[]) => Plan {
  const known = new WeakMap<readonly string[], Plan>();
  // Blocks of one list mostly come one after the other.
  let newest: { fields: readonly string[]; plan: Plan } | null = null;
  return (fields) => {
    if (newest?.fields === fields) return newest.plan;
    let plan = known.get(fields);
    if (plan === undefined) {
      plan = make(fields);
      known.set(fields, plan);
    }
    newest = { fields, plan };
    return plan;
  };
}

/** The value at a column of a row; a column that is not there (-1) is unknown. */
export function cell(values: Float64Array, rowAt: number, column: number): number {
  return column < 0 ? Number.NaN : values[rowAt + column]!;
}
