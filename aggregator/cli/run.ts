/**
 * The `headroom` command without its process: arguments and a world in, an exit code out. Finds the command, parses its
 * options, runs it once or again and again, and turns failures into one line that says what to do.
 */
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { createApiClient } from './api-client.ts';
import type { ApiCommand, CliIo, Command, CommandContext } from './command.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { commandHelp, generalHelp, TOPICS } from './help.ts';
import { type Parsed, parseOptions } from './options.ts';
import { printable } from './output.ts';
import { pause } from './pause.ts';
import { wanted } from './profiles.ts';
import { fetchAs } from './show-identity.ts';
import { nearest } from './suggest.ts';

export interface Cli {
  commands: readonly Command[];
  version: string;
}

export async function runCli({ commands, version }: Cli, argv: readonly string[], io: CliIo): Promise<number> {
  try {
    const [first] = argv;
    if (first === undefined || first === '--help' || first === '-h') {
      io.out(generalHelp(commands));
      return first === undefined ? EXIT.usage : EXIT.ok;
    }
    if (first === 'version' || first === '--version') {
      io.out(`headroom ${version}\n`);
      return EXIT.ok;
    }
    if (first === 'help') return await help(commands, argv.slice(1), io);
    const { command, rest } = find(commands, argv);
    return command.kind === 'own' ? await command.run(rest, io) : await runApi(command, rest, io);
  } catch (error) {
    if (io.stop.aborted) return EXIT.ok;
    tell(error, io);
    return exitCodeOf(error);
  }
}

function tell(error: unknown, io: CliIo): void {
  const lines = errorText(error).split('\n').map(printable);
  io.err(`headroom: ${lines.join('\n  ')}\n`);
  // What is no failure of ours by design is a mistake in the program: show where.
  if (!isHeadroomError(error) && error instanceof Error) io.err(`${error.stack}\n`);
}

async function help(commands: readonly Command[], words: readonly string[], io: CliIo): Promise<number> {
  const topic = words.length === 1 ? TOPICS[words[0]!] : undefined;
  if (words.length === 0 || topic !== undefined) {
    io.out(topic ?? generalHelp(commands));
    return EXIT.ok;
  }
  const group = commands.filter(({ name }) => name.startsWith(`${words.join(' ')} `));
  if (group.length > 0) {
    io.out(generalHelp(group));
    return EXIT.ok;
  }
  const { command } = find(commands, words);
  if (command.kind === 'own') return command.run(['--help'], io);
  io.out(commandHelp(command));
  return EXIT.ok;
}

function find(commands: readonly Command[], argv: readonly string[]): { command: Command; rest: string[] } {
  for (const length of [2, 1]) {
    const name = argv.slice(0, length).join(' ');
    const command = commands.find((one) => one.name === name);
    if (command) return { command, rest: argv.slice(length) };
  }
  const [first = '', second] = argv;
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0) {
    const words = group.map(({ name }) => name.slice(first.length + 1));
    const near = second === undefined ? null : nearest(second, words);
    const hint = near === null ? `there are ${words.map((word) => `${first} ${word}`).join(', ')}` : `did you mean ${first} ${near}?`;
    throw new HeadroomError(
      'USAGE',
      second === undefined || second.startsWith('-')
        ? `"${first}" needs one word more; ${hint}`
        : `there is no command "${first} ${second}"; ${hint}`,
    );
  }
  const known = new Set([...commands.flatMap(({ name }) => [name, name.split(' ')[0]!]), 'help', 'version']);
  const near = nearest(argv.slice(0, 2).join(' '), [...known]) ?? nearest(first, [...known]);
  throw new HeadroomError(
    'USAGE',
    `there is no command "${first}"; ${near === null ? '"headroom help" lists all' : `did you mean ${near}?`}`,
  );
}

async function runApi(command: ApiCommand, argv: readonly string[], io: CliIo): Promise<number> {
  const parsed = parseOptions(command, argv);
  if (parsed.help) {
    io.out(commandHelp(command));
    return EXIT.ok;
  }
  const { values, positionals, output } = parsed;
  const watch =
    parsed.watch || (command.watches === 'live' && io.terminal && output !== 'json' && output !== 'yaml' && values.once !== true);
  const profile = await wanted(io, values);
  const api = createApiClient(profile.url, await fetchAs(io, profile), io.stop);
  const context: CommandContext = { io, values, positionals, output, watch, api };
  if (watch) io.catchInterrupts();
  return watch && command.watches !== 'itself' ? repeat(command, context, parsed) : command.run(context);
}

/** Erase the screen and what scrolled off it, begin at its top. */
const CLEAR = '\u001b[H\u001b[2J\u001b[3J';

/** A failure at the start ends it; a later one is told, and looked past: aggregators restart. */
async function repeat(command: ApiCommand, context: CommandContext, { intervalMs, output }: Parsed): Promise<number> {
  const { io } = context;
  const drawOver = io.terminal && (output === 'table' || output === 'wide');
  let code = await command.run(drawOver ? clearing(context) : context);
  while (!io.stop.aborted) {
    await pause(io, intervalMs);
    if (io.stop.aborted) break;
    try {
      if (!drawOver && output !== 'json' && output !== 'yaml') io.out('\n');
      code = await command.run(drawOver ? clearing(context) : context);
    } catch (error) {
      if (io.stop.aborted) break;
      if (!isHeadroomError(error, 'UNAVAILABLE') && !isHeadroomError(error, 'TIMEOUT')) throw error;
      tell(error, io);
    }
  }
  return code;
}

/** Clears just before the first text, so that the old table stays while the new one is asked for. */
function clearing(context: CommandContext): CommandContext {
  let cleared = false;
  const out = (text: string): void => {
    context.io.out(cleared ? text : CLEAR + text);
    cleared = true;
  };
  return { ...context, io: { ...context.io, out } };
}
