/** `headroom profile list|set|use|remove`: aggregators by name, in a file of the user's own. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { errorText } from '../../../shared/errors.ts';
import type { CliIo, OwnCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { usageOf } from '../own-arguments.ts';
import { type Profile, parseSettings, profileOf, type Settings, settingsText } from '../profiles.ts';
import { tokenIn } from '../show-identity.ts';

const OPTIONS = {
  url: { type: 'string' },
  'token-file': { type: 'string' },
  'ca-file': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface Asked {
  name: string;
  values: Partial<Record<'url' | 'token-file' | 'ca-file', string>>;
  settings: Settings;
  io: CliIo;
}

interface Made {
  verb: string;
  summary: string;
  takesName: boolean;
  details: string;
  /** Gives what is to be printed. */
  run(asked: Asked): Promise<string>;
}

function profileCommand({ verb, summary, takesName, details, run }: Made): OwnCommand {
  const name = `profile ${verb}`;
  const usage = usageOf(name);
  return {
    kind: 'own',
    name,
    summary,
    async run(argv, io) {
      let parsed: ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>>;
      try {
        parsed = parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
      } catch (error) {
        throw usage(errorText(error).split('. ')[0]!);
      }
      const { help, ...values } = parsed.values;
      if (help === true) {
        io.out(`headroom ${name}${takesName ? ' NAME' : ''}${verb === 'set' ? ' --url URL [OPTIONS]' : ''}: ${summary}\n\n${details}\n`);
        return EXIT.ok;
      }
      if (parsed.positionals.length !== Number(takesName)) throw usage(takesName ? 'one NAME is needed' : 'it takes no arguments');
      if (verb !== 'set' && Object.keys(values).length > 0) throw usage(`there is no option --${Object.keys(values)[0]}`);
      const settings = parseSettings(await io.settings.read(), io.settings.path);
      io.out(await run({ name: parsed.positionals[0] ?? '', values, settings, io }));
      return EXIT.ok;
    },
  };
}

interface Row extends Profile {
  name: string;
  current: boolean;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: '', text: ({ current }) => (current ? '*' : ' ') },
  { title: 'NAME', text: ({ name }) => name },
  { title: 'URL', text: ({ url }) => url },
  { title: 'TOKEN', text: ({ token, tokenFile }) => tokenFile ?? (token === undefined ? '-' : 'kept here') },
  { title: 'CERTIFICATES', text: ({ caFile }) => caFile ?? '-' },
];

export const profileList = profileCommand({
  verb: 'list',
  summary: 'the aggregators that have a name here; * is the one in use',
  takesName: false,
  details: 'Tokens are not shown.',
  async run({ settings: { profiles, current }, io }) {
    const rows = Object.entries(profiles).map(([name, profile]): Row => ({ ...profile, name, current: name === current }));
    return rows.length === 0 ? `no profile stands in ${io.settings.path}\n` : table(rows, COLUMNS, false);
  },
});

export const profileSet = profileCommand({
  verb: 'set',
  summary: 'gives an aggregator a name, with the token to show there',
  takesName: true,
  details: `  --url URL          its address
  --token-file FILE  holds the token; - reads it from standard input and keeps it in the profiles' file (mode 0600)
  --ca-file FILE     certificates (PEM) to trust besides the usual ones

The first profile is the one in use from then on. A profile that is there is replaced.`,
  async run({ name, values, settings, io }) {
    const { url, 'token-file': tokenFile, 'ca-file': caFile } = values;
    if (url === undefined) throw usageOf('profile set')('--url is missing');
    if (!['http:', 'https:'].includes(URL.parse(url)?.protocol ?? '')) throw usageOf('profile set')(`"${url}" is no address`);
    const token =
      tokenFile === '-'
        ? { token: tokenIn(await io.read('-'), 'standard input') }
        : tokenFile === undefined
          ? {}
          : { tokenFile: resolve(tokenFile) };
    const profile: Profile = { url, ...token, ...(caFile === undefined ? {} : { caFile: resolve(caFile) }) };
    const text = settingsText({ current: settings.current ?? name, profiles: { ...settings.profiles, [name]: profile } });
    // Read again before it is written: a name that cannot be read back would make every later command fail.
    parseSettings(text, io.settings.path);
    await io.settings.write(text);
    return printable(`profile ${name}: ${url}`).concat(settings.current === undefined ? ', in use from now on\n' : '\n');
  },
});

export const profileUse = profileCommand({
  verb: 'use',
  summary: 'asks this aggregator from now on',
  takesName: true,
  details: '--profile NAME asks another once; --url, HEADROOM_URL and HEADROOM_PROFILE come before it.',
  async run({ name, settings, io }) {
    const { url } = profileOf(settings, name, io.settings.path);
    await io.settings.write(settingsText({ ...settings, current: name }));
    return printable(`profile ${name} is in use: ${url}`).concat('\n');
  },
});

export const profileRemove = profileCommand({
  verb: 'remove',
  summary: 'forgets an aggregator and its token',
  takesName: true,
  details: 'The token itself stays good until it is revoked.',
  async run({ name, settings, io }) {
    profileOf(settings, name, io.settings.path);
    const { [name]: _gone, ...profiles } = settings.profiles;
    const { current } = settings;
    await io.settings.write(settingsText({ ...(current === undefined || current === name ? {} : { current }), profiles }));
    return printable(`profile ${name} is forgotten`).concat('\n');
  },
});
