/**
 * The aggregator's configuration. Input: a YAML or JSON file's text and command-line flags; output: checked values with
 * defaults filled in, or CONFIG_INVALID / USAGE naming the key and what is allowed. Flags win over the file. Periods that
 * follow from others (lease, grace, retries) do so only where they are not given.
 */
import { parseArgs } from 'node:util';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { parse as parseYaml } from 'yaml';
import { AGGREGATOR_PORT } from '../shared/aggregator-address.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { LOG_LEVELS } from '../shared/log.ts';
import { type AccessConfig, resolveAccess } from './access-config.ts';
import { type ClusterConfig, resolveCluster } from './cluster-config.ts';
import { resolveStore, type StoreConfig } from './store-config.ts';
import { resolveWebhooks, type WebhooksConfig } from './webhook-config.ts';

const closed = { additionalProperties: false } as const;
const periodMs = (minimum: number) => Type.Integer({ minimum, maximum: 366 * 86_400_000 });
const port = Type.Integer({ minimum: 0, maximum: 65_535 });
const text = Type.String({ minLength: 1, maxLength: 4096 });

const ConfigFile = Type.Object(
  {
    /** HTTP API, console, metrics; and agents at /v1/agents, unless they have an address of their own. */
    listen: Type.Optional(Type.Object({ host: Type.Optional(text), port: Type.Optional(port) }, closed)),
    /** An address of their own for agents: host and port, or the path of a Unix socket. */
    agents: Type.Optional(Type.Object({ host: Type.Optional(text), port: Type.Optional(port), path: Type.Optional(text) }, closed)),
    /** Certificate of what listens beyond this machine, and who may come: see access-config.ts, which checks them. */
    tls: Type.Optional(Type.Unknown()),
    access: Type.Optional(Type.Unknown()),
    /** Further names the API is reached by; loopback names always work. */
    hostNames: Type.Optional(Type.Array(text, { maxItems: 64 })),
    dataDir: Type.Optional(text),
    policyFile: Type.Optional(Type.Union([text, Type.Null()])),
    stepMs: Type.Optional(periodMs(100)),
    planPeriodMs: Type.Optional(periodMs(100)),
    demandWindowMs: Type.Optional(periodMs(50)),
    graceMs: Type.Optional(periodMs(0)),
    settleMs: Type.Optional(periodMs(0)),
    seasonsMs: Type.Optional(Type.Array(periodMs(1000), { maxItems: 8 })),
    leaseMs: Type.Optional(periodMs(500)),
    commandRetryMs: Type.Optional(periodMs(50)),
    commandDeadlineMs: Type.Optional(periodMs(100)),
    verdictWindowMs: Type.Optional(periodMs(100)),
    verdictCooldownMs: Type.Optional(periodMs(100)),
    /** Steps of a VM before anything of it is taken for odd. */
    anomalyLearningSteps: Type.Optional(Type.Integer({ minimum: 64, maximum: 100_000 })),
    checkpointPeriodMs: Type.Optional(periodMs(1000)),
    /** How long models of a VM that is gone wait for its return. */
    modelsKeptMs: Type.Optional(periodMs(60_000)),
    maintainPeriodMs: Type.Optional(periodMs(100)),
    /** Forecasting gives way to everything else after this long at a stretch. */
    forecastBudgetMs: Type.Optional(periodMs(1)),
    /** Where series are kept: see store-config.ts, which checks it. */
    store: Type.Optional(Type.Unknown()),
    /** One of several aggregators: see cluster-config.ts, which checks it. */
    cluster: Type.Optional(Type.Unknown()),
    /** Who is told of what happens to VMs, and addresses they may have beyond the usual: see webhook-config.ts, which checks them. */
    webhooks: Type.Optional(Type.Unknown()),
    webhookTargets: Type.Optional(Type.Unknown()),
    seriesBytesMax: Type.Optional(Type.Integer({ minimum: 16 * 1024 * 1024 })),
    rawRetentionMs: Type.Optional(periodMs(3_600_000)),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    logLevel: Type.Optional(Type.Enum(LOG_LEVELS)),
  },
  closed,
);
type ConfigFile = Static<typeof ConfigFile>;
const CHECK = Compile(ConfigFile);

/** What the aggregator needs whatever it runs on: the part that simulation and tests give too. */
export interface DecisionConfig {
  stepMs: number;
  planPeriodMs: number;
  demandWindowMs: number;
  graceMs: number;
  /** How long after a VM became ready, or was first seen, what it does teaches its models nothing. */
  settleMs: number;
  seasonsMs: readonly number[];
  leaseMs: number;
  commandRetryMs: number;
  commandDeadlineMs: number;
  verdictWindowMs: number;
  verdictCooldownMs: number;
  /** Absent = a day of five-minute steps. */
  anomalyLearningSteps?: number;
  checkpointPeriodMs: number;
  /** How long models of a VM that is gone wait for its return. */
  modelsKeptMs: number;
  maintainPeriodMs: number;
  forecastBudgetMs: number;
}

export interface AggregatorConfig extends DecisionConfig {
  listen: { host: string; port: number };
  agents: { host?: string; port?: number; path?: string } | null;
  access: AccessConfig;
  hostNames: readonly string[];
  dataDir: string;
  policyFile: string | null;
  store: StoreConfig;
  /** Null: this aggregator is the only one. */
  cluster: ClusterConfig | null;
  webhooks: WebhooksConfig;
  seriesBytesMax: number | null;
  rawRetentionMs: number | null;
  seed: number;
  logLevel: (typeof LOG_LEVELS)[number];
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Demand is judged by means over this long at most: shorter bursts are the fast guard's. */
const DEMAND_WINDOW_MS_MAX = MINUTE_MS;
/** Rows are on their way for a second or two. */
const GRACE_MS_MAX = 5000;
/** Plan periods a host goes on without us before its fail-safe acts. */
const LEASE_PLANS = 5;
const RETRY_MS_MAX = 10_000;
const RETRY_MS_MIN = 500;
const DEADLINE_MS_MIN = 10_000;
/** A harmful shrink shows within two steps or plans; then the VM is left alone for six steps. */
const VERDICT_PERIODS = 2;
const VERDICT_COOLDOWN_STEPS = 6;

/** Fills in what was not given; for simulation and tests as well as for the program. */
export function decisionConfig(given: Partial<DecisionConfig>): DecisionConfig {
  const stepMs = given.stepMs ?? 5 * MINUTE_MS;
  const planPeriodMs = given.planPeriodMs ?? Math.min(MINUTE_MS, stepMs);
  const defaults: DecisionConfig = {
    stepMs,
    planPeriodMs,
    demandWindowMs: Math.min(DEMAND_WINDOW_MS_MAX, stepMs / 2),
    graceMs: Math.min(GRACE_MS_MAX, stepMs / 5),
    settleMs: stepMs,
    seasonsMs: [DAY_MS, 7 * DAY_MS],
    leaseMs: LEASE_PLANS * planPeriodMs,
    commandRetryMs: Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, planPeriodMs / 4)),
    commandDeadlineMs: Math.max(DEADLINE_MS_MIN, 2 * planPeriodMs),
    verdictWindowMs: VERDICT_PERIODS * Math.max(stepMs, planPeriodMs),
    verdictCooldownMs: VERDICT_COOLDOWN_STEPS * stepMs,
    checkpointPeriodMs: 10 * MINUTE_MS,
    modelsKeptMs: 30 * DAY_MS,
    maintainPeriodMs: 10_000,
    // Connections are served in between: an acknowledgement may wait 200 ms in all.
    forecastBudgetMs: 25,
  };
  return { ...defaults, ...withoutUndefined(given) };
}

export const AGGREGATOR_HELP = `Headroom's aggregator: takes in what agents report, forecasts, decides, and answers people.

  aggregator/main.ts --config FILE

  --config FILE    YAML or JSON; keys: ${Object.keys(ConfigFile.properties).join(', ')}
  --data-dir DIR   series, ledger and models (default ./headroom-data)
  --policy FILE    the policy file; without one everything is only observed
  --host ADDRESS   address of API and agents (default 127.0.0.1)
  --port N         port of API and agents (default ${AGGREGATOR_PORT}; 0 = any free one)
  --help           this text

SIGTERM and SIGINT finish what is under way and stop. Nothing listens beyond this machine unless told to.
`;

export interface Flags {
  help: boolean;
  config: string | null;
  dataDir: string | null;
  policy: string | null;
  host: string | null;
  port: number | null;
}

/** Throws USAGE. */
export function parseFlags(args: readonly string[]): Flags {
  const string = { type: 'string' } as const;
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = {
      help: { type: 'boolean', short: 'h' },
      config: string,
      'data-dir': string,
      policy: string,
      host: string,
      port: string,
    } as const;
    values = parseArgs({ args: [...args], strict: true, options }).values;
  } catch (error) {
    throw new HeadroomError('USAGE', `${errorText(error)}; --help lists what there is`, { cause: error });
  }
  const flag = (name: string): string | null => (typeof values[name] === 'string' ? values[name] : null);
  const portText = flag('port');
  if (portText !== null && !/^\d{1,5}$/.test(portText))
    throw new HeadroomError('USAGE', `--port must be a number from 0 to 65535, not "${portText}"`);
  return {
    help: values.help === true,
    config: flag('config'),
    dataDir: flag('data-dir'),
    policy: flag('policy'),
    host: flag('host'),
    port: portText === null ? null : Number(portText),
  };
}

/** `source`: the file's text, null without a file. Throws CONFIG_INVALID. */
export function resolveConfig(source: string | null, flags: Flags): AggregatorConfig {
  const file = source === null ? {} : readConfigFile(source);
  const {
    listen,
    agents,
    tls,
    access,
    hostNames,
    dataDir,
    policyFile,
    store: givenStore,
    cluster,
    webhooks,
    webhookTargets,
    seriesBytesMax,
    rawRetentionMs,
    seed,
    logLevel,
    ...decision
  } = file;
  const store = resolveStore(givenStore);
  const where = {
    listen: { host: flags.host ?? listen?.host ?? '127.0.0.1', port: flags.port ?? listen?.port ?? AGGREGATOR_PORT },
    agents: agents ?? null,
  };
  const config: AggregatorConfig = {
    ...decisionConfig(decision),
    ...where,
    access: resolveAccess(tls, access, where),
    hostNames: hostNames ?? [],
    dataDir: flags.dataDir ?? dataDir ?? 'headroom-data',
    policyFile: flags.policy ?? policyFile ?? null,
    store,
    cluster: resolveCluster(cluster, store),
    webhooks: resolveWebhooks(webhooks, webhookTargets),
    seriesBytesMax: seriesBytesMax ?? null,
    rawRetentionMs: rawRetentionMs ?? null,
    seed: seed ?? 1,
    logLevel: logLevel ?? 'info',
  };
  checkMeaning(config);
  return config;
}

function readConfigFile(source: string): ConfigFile {
  let value: unknown;
  try {
    value = parseYaml(source) ?? {};
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the configuration is neither YAML nor JSON: ${errorText(error)}`, { cause: error });
  }
  if (CHECK.Check(value)) return value;
  const unknown = Object.keys(value as object).filter((key) => !(key in ConfigFile.properties));
  if (unknown.length > 0) {
    const allowed = Object.keys(ConfigFile.properties).join(', ');
    throw new HeadroomError(
      'CONFIG_INVALID',
      `unknown key ${unknown.map((key) => `"${key}"`).join(', ')} in the configuration; there are ${allowed}`,
    );
  }
  const error = CHECK.Errors(value).find(({ keyword }) => keyword !== 'boolean');
  throw new HeadroomError('CONFIG_INVALID', `the configuration at ${error?.instancePath || '/'} ${error?.message ?? 'does not fit'}`);
}

/** What a schema cannot say. */
function checkMeaning(config: DecisionConfig): void {
  const { stepMs, planPeriodMs, demandWindowMs, leaseMs, graceMs } = config;
  const refuse = (message: string): never => {
    throw new HeadroomError('CONFIG_INVALID', message);
  };
  if (demandWindowMs > stepMs) refuse(`demandWindowMs is ${demandWindowMs}; it cannot be longer than a step (${stepMs} ms)`);
  if (graceMs >= stepMs) refuse(`graceMs is ${graceMs}; it must be shorter than a step (${stepMs} ms)`);
  if (leaseMs < 2 * planPeriodMs)
    refuse(`leaseMs is ${leaseMs}; leases are renewed once a plan, so two plan periods (${2 * planPeriodMs} ms) are the least`);
}

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Partial<T>;
}
