/**
 * Profiles: which aggregators there are, and with which token each is asked. Input: the text of the settings file, options and
 * environment; output: one address with its token and certificates. A profile is whole: a token meant for one aggregator never goes to
 * another, so a named address takes nothing from a profile and a profile takes no token from the environment.
 */
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { parse, stringify } from 'yaml';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { URL_DEFAULT } from './api-client.ts';
import type { CliIo } from './command.ts';

const Text = Type.String({ minLength: 1, maxLength: 4096 });
const Profile = Type.Object(
  {
    url: Text,
    /** Holds the token. */
    tokenFile: Type.Optional(Text),
    /** The token itself: why the file is for its owner alone. */
    token: Type.Optional(Text),
    /** Certificates to trust besides the usual ones. */
    caFile: Type.Optional(Text),
  },
  { additionalProperties: false },
);
const Settings = Type.Object(
  {
    current: Type.Optional(Text),
    profiles: Type.Record(Type.String({ pattern: '^[\\w.-]{1,64}$' }), Profile, { additionalProperties: false }),
  },
  { additionalProperties: false },
);

export type Profile = Static<typeof Profile>;
export type Settings = Static<typeof Settings>;

/** Throws CONFIG_INVALID with the file's name and the first thing that is wrong. */
export function parseSettings(text: string | null, path: string): Settings {
  if (text === null) return { profiles: {} };
  let found: unknown;
  try {
    found = parse(text) ?? { profiles: {} };
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `${path}: ${errorText(error).split('\n')[0]}`, { cause: error });
  }
  if (Value.Check(Settings, found)) return found;
  const [first] = Value.Errors(Settings, found);
  throw new HeadroomError('CONFIG_INVALID', `${path}: ${first?.instancePath || 'the whole file'} ${first?.message ?? 'is not understood'}`);
}

export const settingsText = (settings: Settings): string => stringify(settings);

export function profileOf({ profiles }: Settings, name: string, path: string): Profile {
  const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (found !== undefined) return found;
  const there = Object.keys(profiles).join(', ') || 'none; "headroom profile set NAME --url URL" makes one';
  throw new HeadroomError('NOT_FOUND', `no profile is called "${name}" in ${path}; there are ${there}`);
}

export type Values = Readonly<Record<string, string | boolean | undefined>>;

const textOf = (value: string | boolean | undefined): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Options before the environment, an address before a profile, the profile in use before the default. */
export async function wanted({ env, settings }: Pick<CliIo, 'env' | 'settings'>, values: Values): Promise<Profile> {
  const [named, url] = [textOf(values.profile), textOf(values.url)];
  if (named !== undefined && url !== undefined) throw new HeadroomError('USAGE', 'name --profile or --url, not both');
  const own = { ...optional('tokenFile', textOf(values['token-file'])), ...optional('caFile', textOf(values['ca-file'])) };
  const plain = (address: string): Profile => ({
    url: address,
    ...optional('tokenFile', textOf(env.HEADROOM_TOKEN_FILE)),
    ...optional('caFile', textOf(env.HEADROOM_CA_FILE)),
    ...own,
  });
  const address = url ?? (named === undefined ? textOf(env.HEADROOM_URL) : undefined);
  if (address !== undefined) return plain(address);
  const found = parseSettings(await settings.read(), settings.path);
  const name = named ?? textOf(env.HEADROOM_PROFILE) ?? found.current;
  if (name === undefined) return plain(URL_DEFAULT);
  const { token, ...profile } = profileOf(found, name, settings.path);
  return { ...profile, ...(own.tokenFile === undefined ? optional('token', token) : {}), ...own };
}

function optional<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>);
}
