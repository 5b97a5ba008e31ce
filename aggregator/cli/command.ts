/** What a command of `headroom` is, and what it is given. */
import type { Clock } from '../../shared/clock.ts';
import type { ApiClient } from './api-client.ts';
import type { SettingsFile } from './settings-file.ts';

/** The world outside, so that tests can be that world. */
export interface CliIo {
  /** Text as it is, line ends included. */
  out: (text: string) => void;
  err: (text: string) => void;
  env: Readonly<Record<string, string | undefined>>;
  /** The whole of a file, or of standard input for `-`. */
  read: (path: string) => Promise<string>;
  /** Where profiles are kept. */
  settings: SettingsFile;
  fetch: typeof fetch;
  clock: Clock;
  /** Aborted when the user wants to end a command that goes on. */
  stop: AbortSignal;
  /** From now on an interrupt aborts `stop` rather than ending the process. */
  catchInterrupts: () => void;
  /** Standard output is a terminal: a watched table may be drawn over. */
  terminal: boolean;
  /** Lines of the terminal, as it is now. */
  rows: () => number;
}

export interface OptionSpec {
  type: 'string' | 'boolean';
  short?: string;
  /** What the value is called in help; strings only. */
  value?: string;
  help: string;
}

export type Output = 'table' | 'wide' | 'json' | 'yaml';

export interface CommandContext {
  io: CliIo;
  positionals: readonly string[];
  values: Readonly<Record<string, string | boolean | undefined>>;
  output: Output;
  watch: boolean;
  api: ApiClient;
}

interface Described {
  /** As typed: `vm list`. */
  name: string;
  summary: string;
}

/** Talks to the aggregator; has the common options. */
export interface ApiCommand extends Described {
  kind: 'api';
  /** Names of the arguments, in order; `[NAME]` may be left out. */
  args: readonly string[];
  options?: Readonly<Record<string, OptionSpec>>;
  /** How it watches: again and again (default), by itself, on a terminal without being asked, or not at all. */
  watches?: 'repeated' | 'itself' | 'live' | 'never';
  details?: string;
  /** Returns the exit code. */
  run(context: CommandContext): Promise<number>;
}

/** Reads its own arguments and prints its own help for `--help`. */
export interface OwnCommand extends Described {
  kind: 'own';
  run(argv: readonly string[], io: CliIo): Promise<number>;
}

export type Command = ApiCommand | OwnCommand;
