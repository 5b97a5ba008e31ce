/**
 * `npm run bench -- NAME [--json]`: runs one benchmark. Input: its name; output: progress on stderr, then its figures, with
 * `--json` as one object in the last line of stdout. Says the machine it ran on; asserts nothing about speed.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { errorText } from '../shared/errors.ts';
import { BENCHMARKS } from '../test/bench/all.ts';
import { exitWhenInterrupted, tellFigures } from './figures.ts';

const HELP = `npm run bench -- NAME [--json]

${Object.entries(BENCHMARKS)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n')}

Figures are of this machine and this run: take several, on a quiet machine.
`;

function wanted(): { name: string; json: boolean } | null {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
    });
    if (values.help) {
      console.log(HELP);
      return null;
    }
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new Error('name one benchmark');
    if (!Object.hasOwn(BENCHMARKS, name)) throw new Error(`no benchmark is called "${name}"`);
    return { name, json: values.json };
  } catch (error) {
    console.error(`${errorText(error)}\n\n${HELP}`);
    process.exitCode = 2;
    return null;
  }
}

exitWhenInterrupted();
const asked = wanted();
if (asked !== null) {
  const processors = cpus();
  const machine = `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  console.error(`${asked.name} on ${machine}`);
  const figures = { ...(await BENCHMARKS[asked.name]!.run((progress) => console.error(`  ${progress}`))), machine };
  tellFigures(figures, asked.json);
}
