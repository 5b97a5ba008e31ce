/**
 * Options of a program: one table from which flags, file keys, types, checks and help are made. Input: command-line
 * arguments, what a configuration file holds; output: checked values, or CONFIG_INVALID / USAGE naming the key and the value.
 * Flags win over the file, the file over defaults. The kinds of value are few, and small: a guest's memory is its tenant's.
 */
import { errorText, HeadroomError } from '../shared/errors.ts';

/** What an option's value may be. */
export interface Kind<T> {
  /** How its flag is written: alone, with text, with text that is a number, or several times. */
  flag: 'boolean' | 'text' | 'number' | 'list';
  /** Null when the value is one, else what it must be. */
  problem(value: unknown): string | null;
  /** Never set: carries the type of the values. */
  type?: T;
}

export interface Option<T = unknown> {
  kind: Kind<T>;
  default: unknown;
  /** What the value stands for in help: N, URL, … */
  value: string;
  help: string;
}

export type Options = Record<string, Option>;
export type Values<O extends Options> = { [K in keyof O]: O[K]['kind'] extends Kind<infer T> ? T : never };

export const text: Kind<string> = {
  flag: 'text',
  problem: (value) => (typeof value === 'string' && value !== '' ? null : 'must be text that is not empty'),
};

export const truth: Kind<boolean> = {
  flag: 'boolean',
  problem: (value) => (typeof value === 'boolean' ? null : 'must be true or false'),
};

export function matching(pattern: RegExp): Kind<string> {
  return { flag: 'text', problem: (value) => (typeof value === 'string' && pattern.test(value) ? null : `must match ${pattern.source}`) };
}

/** A finite number from `least` to `most`. */
export function number(least: number, most = Number.MAX_VALUE): Kind<number> {
  const range = most === Number.MAX_VALUE ? `of at least ${least}` : `from ${least} to ${most}`;
  return {
    flag: 'number',
    problem: (value) => (typeof value === 'number' && value >= least && value <= most ? null : `must be a number ${range}`),
  };
}

export function oneOf<const T extends string>(words: readonly T[]): Kind<T> {
  return {
    flag: 'text',
    problem: (value) => ((words as readonly unknown[]).includes(value) ? null : `must be one of ${words.join(', ')}`),
  };
}

/** Texts, at most so many. */
export function texts(most = Number.MAX_SAFE_INTEGER): Kind<string[]> {
  return {
    flag: 'list',
    problem(value) {
      if (!Array.isArray(value)) return 'must be a list';
      if (value.length > most) return `must not be longer than ${most}`;
      return value.map((one) => text.problem(one)).find((problem) => problem !== null) ?? null;
    },
  };
}

export function orNull<T>(kind: Kind<T>): Kind<T | null> {
  return { flag: kind.flag, problem: (value) => (value === null ? null : kind.problem(value)) };
}

/** Reads flags and, where `--config FILE` is given, the file: `readFile` answers what it holds and throws what it likes. */
export async function parseOptions<O extends Options>(
  options: O,
  args: readonly string[],
  readFile: (path: string) => unknown,
): Promise<Values<O>> {
  const flags = parseFlags(options, args);
  const fromFile = typeof flags.config === 'string' ? await parseFile(options, flags.config, readFile) : {};
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options)) {
    const flag = flags[flagName(key)];
    const value = flag === undefined ? (fromFile[key] ?? option.default) : fromFlag(option, flag);
    const problem = option.kind.problem(value);
    if (problem !== null) throw new HeadroomError('CONFIG_INVALID', `${key} = ${JSON.stringify(value)}: ${problem} (${option.help})`);
    values[key] = value;
  }
  return values as Values<O>;
}

type Flag = string | boolean | string[];

/** `--name value`, `--name=value`, `--name` alone. Node's own parser would bring streams and workers into a guest's memory. */
function parseFlags(options: Options, args: readonly string[]): Record<string, Flag | undefined> {
  const kinds = new Map<string, Kind<unknown>['flag']>([['config', 'text']]);
  for (const [key, { kind }] of Object.entries(options)) kinds.set(flagName(key), kind.flag);
  const flags: Record<string, Flag> = {};
  for (let at = 0; at < args.length; at++) {
    const [, name = '', , inline] = /^--([^=]*)(=(.*))?$/s.exec(args[at]!) ?? [];
    const kind = kinds.get(name);
    if (kind === undefined)
      throw new HeadroomError('USAGE', `unknown argument "${args[at]}"; known are --${[...kinds.keys()].join(', --')}`);
    if (kind === 'boolean') {
      if (inline !== undefined) throw new HeadroomError('USAGE', `--${name} takes no value; it was given "${inline}"`);
      flags[name] = true;
      continue;
    }
    const value = inline ?? args[++at];
    if (value === undefined || (inline === undefined && value.startsWith('--'))) {
      throw new HeadroomError('USAGE', `--${name} wants a value; give it as --${name}=VALUE`);
    }
    const before = flags[name];
    flags[name] = kind === 'list' ? [...(Array.isArray(before) ? before : []), value] : value;
  }
  return flags;
}

async function parseFile(options: Options, path: string, readFile: (path: string) => unknown): Promise<Record<string, unknown>> {
  let held: unknown;
  try {
    held = (await readFile(path)) ?? {};
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `${path}: ${errorText(error)}`, { cause: error });
  }
  if (typeof held !== 'object' || held === null || Array.isArray(held)) {
    throw new HeadroomError('CONFIG_INVALID', `${path} must hold keys and values; got ${JSON.stringify(held)}`);
  }
  for (const [key, value] of Object.entries(held)) {
    if (options[key] === undefined) {
      throw new HeadroomError(
        'CONFIG_INVALID',
        `${path}: unknown key "${key}" (value ${JSON.stringify(value)}); known are ${Object.keys(options).join(', ')}`,
      );
    }
  }
  return held as Record<string, unknown>;
}

/** Flags are text; numbers are read where numbers are wanted. */
function fromFlag({ kind }: Option, flag: string | boolean | string[]): unknown {
  if (typeof flag !== 'string' || kind.flag !== 'number') return flag;
  const value = Number(flag);
  return flag.trim() === '' || Number.isNaN(value) ? flag : value;
}

const flagName = (key: string): string => key.replace(/MiB$/, '-mib').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Lines of help, one per option. */
export function optionHelp(options: Options): string {
  const rows = [
    ...Object.entries(options).map(([key, option]) => helpRow(key, option)),
    ['--config FILE', 'the same keys in camelCase, as YAML or JSON'],
  ];
  return rows.map(([flag, help]) => `  ${(flag ?? '').padEnd(36)}${help}`).join('\n');
}

function helpRow(key: string, option: Option): [string, string] {
  const shown =
    option.default === null || option.default === false || Array.isArray(option.default) ? '' : ` (default ${String(option.default)})`;
  return [`--${flagName(key)} ${option.value}`.trim(), `${option.help}${shown}`];
}
