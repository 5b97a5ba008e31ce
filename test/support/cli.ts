/** The command line within this process: a line in, what it printed and its exit code out. */
import { COMMANDS } from '../../aggregator/cli/commands.ts';
import { runCli } from '../../aggregator/cli/run.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { keptSettings } from './cli-world.ts';

export interface CliSetting {
  clock?: Clock;
  /** Output goes to a terminal: progress is drawn. */
  terminal?: boolean;
  stop?: AbortSignal;
}

/** Words of the line are parted at single spaces. */
export async function headroom(line: string, setting: CliSetting = {}): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' };
  const code = await runCli({ commands: COMMANDS, version: '0' }, line.split(' '), {
    out: (text) => {
      printed.out += text;
    },
    err: (text) => {
      printed.err += text;
    },
    env: {},
    read: async () => '',
    settings: keptSettings(),
    fetch,
    clock: setting.clock ?? systemClock,
    stop: setting.stop ?? new AbortController().signal,
    catchInterrupts: () => undefined,
    terminal: setting.terminal ?? false,
    rows: () => 24,
  });
  return { code, ...printed };
}
