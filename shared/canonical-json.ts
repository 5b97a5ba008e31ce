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
  const path: string[] = [];
  const text = write(value, path, 0);
  if (text !== null) return text;
  const [what, ...parts] = path;
  throw refused(`$${parts.reverse().join('')}`, what!);
}

/** Null: it is refused. `refusal` then has what was met, and from within outwards where: paths are put together only for those. */
function write(value: unknown, refusal: string[], depth: number): string | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      return Number.isFinite(value) ? JSON.stringify(value) : refuse(refusal, `the number ${value}`);
    case 'object':
      if (value === null) return 'null';
      if (depth >= DEPTH_MAX) return refuse(refusal, `data nested more than ${DEPTH_MAX} deep`);
      return Array.isArray(value) ? writeArray(value, refusal, depth) : writeObject(value, refusal, depth);
    default:
      return refuse(refusal, value === undefined ? 'undefined' : `a ${typeof value}`);
  }
}

function writeArray(values: readonly unknown[], refusal: string[], depth: number): string | null {
  let text = '[';
  // By number: that visits holes too.
  for (let i = 0; i < values.length; i++) {
    const part = write(values[i], refusal, depth + 1);
    if (part === null) return within(refusal, `[${i}]`);
    text += i === 0 ? part : `,${part}`;
  }
  return `${text}]`;
}

function writeObject(value: object, refusal: string[], depth: number): string | null {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return refuse(refusal, `a ${value.constructor?.name ?? 'class instance'}`);
  let text = '{';
  for (const key of Object.keys(value).sort()) {
    const part = write((value as Record<string, unknown>)[key], refusal, depth + 1);
    if (part === null) return within(refusal, `.${key}`);
    text += `${text.length === 1 ? '' : ','}${JSON.stringify(key)}:${part}`;
  }
  return `${text}}`;
}

function refuse(refusal: string[], what: string): null {
  refusal.push(what);
  return null;
}

function within(refusal: string[], step: string): null {
  refusal.push(step);
  return null;
}

function refused(path: string, what: string): HeadroomError {
  return new HeadroomError('INVARIANT_BROKEN', `${path} is ${what}; only plain data with finite numbers has a canonical form`);
}
