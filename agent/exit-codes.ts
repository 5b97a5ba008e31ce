/**
 * How the program ends. Input: what its run comes to; output: the exit code, by sysexits.h: 0 done, 1 not all done, and these.
 */
import { errorText, isHeadroomError } from '../shared/errors.ts';

export const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;

/** The code a run ends with; what it failed with is told on stderr. Never rejects. */
export function exitCodeOf(run: Promise<number>, program = 'headroom-agent'): Promise<number> {
  return run.catch((error: unknown) => {
    console.error(`${program}: ${errorText(error)}`);
    return isHeadroomError(error, 'USAGE') || isHeadroomError(error, 'CONFIG_INVALID') ? EXIT_USAGE : EXIT_UNAVAILABLE;
  });
}
