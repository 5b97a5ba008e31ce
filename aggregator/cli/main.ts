/** The `headroom` command as a process: its arguments, streams and signals around `runCli`. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { systemClock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { packageVersion } from '../package-version.ts';
import { COMMANDS } from './commands.ts';
import { runCli } from './run.ts';
import { settingsFile } from './settings-file.ts';

async function read(path: string): Promise<string> {
  if (path === '-') return text(process.stdin);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = (error as { code?: string }).code === 'ENOENT' ? 'NOT_FOUND' : 'USAGE';
    throw new HeadroomError(code, `${path} cannot be read: ${errorText(error)}`, { cause: error });
  }
}

// `headroom … | head` closes the pipe: that is the end of the work, not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

/** Of a terminal that does not say. */
const ROWS_DEFAULT = 24;

const interrupt = new AbortController();
function catchInterrupts(): void {
  // Once: whoever interrupts again means it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
}

process.exitCode = await runCli({ commands: COMMANDS, version: packageVersion() }, process.argv.slice(2), {
  out: (chunk) => process.stdout.write(chunk),
  err: (chunk) => process.stderr.write(chunk),
  env: process.env,
  read,
  settings: settingsFile(process.env),
  fetch,
  clock: systemClock,
  stop: interrupt.signal,
  catchInterrupts,
  terminal: process.stdout.isTTY === true,
  rows: () => process.stdout.rows ?? ROWS_DEFAULT,
});
if (interrupt.signal.aborted) process.exit();
