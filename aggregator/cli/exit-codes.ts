/** What the command's exit tells a script. Input: an error; output: its exit code. The numbers never change their meaning. */
import { type ErrorCode, isHeadroomError } from '../../shared/errors.ts';

export const EXIT = { ok: 0, failed: 1, usage: 2, notFound: 3, unavailable: 69 } as const;

/** 69 is EX_UNAVAILABLE of BSD's sysexits; the rest follows what shells and grep do. */
const OF_CODE: Partial<Record<ErrorCode, number>> = {
  USAGE: EXIT.usage,
  CONFIG_INVALID: EXIT.usage,
  NOT_FOUND: EXIT.notFound,
  UNAVAILABLE: EXIT.unavailable,
  TIMEOUT: EXIT.unavailable,
  STORE_UNAVAILABLE: EXIT.unavailable,
  HYPERVISOR_UNAVAILABLE: EXIT.unavailable,
  ENVIRONMENT: EXIT.unavailable,
};

export function exitCodeOf(error: unknown): number {
  return isHeadroomError(error) ? (OF_CODE[error.code] ?? EXIT.failed) : EXIT.failed;
}

export const EXIT_CODES_HELP = `exit codes

  0   done
  1   it failed: the request was refused, a policy file has mistakes, the ledger's chain is broken
  2   the command line makes no sense: the message says which part
  3   what was named does not exist (a VM, a host, a plan, a file)
  69  something needed did not answer: the aggregator, the hypervisor, a store; try again later
`;
