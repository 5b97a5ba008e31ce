/**
 * A connection to libvirt of one part's own, opened when it is first needed and again when it broke, without events. Input: where
 * libvirt is; output: its calls, or HYPERVISOR_UNAVAILABLE while it cannot be had.
 */
import type { LibvirtOptions } from './adapter.ts';
import { parseConnectUri } from './connect-uri.ts';
import type { LibvirtApi } from './procedures.ts';
import { createSession } from './session.ts';

const CALL_DEADLINE_MS = 10_000;

export interface OwnSession {
  readonly callDeadlineMs: number;
  api(): Promise<LibvirtApi>;
  close(): void;
}

export function openOwnSession({ uri, clock, prng, callDeadlineMs = CALL_DEADLINE_MS }: LibvirtOptions): OwnSession {
  const session = createSession({
    ...{ target: parseConnectUri(uri, false), readOnly: false, clock, prng, callDeadlineMs },
    onEvent: () => undefined,
  });
  let connecting: Promise<void> | null = null;
  return {
    callDeadlineMs,
    async api() {
      if (!session.connected) {
        // Whoever comes meanwhile waits for the same attempt.
        connecting ??= session.connect().finally(() => {
          connecting = null;
        });
        await connecting;
      }
      return session.control();
    },
    close: () => session.close(),
  };
}
