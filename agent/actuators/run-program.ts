/**
 * Runs one program of the guest with text on its standard input, as an account where one is named. Input: program, arguments,
 * text; output: nothing, or ENVIRONMENT with what it said. Nothing of the text is ever in an argument, a log or an error.
 */
import { spawn } from 'node:child_process';
import { HeadroomError } from '../../shared/errors.ts';

export interface ProgramRun {
  program: string;
  args?: readonly string[];
  input: string;
  /** Runs as this account and not as root. */
  as?: { uid: number; gid: number };
  timeoutMs: number;
}

/** What is kept of a program's complaint. */
const SAID_MAX = 500;

export function runProgram({ program, args = [], input, as, timeoutMs }: ProgramRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown): void => reject(new HeadroomError('ENVIRONMENT', `${program}: ${what}`, { cause }));
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], timeout: timeoutMs, cwd: '/', ...as });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString('utf8')).slice(0, SAID_MAX)));
    // A program that ends before it has read everything says why by its exit code.
    child.stdin.on('error', () => undefined);
    child.once('error', (error) => fail(error.message, error));
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else
        fail(signal === null ? `exit code ${code}: ${said.trim() || 'it said nothing'}` : `ended by ${signal} (at most ${timeoutMs} ms)`);
    });
    child.stdin.end(input);
  });
}
