/**
 * The part of the configuration that says where series are kept. Input: what stands under `store`; output: checked values,
 * or CONFIG_INVALID naming the key and what is allowed. Secrets stand in files of their own, never in the configuration.
 */
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../shared/errors.ts';

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1, maxLength: 4096 });
const HOUR_MS = 3_600_000;
const retentionMs = Type.Integer({ minimum: HOUR_MS, maximum: 10 * 366 * 24 * HOUR_MS });

const Auth = Type.Object(
  {
    scheme: Type.Enum(['basic', 'token', 'bearer']),
    /** For `basic`. */
    username: Type.Optional(text),
    /** A file with the password or token alone. */
    secretFile: text,
  },
  closed,
);

const server = {
  url: text,
  /** Quoted nowhere it could do harm, and part of bucket names. */
  database: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' })),
  auth: Type.Optional(Auth),
  /** Left out: on, unless the server is on this machine. */
  gzip: Type.Optional(Type.Boolean()),
  fiveMinuteRetentionMs: Type.Optional(retentionMs),
  hourRetentionMs: Type.Optional(retentionMs),
} as const;

const Sqlite = Type.Object({ kind: Type.Literal('sqlite') }, closed);
const Influx = Type.Object(
  {
    kind: Type.Literal('influxdb'),
    ...server,
    org: Type.Optional(text),
    writePath: Type.Optional(Type.Enum(['auto', 'v1', 'v2'])),
  },
  closed,
);
const Victoria = Type.Object(
  {
    kind: Type.Literal('victoriametrics'),
    url: server.url,
    readUrl: Type.Optional(text),
    database: server.database,
    auth: server.auth,
    gzip: server.gzip,
  },
  closed,
);

export type StoreConfig = Static<typeof Sqlite> | Static<typeof Influx> | Static<typeof Victoria>;

const KINDS: Readonly<Record<StoreConfig['kind'], { schema: TSchema & { properties: object }; check: ReturnType<typeof Compile> }>> = {
  sqlite: { schema: Sqlite, check: Compile(Sqlite) },
  influxdb: { schema: Influx, check: Compile(Influx) },
  victoriametrics: { schema: Victoria, check: Compile(Victoria) },
};

/** `given`: as read from the file; undefined: the embedded store. Throws CONFIG_INVALID. */
export function resolveStore(given: unknown): StoreConfig {
  if (given === undefined) return { kind: 'sqlite' };
  const kind = typeof given === 'object' && given !== null && 'kind' in given ? String(given.kind) : null;
  const known = kind !== null && Object.hasOwn(KINDS, kind) ? KINDS[kind as StoreConfig['kind']] : null;
  const refuse = (message: string): never => {
    throw new HeadroomError('CONFIG_INVALID', message);
  };
  if (!known) return refuse(`store.kind is ${kind ?? 'missing'}; it must be one of ${Object.keys(KINDS).join(', ')}`);
  const unknown = Object.keys(given as object).filter((key) => !(key in known.schema.properties));
  if (unknown.length > 0) {
    refuse(`unknown key "${unknown[0]}" under store of kind ${kind}; there are ${Object.keys(known.schema.properties).join(', ')}`);
  }
  if (!known.check.Check(given)) {
    const error = known.check.Errors(given).find(({ keyword }) => keyword !== 'boolean');
    refuse(`the configuration at /store${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`);
  }
  const store = given as StoreConfig;
  if (store.kind !== 'sqlite' && store.auth?.scheme === 'basic' && store.auth.username === undefined) {
    refuse('store.auth.username is missing; the scheme basic needs one');
  }
  return store;
}
