/**
 * Arguments of commands that read their own: those that need no aggregator. Input: the command's name, what was typed, its options;
 * output: values, `help` among them. Throws USAGE naming the command.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { errorText, HeadroomError } from '../../shared/errors.ts';

const HELP = { help: { type: 'boolean', short: 'h', default: false } } as const;

/** What is wrong with how a command was used, for its throw. */
export const usageOf =
  (command: string) =>
  (what: string): HeadroomError =>
    new HeadroomError('USAGE', `${command}: ${what}; "headroom help ${command}" tells how it is used`);

export function ownArguments<T extends ParseArgsOptionsConfig>(command: string, argv: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...argv], options: { ...options, ...HELP } }).values;
  } catch (error) {
    // The first sentence says what; the others are about programs in general.
    throw usageOf(command)(errorText(error).split('. ')[0]!);
  }
}
