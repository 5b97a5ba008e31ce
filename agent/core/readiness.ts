/**
 * The application's probe: a VM labelled `readiness=app` is ready when its guest agent reports the application's metric
 * `ready` as 1 or more, by whichever way metrics are handed over. A claim, and it decides no more than this. Pure.
 */
import type { TelemetryBlock } from '../../shared/telemetry.ts';

const READY_FIELD = 'vm_app.ready';

/** `null`: nothing was said, or nothing yet. */
export type Probe = boolean | null;

/** The newest word in these rows; null = none. */
export function readyIn(blocks: readonly TelemetryBlock[]): Probe {
  let newestMs = Number.NEGATIVE_INFINITY;
  let ready: Probe = null;
  for (const { fields, timesMs, values } of blocks) {
    const column = fields.indexOf(READY_FIELD);
    if (column < 0) continue;
    for (const [row, timeMs] of timesMs.entries()) {
      const value = values[row * fields.length + column]!;
      if (Number.isNaN(value) || timeMs < newestMs) continue;
      newestMs = timeMs;
      ready = value >= 1;
    }
  }
  return ready;
}

/** Does its administrator want the application's word before the VM counts as ready? */
export function asksForProbe(labels: Readonly<Record<string, string>>): boolean {
  return labels.readiness === 'app';
}
