/**
 * One check per frame type, compiled from its schema when a frame of the type is first met. Input: a type; output: its check,
 * or undefined for a type there is none of. What is packaged for guests has checks generated from the same schemas in this
 * file's place (scripts/packaging/lean-guest.ts): the compiler alone would take megabytes of the tenant's memory.
 */
import { Compile } from 'typebox/compile';
import { FRAMES, type FrameType } from './frames.ts';

export interface FrameCheck {
  holds(value: unknown): boolean;
  /** Where a value that does not hold breaks which rule first, as a JSON pointer and in words; undefined = not told. */
  firstError(value: unknown): { path: string; message: string } | undefined;
}

interface CompiledFrame {
  Check(value: unknown): boolean;
  Errors(value: unknown): { instancePath: string; message: string }[];
}

const CHECKS = new Map<string, FrameCheck>();

export function checkOf(type: string): FrameCheck | undefined {
  const known = CHECKS.get(type);
  if (known !== undefined || !Object.hasOwn(FRAMES, type)) return known;
  const compiled: CompiledFrame = Compile(FRAMES[type as FrameType]);
  const check: FrameCheck = {
    holds: (value) => compiled.Check(value),
    firstError(value) {
      const error = compiled.Errors(value)[0];
      return error && { path: error.instancePath, message: error.message };
    },
  };
  CHECKS.set(type, check);
  return check;
}
