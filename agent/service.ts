/**
 * What every role of the program needs of its process: a log on stdout, signals, the kernel's random numbers, its own cost.
 * Input: the process and /proc; output: small adapters for the composition roots.
 */
import { readFileSync, writeSync } from 'node:fs';
import { systemClock } from '../shared/clock.ts';
import { errorText } from '../shared/errors.ts';
import { createLogger, type Logger, type LogLevel } from '../shared/log.ts';
import { serviceNotifier } from '../shared/service-notify.ts';
import type { SelfUsage } from './collectors/health.ts';

/** A stop that takes longer than this is cut short: the service manager would kill it anyway. */
const STOP_MS_MAX = 15_000;

export const readText = (path: string): string => readFileSync(path, 'utf8');

/** The kernel's own, so that a guest need not load a library of ciphers for two numbers. */
export const newUuid = (): string => readText('/proc/sys/kernel/random/uuid').trim();
export const randomSeed = (): number => Number.parseInt(newUuid().slice(0, 8), 16);

export const secondsToMs = (value: number): number => value * 1000;

export function selfUsage(): SelfUsage {
  const { user, system } = process.cpuUsage();
  return { cpuUs: user + system, rssBytes: process.memoryUsage.rss() };
}

export const stdoutLogger = (level: LogLevel): Logger => createLogger(writeLine, systemClock, level);

/** Straight to the descriptor: the stream takes memory, and is only made for a reader that is slow. */
function writeLine(line: string): void {
  try {
    writeSync(1, line);
  } catch {
    process.stdout.write(line);
  }
}

/** The service runs: its manager is told. Resolves to the exit code once a signal came and the service has stopped. */
export function untilStopped(log: Logger, stop: () => Promise<void>): Promise<number> {
  const manager = serviceNotifier(process.env);
  manager.ready();
  return new Promise((resolve) => {
    const end = (signal: string): void => {
      log.info('stopping', { signal });
      manager.stopping();
      const late = setTimeout(() => resolve(1), STOP_MS_MAX);
      stop().then(
        () => resolve(0),
        (error: unknown) => {
          log.error('could not stop cleanly', { error: errorText(error) });
          resolve(1);
        },
      );
      late.unref();
    };
    process.once('SIGTERM', () => end('SIGTERM'));
    process.once('SIGINT', () => end('SIGINT'));
  });
}
