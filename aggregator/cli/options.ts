/** Arguments of a command from what was typed. Input: the command, argv; output: values and positionals. Throws USAGE. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { URL_DEFAULT } from './api-client.ts';
import type { ApiCommand, OptionSpec, Output } from './command.ts';
import { nearest } from './suggest.ts';

export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  output: { type: 'string', short: 'o', value: 'FORMAT', help: 'table (default), wide, json or yaml' },
  watch: { type: 'boolean', short: 'w', help: 'go on showing it until interrupted' },
  interval: { type: 'string', value: 'SECONDS', help: 'how often --watch looks again (default 2)' },
  url: { type: 'string', value: 'URL', help: `the aggregator (default HEADROOM_URL, else the profile in use, else ${URL_DEFAULT})` },
  profile: { type: 'string', value: 'NAME', help: 'the aggregator that has this name here (default HEADROOM_PROFILE)' },
  'token-file': { type: 'string', value: 'FILE', help: 'holds the API token to show (default HEADROOM_TOKEN_FILE, else none)' },
  'ca-file': { type: 'string', value: 'FILE', help: 'certificates (PEM) to trust besides the usual ones (default HEADROOM_CA_FILE)' },
  help: { type: 'boolean', short: 'h', help: 'tell about this command' },
};

const ONCE: OptionSpec = { type: 'boolean', help: 'only once, also on a terminal' };

const OUTPUTS: readonly Output[] = ['table', 'wide', 'json', 'yaml'];

export interface Parsed {
  values: Record<string, string | boolean | undefined>;
  positionals: string[];
  output: Output;
  watch: boolean;
  intervalMs: number;
  help: boolean;
}

export function optionsOf(command: ApiCommand): Readonly<Record<string, OptionSpec>> {
  const { watch, interval, ...rest } = COMMON_OPTIONS as Record<'watch' | 'interval', OptionSpec> & Record<string, OptionSpec>;
  const own = command.options ?? {};
  if (command.watches === 'never') return { ...own, ...rest };
  if (command.watches === 'live') return { ...own, once: ONCE, interval, ...rest };
  return command.watches === 'itself' ? { ...own, watch, ...rest } : { ...own, watch, interval, ...rest };
}

export function parseOptions(command: ApiCommand, argv: readonly string[]): Parsed {
  const specs = optionsOf(command);
  const { values, positionals } = parse(command, argv, specs);
  const help = values.help === true;
  if (!help) checkPositionals(command, positionals);
  const output = (values.output ?? 'table') as Output;
  if (!OUTPUTS.includes(output)) throw usage(command, `--output ${output}: there are ${OUTPUTS.join(', ')}`);
  const interval = Number(values.interval ?? 2);
  // Below a tenth of a second it would only load the aggregator; beyond a day it is a mistake.
  if (!(interval >= 0.1 && interval <= 86_400)) throw usage(command, `--interval ${values.interval}: seconds from 0.1 to 86400 are needed`);
  return { values, positionals, output, watch: values.watch === true, intervalMs: interval * 1000, help };
}

function parse(
  command: ApiCommand,
  argv: readonly string[],
  specs: Readonly<Record<string, OptionSpec>>,
): Pick<Parsed, 'values' | 'positionals'> {
  const options: ParseArgsOptionsConfig = {};
  for (const [name, { type, short }] of Object.entries(specs)) options[name] = short === undefined ? { type } : { type, short };
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    return { values: values as Parsed['values'], positionals };
  } catch (error) {
    const unknown =
      (error as { code?: string }).code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' ? /'-{0,2}([^'=\s]+)/.exec(errorText(error))?.[1] : undefined;
    if (unknown === undefined) throw usage(command, errorText(error).split('. ')[0]!);
    const near = nearest(unknown, Object.keys(specs));
    throw usage(
      command,
      `there is no option ${unknown.length > 1 ? '--' : '-'}${unknown}${near === null ? '' : `; did you mean --${near}?`}`,
    );
  }
}

function checkPositionals(command: ApiCommand, positionals: readonly string[]): void {
  const needed = command.args.filter((arg) => !arg.startsWith('['));
  if (positionals.length < needed.length) throw usage(command, `${needed[positionals.length]} is missing`);
  if (positionals.length > command.args.length) throw usage(command, `"${positionals[command.args.length]}" is one argument too many`);
}

function usage(command: ApiCommand, what: string): HeadroomError {
  return new HeadroomError('USAGE', `${command.name}: ${what}; "headroom help ${command.name}" tells how it is used`);
}
