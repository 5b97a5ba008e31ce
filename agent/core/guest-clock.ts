/**
 * Guest time only orders samples; rows are labelled by the host's clock. Input: a guest's wall clock at sending and the
 * host's at receipt, and row times. Output: the same rows in host time. The offset changes only when it is clearly
 * wrong, so that a row sent twice gets the same label twice. Pure.
 */
import type { TelemetryBlock } from '../../shared/telemetry.ts';

/** Below this, guest and host clocks agree: both are kept by NTP or the hypervisor's clock, and frames take time. */
const OFFSET_MS_MIN = 2000;
/** A row may not lie further in the future than the offset can be wrong. */
const FUTURE_MS_MAX = 5000;

export class GuestClock {
  #offsetMs = 0;

  /** A frame sent at `guestWallMs` by the guest's clock arrived at `hostWallMs` by ours. */
  observe(guestWallMs: number, hostWallMs: number): void {
    const offsetMs = Math.round(hostWallMs - guestWallMs);
    if (Math.abs(offsetMs - this.#offsetMs) > OFFSET_MS_MIN) this.#offsetMs = Math.abs(offsetMs) > OFFSET_MS_MIN ? offsetMs : 0;
  }

  /** The block in host time, or null when its rows would lie in the future or before 1970. */
  toHostTime(block: TelemetryBlock, hostWallMs: number): TelemetryBlock | null {
    const rows = block.timesMs.length;
    if (rows === 0) return null;
    const last = block.timesMs[rows - 1]! + this.#offsetMs;
    if (last > hostWallMs + FUTURE_MS_MAX || block.timesMs[0]! + this.#offsetMs < 0) return null;
    if (this.#offsetMs === 0) return block;
    return { ...block, timesMs: block.timesMs.map((time) => time + this.#offsetMs) };
  }
}
