/**
 * One text for one value: JSON with sorted keys and no spaces, so that equal values hash equally wherever they were made.
 * Input: plain data. Output: text that `JSON.parse` gives back unchanged. What JSON would bend in silence (NaN and infinity
 * to null, undefined to nothing, dates and maps to something else) is refused with the path to it.
 */
import { HeadroomError } from './errors.ts';

/** Deeper data is a cycle or a mistake. */
const DEPTH_MAX = 64;

/** Throws INVARIANT_BROKEN naming the path of the first value that JSON cannot carry. */
export function canonicalJson(value: unknown): string {
  return write(value, '$', 0);
}

function write(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw refused(path, `the number ${value}`);
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (depth >= DEPTH_MAX) throw refused(path, `data nested more than ${DEPTH_MAX} deep`);
      return Array.isArray(value) ? writeArray(value, path, depth) : writeObject(value, path, depth);
    default:
      throw refused(path, value === undefined ? 'undefined' : `a ${typeof value}`);
  }
}

function writeArray(value: readonly unknown[], path: string, depth: number): string {
  // Array.from visits holes too, which map would pass over.
  return `[${Array.from(value, (item, i) => write(item, `${path}[${i}]`, depth + 1)).join(',')}]`;
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw refused(path, `a ${value.constructor?.name ?? 'class instance'}`);
  const parts: string[] = [];
  for (const key of Object.keys(value).sort()) {
    parts.push(`${JSON.stringify(key)}:${write((value as Record<string, unknown>)[key], `${path}.${key}`, depth + 1)}`);
  }
  return `{${parts.join(',')}}`;
}

function refused(path: string, what: string): HeadroomError {
  return new HeadroomError('INVARIANT_BROKEN', `${path} is ${what}; only plain data with finite numbers has a canonical form`);
}
