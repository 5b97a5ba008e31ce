/** `--dry-run`, for commands that change something: the option, whether it was given, and how an answer to it begins. */
import type { CommandContext } from '../command.ts';

export const DRY_RUN = { 'dry-run': { type: 'boolean', help: 'only tell what would be done' } } as const;

export const isDryRun = ({ values }: Pick<CommandContext, 'values'>): boolean => values['dry-run'] === true;

/** Before words that say what was done. */
export const notDone = (context: Pick<CommandContext, 'values'>): string => (isDryRun(context) ? 'not done (--dry-run): ' : '');
