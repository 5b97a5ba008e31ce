/**
 * What makes a telemetry block sound: checked where blocks enter (sample buffer, wire, guests). Input: a block.
 * Output: nothing, or FRAME_INVALID saying which rule it breaks. One pass over the numbers, nothing allocated.
 */
import { HeadroomError } from './errors.ts';
import type { TelemetryBlock } from './telemetry.ts';

export const FIELDS_MAX = 128;
export const FIELD_NAME_LENGTH_MAX = 128;
/** `measurement.fieldName`; application metrics may have dots, dashes and slashes of their own after the first dot. */
const FIELD_NAME = /^[a-z][a-zA-Z0-9_]{0,63}\.[a-zA-Z0-9_][a-zA-Z0-9_./:-]{0,126}$/;
/** The end of the time JavaScript's Date knows. */
const TIME_MS_MAX = 8.64e15;

/** Lists that passed: producers keep their lists, decoders share one per field set, so most are looked at once. */
const CHECKED = new WeakSet<readonly string[]>();

/** Field names: 1 to 128, well formed, distinct. A list must not be changed after it was checked. */
export function checkFields(fields: readonly string[]): void {
  if (CHECKED.has(fields)) return;
  if (fields.length === 0 || fields.length > FIELDS_MAX) throw invalid(`${fields.length} fields; 1 to ${FIELDS_MAX} are accepted`);
  for (const field of fields) {
    if (field.length > FIELD_NAME_LENGTH_MAX || !FIELD_NAME.test(field)) {
      throw invalid(`field name ${JSON.stringify(field.slice(0, 60))}; use measurement.fieldName in ASCII`);
    }
  }
  if (new Set(fields).size !== fields.length) throw invalid('a field is named twice');
  CHECKED.add(fields);
}

/** Times: integer UTC milliseconds, strictly ascending. Values: finite or NaN, rows × fields of them. */
export function checkRows(timesMs: Float64Array, values: Float64Array, fieldCount: number): void {
  if (timesMs.length * fieldCount !== values.length) {
    throw invalid(`${timesMs.length} rows of ${fieldCount} fields need ${timesMs.length * fieldCount} values, there are ${values.length}`);
  }
  let last = -1;
  for (let i = 0; i < timesMs.length; i++) {
    const time = timesMs[i]!;
    if (!(time > last && time <= TIME_MS_MAX && Number.isInteger(time))) {
      throw invalid(`time ${time} after ${last}; times are integer UTC milliseconds, ascending, each once`);
    }
    last = time;
  }
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) throw invalid('a value is infinite; unknown is NaN');
  }
}

export function checkBlock(block: TelemetryBlock): void {
  checkFields(block.fields);
  checkRows(block.timesMs, block.values, block.fields.length);
}

function invalid(what: string): HeadroomError {
  return new HeadroomError('FRAME_INVALID', `telemetry block: ${what}`);
}
