/**
 * A real server as a child process of a test. Input: program, arguments, how to tell that it answers. Output: start, kill
 * and stop of that process alone; a test that breaks leaves none behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

const START_MS_MAX = 30_000;
const LOG_KEPT = 4000;
/** USER_HZ on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Program {
  start(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** CPU it has spent since its start, all its threads. */
  cpuSeconds(): number;
}

export interface ProgramOptions {
  command: string;
  args: readonly string[];
  /** Debian's name of what provides it, for the message when it is missing. */
  debianPackage: string;
  /** Resolves once it answers, rejects as long as it does not. */
  answers: () => Promise<unknown>;
}

export function programOf({ command, args, debianPackage, answers }: ProgramOptions): Program {
  let child: ChildProcess | null = null;
  let log = '';
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = child;
    child = null;
    if (ended === null || ended.exitCode !== null || ended.signalCode !== null) return;
    const gone = new Promise((resolve) => ended.once('exit', resolve));
    ended.kill(signal);
    await gone;
  };
  process.once('exit', () => child?.kill('SIGKILL'));
  return {
    async start() {
      const started = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      let failed: Error | null = null;
      started.once('error', (error) => {
        failed = new Error(`${command} cannot be started (${error.message}); install Debian's package ${debianPackage}`);
      });
      const keep = (chunk: Buffer): void => {
        log = (log + chunk.toString()).slice(-LOG_KEPT);
      };
      started.stdout.on('data', keep);
      started.stderr.on('data', keep);
      for (let waitedMs = 0; ; waitedMs += 50) {
        if (failed) throw failed;
        if (started.exitCode !== null || waitedMs > START_MS_MAX) throw new Error(`${command} does not answer:\n${log}`);
        const ready = await answers().then(
          () => true,
          () => false,
        );
        if (ready) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    kill: () => end('SIGKILL'),
    cpuSeconds() {
      const [, user, system] = /^.*\)(?: \S+){11} (\d+) (\d+)/.exec(readFileSync(`/proc/${child?.pid}/stat`, 'utf8')) ?? [];
      return (Number(user) + Number(system)) / TICKS_PER_SECOND;
    },
    stop: () => end('SIGTERM'),
  };
}
