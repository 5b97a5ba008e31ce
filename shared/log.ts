/**
 * Logs as JSON lines: `{"time", "level", "message", …fields}`. Input: level, message, fields; output: one line handed to a
 * sink. Small on purpose: the agent is one file that must not carry a logging framework.
 */
import type { Clock } from './clock.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Lines below `least` are not made. */
export function createLogger(write: (line: string) => void, clock: Clock, least: LogLevel): Logger {
  const threshold = LOG_LEVELS.indexOf(least);
  const at =
    (level: LogLevel) =>
    (message: string, fields: Record<string, unknown> = {}): void => {
      if (LOG_LEVELS.indexOf(level) < threshold) return;
      write(`${JSON.stringify({ time: new Date(clock.wallMs()).toISOString(), level, message, ...fields })}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
