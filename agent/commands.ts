/**
 * What a program of several commands does with its arguments: help, version, or one command. Input: the program's table and its
 * arguments; output: lines on stdout, and the exit code.
 */
import { EXIT_USAGE } from './exit-codes.ts';
import { type Options, optionHelp } from './options.ts';
import { VERSION } from './version.ts';

export interface Command {
  help: string;
  options: Options;
  /** Resolves to the exit code. */
  run: (args: readonly string[]) => Promise<number>;
}

export interface Program {
  name: string;
  /** What it is for, in a line. */
  about: string;
  commands: Readonly<Record<string, Command>>;
}

/** Rejects with what the command rejects with. */
export async function runCommand(program: Program, args: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = args;
  if (name === 'version' || name === '--version') {
    console.log(VERSION);
    return 0;
  }
  if (name === 'help' || name === '--help' || rest.includes('--help')) {
    console.log(helpOf(program, name === 'help' ? rest[0] : name));
    return 0;
  }
  const command = commandOf(program, name);
  if (command) return command.run(rest);
  console.error(`${program.name}: unknown command "${name}"\n\n${helpOf(program, undefined)}`);
  return EXIT_USAGE;
}

const commandOf = ({ commands }: Program, name: string): Command | undefined =>
  Object.hasOwn(commands, name) ? commands[name] : undefined;

function helpOf(program: Program, name: string | undefined): string {
  const command = name === undefined ? undefined : commandOf(program, name);
  if (command) return `${program.name} ${name}: ${command.help}\n\n${optionHelp(command.options)}`;
  const rows = Object.entries(program.commands).map(([key, { help }]) => `  ${key.padEnd(12)}${help}`);
  return [
    `${program.name} ${VERSION}: ${program.about}`,
    '',
    ...rows,
    '  help        this text, or `help COMMAND`',
    '  version     the version',
    '',
    `\`${program.name} COMMAND --help\` lists the options of a command.`,
  ].join('\n');
}
