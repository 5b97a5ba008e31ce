/** Runs a program to its end. Input: a command; output: its stdout; throws with its last lines when it fails. */
import { spawnSync } from 'node:child_process';

/** debootstrap and a playbook take minutes on a busy machine. */
const RUN_MS_MAX = 30 * 60_000;
const LINES_SHOWN = 12;

export interface RunOptions {
  environment?: Readonly<Record<string, string>>;
  directory?: string;
}

export interface Done {
  status: number;
  output: string;
}

export function runToEnd(program: string, args: readonly string[], { environment, directory }: RunOptions = {}): Done {
  const done = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: RUN_MS_MAX,
    env: { ...process.env, ...environment },
    ...(directory === undefined ? {} : { cwd: directory }),
  });
  if (done.error) throw new Error(`${program}: ${done.error.message}`);
  return { status: done.status ?? 1, output: `${done.stdout}${done.stderr}` };
}

export function runChecked(program: string, args: readonly string[], options?: RunOptions): string {
  const { status, output } = runToEnd(program, args, options);
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')} ended with ${status}:\n${output.trim().split('\n').slice(-LINES_SHOWN).join('\n')}`);
  return output;
}
