/**
 * Keeps what a guest agent allocates on the same few pages. Input: the engine's collector (the launcher's `--expose-gc`), a
 * clock; output: collections. V8 collects young objects once a MiB of them has gathered: a sample a second takes over a
 * minute for that, and by then two MiB have been touched that the tenant gets back never. Looking every few seconds touches
 * a few hundred KiB instead (measured: 0.6 MiB less private memory), and takes a millisecond or so. Without the flag nothing is done.
 */
import type { Clock } from '../shared/clock.ts';

/** What starting needed is garbage by then. */
const STARTED_MS = 3000;
/** Some 70 KiB of young objects gather meanwhile. */
const PERIOD_MS = 5000;

export function keepHeapSmall(clock: Clock, collect: typeof globalThis.gc): void {
  if (collect === undefined) return;
  clock.setTimeout(() => {
    collect();
    clock.setInterval(() => collect({ type: 'minor' }), PERIOD_MS);
  }, STARTED_MS);
}
