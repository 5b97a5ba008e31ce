/**
 * The command line in a test's own process: `headroom` against the real HTTP application over the made fleet, without a
 * socket. Input: a service; output: a function that runs a command line and tells what it printed and its exit code.
 */
import { COMMANDS } from '../../aggregator/cli/commands.ts';
import { runCli } from '../../aggregator/cli/run.ts';
import type { SettingsFile } from '../../aggregator/cli/settings-file.ts';
import { createHttpApp } from '../../aggregator/http/app.ts';
import type { AggregatorService } from '../../aggregator/http/service.ts';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';

export interface CliRun {
  code: number;
  out: string;
  err: string;
}

export interface CliWorld {
  run(line: string, files?: Record<string, string>): Promise<CliRun>;
  close(): Promise<void>;
}

export interface CliWorldOptions {
  /** Told of each text that reaches standard output; may abort the command. */
  onOut?: (text: string, interrupt: () => void) => void;
  terminal?: boolean;
  fetch?: typeof fetch;
  /** Besides USER. */
  env?: Record<string, string>;
  /** Lines of the terminal. */
  rows?: number;
}

/** A settings file in memory. */
export function keptSettings(): SettingsFile {
  let kept: string | null = null;
  return {
    path: '~/.config/headroom/config.yaml',
    read: async () => kept,
    async write(text) {
      kept = text;
    },
  };
}

export async function cliWorld(service: AggregatorService, options: CliWorldOptions = {}): Promise<CliWorld> {
  const app = options.fetch === undefined ? await createHttpApp(service) : null;
  const throughApp = (async (address: string, init: RequestInit = {}): Promise<Response> => {
    const { pathname, search } = new URL(address);
    const { statusCode, headers, payload } = await app!.inject({
      method: (init.method ?? 'GET') as 'GET',
      url: pathname + search,
      headers: { ...(init.headers as Record<string, string> | undefined), host: '127.0.0.1' },
      ...(init.body === undefined ? {} : { payload: init.body as string }),
    });
    return new Response(payload, { status: statusCode, headers: { 'content-type': String(headers['content-type']) } });
  }) as typeof fetch;
  const settings = keptSettings();
  return {
    async run(line, files = {}) {
      const printed = { out: '', err: '' };
      const interrupt = new AbortController();
      const code = await runCli({ commands: COMMANDS, version: '1.2.3' }, line.split(' ').filter(Boolean), {
        out: (text) => {
          printed.out += text;
          options.onOut?.(text, () => interrupt.abort());
        },
        err: (text) => {
          printed.err += text;
        },
        env: { USER: 'ada', ...options.env },
        settings,
        read: async (path) => {
          const text = files[path];
          if (text === undefined) throw new HeadroomError('NOT_FOUND', `${path}: no such file`);
          return text;
        },
        fetch: options.fetch ?? throughApp,
        clock: systemClock,
        stop: interrupt.signal,
        catchInterrupts: () => undefined,
        terminal: options.terminal ?? false,
        rows: () => options.rows ?? 24,
      });
      return { code, ...printed };
    },
    close: async () => app?.close(),
  };
}
