/**
 * The agent's configuration: one table of options from which flags, file keys, types, checks and help are made. Input:
 * command-line arguments, the text of a YAML or JSON file; output: checked values, or CONFIG_INVALID / USAGE naming the key
 * and the value. Flags win over the file, the file over defaults.
 */
import { parseArgs } from 'node:util';
import type { Static, TSchema } from 'typebox';
import * as Type from 'typebox';
import { Compile } from 'typebox/compile';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { LOG_LEVELS } from '../shared/log.ts';

interface Option {
  schema: TSchema;
  default: unknown;
  /** What the value stands for in help: N, URL, … */
  value: string;
  help: string;
}

const text = Type.String({ minLength: 1 });
const seconds = (minimum: number) => Type.Number({ minimum, maximum: 86_400 * 30 });
const logLevel = {
  schema: Type.Enum(LOG_LEVELS),
  default: 'info',
  value: 'LEVEL',
  help: `least level that is logged: ${LOG_LEVELS.join(', ')}`,
} satisfies Option;
const nullableText = Type.Union([text, Type.Null()]);

/** Keys are the file's; flags are the same in kebab-case. */
export const HOST_OPTIONS = {
  host: {
    schema: Type.Union([Type.String({ pattern: '^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$' }), Type.Null()]),
    default: null,
    value: 'NAME',
    help: "this host's name (default: its host name)",
  },
  aggregator: { schema: text, default: 'ws://127.0.0.1:7400/v1/agents', value: 'URL', help: 'where the aggregator listens for agents' },
  connect: { schema: text, default: 'qemu:///system', value: 'URI', help: 'libvirt connection' },
  stateDir: { schema: text, default: '/var/lib/headroom-agent', value: 'DIR', help: 'journals of original values, kill switches' },
  ringMiB: {
    schema: Type.Number({ minimum: 0, maximum: 1024 * 1024 }),
    default: 256,
    value: 'N',
    help: 'disk that samples may take while the aggregator is away, below the state directory; oldest given up first, 0 = memory only',
  },
  include: {
    schema: Type.Array(text),
    default: [],
    value: 'GLOB',
    help: 'names of VMs to manage, may be given several times (default: all)',
  },
  channel: { schema: text, default: 'org.headroom.agent.0', value: 'NAME', help: "guests' virtio-serial channel" },
  sampleSeconds: { schema: seconds(0.1), default: 1, value: 'N', help: 'pace of samples from /proc and control groups' },
  statsSeconds: { schema: seconds(1), default: 10, value: 'N', help: 'pace of libvirt bulk statistics; dear groups are read more seldom' },
  balloonStatsSeconds: {
    schema: seconds(0),
    default: 10,
    value: 'N',
    help: "pace of balloon statistics, also asked of the guests' drivers; 0 leaves the drivers alone",
  },
  settingsSeconds: { schema: seconds(1), default: 10, value: 'N', help: 'pace at which values in force are read to find foreign writers' },
  inventorySeconds: { schema: seconds(1), default: 60, value: 'N', help: 'pace of full inventories' },
  bootDeadlineSeconds: {
    schema: seconds(1),
    default: 180,
    value: 'N',
    help: 'a guest that never had an agent is taken as ready after this long',
  },
  foreignHoldSeconds: { schema: seconds(1), default: 86_400, value: 'N', help: 'hands off after a foreign write' },
  foreignRestSeconds: {
    schema: seconds(1),
    default: 10,
    value: 'N',
    help: 'a balloon resting away from its target for this long was moved by someone else',
  },
  balloonSettleSeconds: {
    schema: Type.Number({ minimum: 0, maximum: 60 }),
    default: 2,
    value: 'N',
    help: 'wait for a balloon before its size is reported',
  },
  memoryReserveMiB: {
    schema: Type.Number({ minimum: 0 }),
    default: 256,
    value: 'N',
    help: "memory of the host this agent never lets VMs' grants touch",
  },
  failSafeGrowthsPerMinute: {
    schema: Type.Number({ minimum: 0.1, maximum: 60 }),
    default: 3,
    value: 'N',
    help: 'growths towards the baseline while no aggregator is there',
  },
  startupLeaseSeconds: {
    schema: seconds(1),
    default: 60,
    value: 'N',
    help: 'wait for an aggregator after a restart before the fail-safe acts',
  },
  logLevel,
} satisfies Record<string, Option>;

export const GUEST_OPTIONS = {
  channel: { schema: text, default: 'org.headroom.agent.0', value: 'NAME', help: 'virtio-serial port to the host agent' },
  aggregator: { schema: nullableText, default: null, value: 'URL', help: 'connect there by WebSocket instead of the channel' },
  vm: { schema: nullableText, default: null, value: 'UUID', help: "this VM's UUID (default: as DMI tells it)" },
  stateDir: { schema: text, default: '/var/lib/headroom-agent', value: 'DIR', help: 'samples that wait on disk (WebSocket only)' },
  ringMiB: {
    schema: Type.Number({ minimum: 0, maximum: 65_536 }),
    default: 16,
    value: 'N',
    help: 'disk that samples may take while the aggregator is away (WebSocket only); 0 = memory only',
  },
  workloadMetrics: {
    schema: nullableText,
    default: null,
    value: 'PATH',
    help: 'file of `name value` lines, sent as vm_app.NAME (claimed)',
  },
  statsd: {
    schema: nullableText,
    default: null,
    value: 'ADDRESS',
    help: 'takes StatsD metrics there, sent as vm_app.NAME: 127.0.0.1:PORT (UDP) or the path of a Unix socket (lines)',
  },
  scrape: {
    schema: Type.Array(text, { maxItems: 16 }),
    default: [],
    value: 'URL',
    help: 'Prometheus text of a local application, fetched every 15 s, sent as vm_app.NAME; may be given several times',
  },
  sampleSeconds: { schema: seconds(0.1), default: 1, value: 'N', help: 'pace of samples' },
  logLevel,
} satisfies Record<string, Option>;

export const RESTORE_OPTIONS = {
  connect: HOST_OPTIONS.connect,
  stateDir: HOST_OPTIONS.stateDir,
  all: { schema: Type.Boolean(), default: false, value: '', help: 'every VM of this host' },
  vm: { schema: nullableText, default: null, value: 'UUID', help: 'this VM only' },
} satisfies Record<string, Option>;

export const SWITCH_OPTIONS = {
  stateDir: HOST_OPTIONS.stateDir,
  vm: { schema: nullableText, default: null, value: 'UUID', help: 'this VM only (default: the whole host)' },
  reason: { schema: text, default: 'by command line', value: 'TEXT', help: 'shown wherever the switch is' },
} satisfies Record<string, Option>;

export const LIFT_OPTIONS = {
  stateDir: HOST_OPTIONS.stateDir,
  vm: { schema: nullableText, default: null, value: 'UUID', help: 'the VM whose holds end' },
  resource: {
    schema: Type.Union([Type.Enum(['cpu', 'memory', 'network', 'disk'] as const), Type.Null()]),
    default: null,
    value: 'NAME',
    help: 'this resource only',
  },
} satisfies Record<string, Option>;

export const LOOK_OPTIONS = {
  connect: HOST_OPTIONS.connect,
  sampleSeconds: { schema: Type.Number({ minimum: 1, maximum: 45 }), default: 10, value: 'N', help: 'how long to watch' },
  json: { schema: Type.Boolean(), default: false, value: '', help: 'one JSON line instead of text' },
} satisfies Record<string, Option>;

type Options = Record<string, Option>;
export type Values<O extends Options> = { [K in keyof O]: Static<O[K]['schema']> };

/** Reads flags and, where `--config FILE` is given, the file. `readFile` throws what it likes. */
export async function parseOptions<O extends Options>(
  options: O,
  args: readonly string[],
  readFile: (path: string) => string,
): Promise<Values<O>> {
  const flags = parseFlags(options, args);
  const fromFile = typeof flags.config === 'string' ? await parseFile(options, flags.config, readFile) : {};
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options)) {
    const flag = flags[flagName(key)];
    const value = flag === undefined ? (fromFile[key] ?? option.default) : fromFlag(option, flag);
    check(key, option, value);
    values[key] = value;
  }
  return values as Values<O>;
}

function parseFlags(options: Options, args: readonly string[]): Record<string, string | boolean | string[] | undefined> {
  const known: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }> = { config: { type: 'string' } };
  for (const [key, { schema }] of Object.entries(options)) {
    known[flagName(key)] = isBoolean(schema) ? { type: 'boolean' } : { type: 'string', multiple: isArray(schema) };
  }
  try {
    return parseArgs({ args: [...args], options: known, allowPositionals: false, strict: true }).values as never;
  } catch (error) {
    throw new HeadroomError('USAGE', errorText(error), { cause: error });
  }
}

async function parseFile(options: Options, path: string, readFile: (path: string) => string): Promise<Record<string, unknown>> {
  let parsed: unknown;
  try {
    // Loaded only where there is a file to read.
    const { parse: parseYaml } = await import('yaml');
    // JSON is YAML.
    parsed = parseYaml(readFile(path)) ?? {};
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `${path}: ${errorText(error)}`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new HeadroomError('CONFIG_INVALID', `${path} must hold keys and values; got ${JSON.stringify(parsed)}`);
  }
  for (const [key, value] of Object.entries(parsed)) {
    if (options[key] === undefined) {
      throw new HeadroomError(
        'CONFIG_INVALID',
        `${path}: unknown key "${key}" (value ${JSON.stringify(value)}); known are ${Object.keys(options).join(', ')}`,
      );
    }
  }
  return parsed as Record<string, unknown>;
}

function check(key: string, option: Option, value: unknown): void {
  const compiled = Compile(option.schema);
  if (compiled.Check(value)) return;
  const problem = compiled.Errors(value)[0]?.message ?? 'does not fit';
  throw new HeadroomError('CONFIG_INVALID', `${key} = ${JSON.stringify(value)}: ${problem} (${option.help})`);
}

/** Flags are text; numbers are read where the schema wants numbers. */
function fromFlag(option: Option, flag: string | boolean | string[]): unknown {
  if (typeof flag === 'string' && (option.schema as { type?: string }).type === 'number') {
    const number = Number(flag);
    return flag.trim() === '' || Number.isNaN(number) ? flag : number;
  }
  return flag;
}

const flagName = (key: string): string => key.replace(/MiB$/, '-mib').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const isBoolean = (schema: TSchema): boolean => (schema as { type?: string }).type === 'boolean';
const isArray = (schema: TSchema): boolean => (schema as { type?: string }).type === 'array';

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
