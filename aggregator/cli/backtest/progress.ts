/** How far a long run is and how long it will take, on standard error: redrawn in place on a terminal, else silent. */
import type { CliIo } from '../command.ts';

const WIDTH = 24;

export interface Progress {
  /** `done` of the whole, with what is at work now. */
  show(done: number, what: string): void;
  end(): void;
}

export function createProgress(io: CliIo, whole: number, ofWhat = 'VMs'): Progress {
  const startMs = io.clock.monotonicMs();
  return {
    show(done, what) {
      if (!io.terminal) return;
      const filled = Math.round((WIDTH * done) / whole);
      const leftSeconds = done === 0 ? null : (((io.clock.monotonicMs() - startMs) / done) * (whole - done)) / 1000;
      const left = leftSeconds === null ? '' : `, ${spoken(leftSeconds)} left`;
      io.err(`\r\u001b[K[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${done} of ${whole} ${ofWhat}${left}: ${what}`);
    },
    end() {
      if (io.terminal) io.err('\r\u001b[K');
    },
  };
}

function spoken(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}
