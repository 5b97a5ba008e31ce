/**
 * `npm run soak -- guests`: what VM states, anomalies, logins, guests' own hints, plugged memory and vCPUs do on real guests under
 * emulation, which takes twenty minutes and a machine with nothing else to do: guests that share their cores with others boot late and are killed where real ones would not be. Input: rounds;
 * output: rounds that held, by file.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Soak, SoakAsked } from './soak.ts';

const FILES = ['states', 'anomaly', 'credentials', 'hint', 'plugged-memory', 'vcpus'] as const;
/** What is kept of a run that failed: what did not hold, with lines that say why, and its end. */
const FAILED_LINES = 16;
const TAIL_CHARACTERS = 4000;

async function held(file: string): Promise<{ ok: boolean; said: string }> {
  const args = ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'guests', `${file}.ts`)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TAP_TIMEOUT: '600' } });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { ok: code === 0, said: `${failuresOf(said)}\n…\n${said.slice(-TAIL_CHARACTERS)}` };
}

function failuresOf(said: string): string {
  const lines = said.split('\n');
  const at = lines.flatMap((line, i) => (/^\s+not ok /.test(line) ? [i] : []));
  return at.map((i) => lines.slice(i, i + FAILED_LINES).join('\n')).join('\n');
}

export const guests: Soak = {
  about: 'VM states, loans, anomalies, logins, hints, plugged memory and vCPUs on real guests under emulation, again and again (--rounds)',
  options: { rounds: '1' },
  async run({ numbers, tell }: SoakAsked) {
    const rounds = numbers.rounds!;
    const figures: Record<string, number> = { rounds };
    let failure = '';
    for (const file of FILES) {
      figures[file] = 0;
      for (let round = 1; round <= rounds; round++) {
        tell(`${file}, round ${round} of ${rounds}`);
        const { ok, said } = await held(file);
        if (ok) figures[file]++;
        else failure = `${file}, round ${round}:\n${said}`;
      }
    }
    if (failure !== '') throw new Error(`${JSON.stringify(figures)}\n${failure}`);
    return figures;
  },
};
