/**
 * `npm run soak -- NAME [--seed N] [--OPTION N] [--json]`: one long run of what tests do in small. Input: its name; output: progress
 * on stderr, then its figures, with `--json` as one object in the last line of stdout. Exits 1 when something did not hold.
 */
import { parseArgs } from 'node:util';
import { errorText } from '../shared/errors.ts';
import { SOAKS } from '../test/soak/all.ts';
import type { SoakAsked } from '../test/soak/soak.ts';

const HELP = `npm run soak -- NAME [--seed N] [--json]

${Object.entries(SOAKS)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}
`;

function wanted(): { name: string; json: boolean; asked: SoakAsked } | null {
  try {
    const name = process.argv[2] ?? '';
    if (!Object.hasOwn(SOAKS, name)) throw new Error(name === '' || name.startsWith('-') ? 'name one' : `no long run is called "${name}"`);
    const own = Object.entries(SOAKS[name]!.options).map(([option, value]) => [option, { type: 'string', default: value }] as const);
    const { values } = parseArgs({
      args: process.argv.slice(3),
      options: { seed: { type: 'string', default: '1' }, json: { type: 'boolean', default: false }, ...Object.fromEntries(own) },
    });
    const numberOf = (option: string): number => {
      const value = Number((values as Record<string, unknown>)[option]);
      if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${option} must be a whole number`);
      return value;
    };
    const numbers = Object.fromEntries(own.map(([option]) => [option, numberOf(option)]));
    return { name, json: values.json, asked: { seed: numberOf('seed'), numbers, tell: (progress) => console.error(`  ${progress}`) } };
  } catch (error) {
    console.error(`${errorText(error)}\n\n${HELP}`);
    process.exitCode = 2;
    return null;
  }
}

// What a soak started it stops as this process exits: an interrupted one too.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => process.exit(code));
}
const run = wanted();
if (run !== null) {
  try {
    const figures = await SOAKS[run.name]!.run(run.asked);
    for (const [name, value] of Object.entries(figures)) console.error(`${name.padEnd(22)} ${JSON.stringify(value)}`);
    if (run.json) console.log(JSON.stringify(figures));
  } catch (error) {
    console.error(`${run.name}: ${errorText(error)}`);
    process.exitCode = 1;
  }
}
