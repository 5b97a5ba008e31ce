/**
 * The part of the configuration that says who may reach the aggregator, and how. Input: what stands under `tls` and `access`,
 * and the addresses listened on; output: checked values, or CONFIG_INVALID naming the key and what to do. Beyond this machine
 * nothing is served without TLS, nor to people without a token.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../shared/errors.ts';
import { isLoopbackName } from '../shared/net/local-address.ts';
import { ROLES } from './identity/roles.ts';

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1, maxLength: 4096 });
const name = Type.String({ minLength: 1, maxLength: 128 });

/** PEM files. */
const TlsFile = Type.Object({ certFile: text, keyFile: text }, closed);
const OidcFile = Type.Object(
  {
    issuer: text,
    audience: text,
    /** The issuer's public keys: an https address, or a file with a JSON Web Key Set. */
    keysUrl: Type.Optional(text),
    keysFile: Type.Optional(text),
    /** The claim with the person's roles or groups. */
    rolesClaim: Type.Optional(name),
    /** The claim with the person's tenant. */
    tenantClaim: Type.Optional(name),
    /** What a value of that claim is worth here. */
    roles: Type.Record(name, Type.Enum(ROLES)),
    /** Persons of these values are of no tenant: they see everything. */
    fleetWide: Type.Optional(Type.Array(name, { maxItems: 100 })),
    /** The console sends people to the provider; `audience` is then the client's id there. Absent: people bring a token. */
    logIn: Type.Optional(
      Type.Object(
        {
          /** Where browsers find the console, such as https://headroom.example.net:7400. */
          consoleUrl: text,
          /** Absent: a public client, which proves itself by PKCE alone. */
          clientSecretFile: Type.Optional(text),
          scope: Type.Optional(text),
        },
        closed,
      ),
    ),
  },
  closed,
);
const AccessFile = Type.Object(
  {
    /** `open`: whoever is on this machine may do anything. `tokens`: everybody shows who they are. */
    people: Type.Optional(Type.Enum(['open', 'tokens'] as const)),
    /** Which agents prove possession of an enrolled key. */
    agents: Type.Optional(Type.Enum(['beyond-this-machine', 'always'] as const)),
    agentKeyDays: Type.Optional(Type.Number({ minimum: 1, maximum: 3650 })),
    /** Of one address or person. */
    requestsPerSecond: Type.Optional(Type.Number({ minimum: 1, maximum: 100_000 })),
    /** The label of VMs that says whose they are. */
    tenantLabel: Type.Optional(name),
    oidc: Type.Optional(OidcFile),
  },
  closed,
);
const CHECK = { tls: Compile(TlsFile), access: Compile(AccessFile) };

export type TlsConfig = Static<typeof TlsFile>;
export type OidcConfig = Static<typeof OidcFile>;

export interface AccessConfig {
  tls: TlsConfig | null;
  people: 'open' | 'tokens';
  agents: 'beyond-this-machine' | 'always';
  agentKeyMs: number;
  requestsPerSecond: number;
  tenantLabel: string;
  oidc: OidcConfig | null;
}

/** A key that was copied unseen is of use for a quarter of a year. */
const AGENT_KEY_DAYS = 90;
/** A console with its charts asks some ten times at once, every two seconds. */
const REQUESTS_PER_SECOND = 50;
const DAY_MS = 86_400_000;

export interface Listening {
  listen: { host: string };
  agents: { host?: string; path?: string } | null;
}

/** As read from the file; undefined: not given. Throws CONFIG_INVALID. */
export function resolveAccess(tls: unknown, access: unknown, { listen, agents }: Listening): AccessConfig {
  check('tls', tls);
  check('access', access);
  const given = (access ?? {}) as Static<typeof AccessFile>;
  const local = isLoopbackName(listen.host);
  const config: AccessConfig = {
    tls: (tls ?? null) as TlsConfig | null,
    people: given.people ?? (local ? 'open' : 'tokens'),
    agents: given.agents ?? 'beyond-this-machine',
    agentKeyMs: (given.agentKeyDays ?? AGENT_KEY_DAYS) * DAY_MS,
    requestsPerSecond: given.requestsPerSecond ?? REQUESTS_PER_SECOND,
    tenantLabel: given.tenantLabel ?? 'tenant',
    oidc: given.oidc ?? null,
  };
  const agentsLocal = agents === null || agents.path !== undefined || isLoopbackName(agents.host ?? '127.0.0.1');
  if (!local && config.people === 'open') refuse(`listen.host ${listen.host} is beyond this machine: access.people must be tokens there`);
  if (config.tls === null && (!local || !agentsLocal)) {
    const address = local ? agents!.host : listen.host;
    refuse(`${address} is beyond this machine: give tls.certFile and tls.keyFile ("headroom tls" makes some), or listen on 127.0.0.1`);
  }
  const { oidc } = config;
  if (oidc !== null && (oidc.keysUrl === undefined) === (oidc.keysFile === undefined))
    refuse("access.oidc needs the issuer's keys: either keysUrl or keysFile");
  if (oidc?.keysUrl !== undefined && URL.parse(oidc.keysUrl)?.protocol !== 'https:')
    refuse(`access.oidc.keysUrl is ${oidc.keysUrl}; keys are fetched over https only`);
  if (oidc?.logIn !== undefined) {
    overTls('access.oidc.issuer', oidc.issuer);
    overTls('access.oidc.logIn.consoleUrl', oidc.logIn.consoleUrl);
  }
  return config;
}

/** A code or a session that crosses a network in the clear is everybody's. */
function overTls(key: string, address: string): void {
  const url = URL.parse(address);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopbackName(url.hostname))) return;
  refuse(`${key} is ${address}; give an https address (http only on this machine)`);
}

function refuse(message: string): never {
  throw new HeadroomError('CONFIG_INVALID', message);
}

function check(key: keyof typeof CHECK, value: unknown): void {
  if (value === undefined || CHECK[key].Check(value)) return;
  const error = CHECK[key].Errors(value).find(({ keyword }) => keyword !== 'boolean');
  refuse(`the configuration at /${key}${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`);
}
