/** Help texts from the table of commands. */
import { URL_DEFAULT } from './api-client.ts';
import type { ApiCommand, Command, OptionSpec } from './command.ts';
import { EXIT_CODES_HELP } from './exit-codes.ts';
import { optionsOf } from './options.ts';

const padded = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
};

const argsText = (command: Command): string => (command.kind === 'api' ? command.args.map((arg) => ` ${arg}`).join('') : ' [OPTIONS]');

export function generalHelp(commands: readonly Command[]): string {
  const rows = commands.map((command): [string, string] => [
    `${command.name}${command.kind === 'api' ? argsText(command) : ''}`,
    command.summary,
  ]);
  return `headroom: sees what each virtual machine will need next, and gives it just before it is needed

${padded([...rows, ['help [COMMAND]', 'this, or all about one command'], ['help exit-codes', 'what the exit code tells a script'], ['version', 'the version of this program']])}
Most commands talk to an aggregator: HEADROOM_URL or --url names it (default ${URL_DEFAULT}).
They take -o table|wide|json|yaml, and --watch where what they show changes.
`;
}

function optionRow([name, { short, value, help }]: [string, OptionSpec]): [string, string] {
  return [`${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`, help];
}

export function commandHelp(command: ApiCommand): string {
  const details = command.details === undefined ? '' : `${command.details}\n\n`;
  return `headroom ${command.name}${argsText(command)} [OPTIONS]: ${command.summary}\n\n${details}${padded(Object.entries(optionsOf(command)).map(optionRow))}`;
}

/** Topics that are no commands. */
export const TOPICS: Readonly<Record<string, string>> = { 'exit-codes': EXIT_CODES_HELP };
