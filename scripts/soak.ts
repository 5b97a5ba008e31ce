/**
 * `npm run soak -- NAME [--seed N] [--OPTION N] [--json]`: one long run of what tests do in small. Input: its name; output: progress
 * on stderr, then its figures, with `--json` as one object in the last line of stdout. Exits 1 when something did not hold.
 */
import { parseArgs } from 'node:util';
import { errorText } from '../shared/errors.ts';
import { SOAKS } from '../test/soak/all.ts';
import type { SoakAsked } from '../test/soak/soak.ts';
import { exitWhenInterrupted, tellFigures } from './figures.ts';

const HELP = `npm run soak -- NAME [--seed N] [--OPTION N] [--json]

${Object.entries(SOAKS)
  .map(([name, { about, options }]) => `  ${name.padEnd(12)}${about}${optionsOf(options)}`)
  .join('\n')}
`;

function optionsOf(options: Readonly<Record<string, string>>): string {
  const words = Object.entries(options).map(([option, value]) => `--${option} ${value}`);
  return words.length === 0 ? '' : `\n  ${' '.repeat(12)}  ${words.join(' ')}`;
}

function wanted(): { name: string; json: boolean; asked: SoakAsked } | null {
  try {
    const name = process.argv[2] ?? '';
    if (name === '-h' || process.argv.includes('--help')) {
      console.log(HELP);
      return null;
    }
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

exitWhenInterrupted();
const run = wanted();
if (run !== null) {
  try {
    tellFigures(await SOAKS[run.name]!.run(run.asked), run.json);
  } catch (error) {
    console.error(`${run.name}: ${errorText(error)}`);
    process.exitCode = 1;
  }
}
