/**
 * Runs one program to its end without blocking the event loop. Input: program, arguments, limits; output: exit status and
 * what it printed. `runChecked` turns a failure into ENVIRONMENT with the program's own last words.
 */
import { spawn } from 'node:child_process';
import { HeadroomError } from '../../shared/errors.ts';

export interface CommandResult {
  /** Exit status; null when the program was killed (deadline) or could not be started. */
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface CommandOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  timeoutMs?: number;
  stdin?: string;
}

/** Programs such as virsh answer in well under a second; only package downloads are slower and say so themselves. */
const TIMEOUT_MS_DEFAULT = 60_000;

export function runCommand(program: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const deadline = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? TIMEOUT_MS_DEFAULT);
    child.on('error', (error) => {
      clearTimeout(deadline);
      resolve({ status: null, stdout, stderr: error.message });
    });
    child.on('close', (status) => {
      clearTimeout(deadline);
      resolve({ status, stdout, stderr });
    });
    // A program that ends before it reads its input closes the pipe: its exit status tells more than EPIPE would.
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin ?? '');
  });
}

export async function runChecked(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await runCommand(program, args, options);
  if (status === 0) return stdout;
  const words = (stderr || stdout).trim().split('\n').slice(-8).join('\n');
  const how = status === null ? 'did not end in time or could not be started' : `exited with ${status}`;
  throw new HeadroomError('ENVIRONMENT', `"${program} ${args.join(' ')}" ${how}: ${words}`);
}
