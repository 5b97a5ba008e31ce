/** Broken invariants crash: they are bugs, never operating errors. Message in, exception out. */
import { HeadroomError } from './errors.ts';

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new HeadroomError('INVARIANT_BROKEN', `broken invariant: ${message}`);
}
