/**
 * The services of a run as child processes, each with its log in the run directory. Stopping is orderly first, then not.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { HeadroomError } from '../shared/errors.ts';
import type { RunDirectory } from './run-directory.ts';

/** Time for an orderly end: an agent may be waiting for libvirt, an aggregator for its store. */
const STOP_MS = 20_000;

export interface Service {
  readonly name: string;
  readonly running: boolean;
  /** The end of its log, for messages. */
  lastWords(): string;
  stop(): Promise<void>;
}

export function startService(name: string, args: readonly string[], run: RunDirectory, environment: NodeJS.ProcessEnv): Service {
  const log = run.file(`${name}.log`);
  const output = openSync(log, 'a');
  // A group of its own: Ctrl-C in the terminal must reach the demo alone, which then ends its services in order.
  const child: ChildProcess = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: ['ignore', output, output],
    env: environment,
    detached: true,
  });
  closeSync(output);
  if (child.pid === undefined) throw new HeadroomError('ENVIRONMENT', `${name} could not be started with ${process.execPath}`);
  run.noteProcess(child.pid);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    name,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    lastWords: () => readFileSync(log, 'utf8').trim().split('\n').slice(-12).join('\n'),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(deadline);
    },
  };
}
