/** A pause that an interrupt ends early. Input: the world, milliseconds. */
import type { CliIo } from './command.ts';

export function pause({ clock, stop }: Pick<CliIo, 'clock' | 'stop'>, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      timer.cancel();
      stop.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimeout(end, delayMs);
    stop.addEventListener('abort', end);
  });
}
