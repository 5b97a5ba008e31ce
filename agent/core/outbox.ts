/**
 * Results and events until the other side has read them. Input: frames, and word of what was sent, confirmed or lost
 * with its connection. Output: the frames to send next, in order, at least once each. Bounded: the oldest goes first and
 * is counted. Pure.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';

export type OutboxFrame = FrameOf<
  'event' | 'result' | 'vm-action-result' | 'build-result' | 'suspend-result' | 'suspended' | 'hint' | 'credential'
>;

/** A storm of events on a large host while the aggregator restarts; some 500 B each. */
export const OUTBOX_FRAMES_MAX = 2048;

export class Outbox {
  readonly #framesMax: number;
  #waiting: OutboxFrame[] = [];
  #sent: OutboxFrame[] = [];
  dropped = 0;

  constructor(framesMax: number = OUTBOX_FRAMES_MAX) {
    this.#framesMax = framesMax;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Sent, and not yet known to have been read. */
  get unconfirmed(): number {
    return this.#sent.length;
  }

  /** False when something older had to be dropped for it. */
  add(frame: OutboxFrame): boolean {
    this.#waiting.push(frame);
    if (this.#waiting.length + this.#sent.length <= this.#framesMax) return true;
    if (this.#sent.length > 0) this.#sent.shift();
    else this.#waiting.shift();
    this.dropped++;
    return false;
  }

  /** Takes the next frame; it counts as sent. */
  next(): OutboxFrame | undefined {
    const frame = this.#waiting.shift();
    if (frame) this.#sent.push(frame);
    return frame;
  }

  /** A mark of what has been sent so far, for `confirm`. */
  mark(): ReadonlySet<OutboxFrame> {
    return new Set(this.#sent);
  }

  /** The other side has read these. */
  confirm(mark: ReadonlySet<OutboxFrame>): void {
    this.#sent = this.#sent.filter((frame) => !mark.has(frame));
  }

  /** The connection ended: what was not confirmed goes again, before what waits. */
  connectionLost(): void {
    this.#waiting = [...this.#sent, ...this.#waiting];
    this.#sent = [];
  }
}
