/**
 * Results and events until the other side has read them. Input: frames, and word of what was sent, confirmed or lost
 * with its connection. Output: the frames to send next, in order, at least once each. Bounded: the oldest goes first and
 * is counted. Pure.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';

export type OutboxFrame = FrameOf<
  'event' | 'result' | 'vm-action-result' | 'build-result' | 'suspend-result' | 'suspended' | 'hint' | 'credential'
>;

/** Kept until it was read. */
interface Kept {
  frame: OutboxFrame;
  /** A side that does not understand it would end the connection; null = all do. */
  capability: string | null;
}

/** A storm of events on a large host while the aggregator restarts; some 500 B each. */
export const OUTBOX_FRAMES_MAX = 2048;

export class Outbox {
  readonly #framesMax: number;
  #waiting: Kept[] = [];
  #sent: Kept[] = [];
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

  /** `capability`: what the other side must understand. False when something older had to be dropped for it. */
  add(frame: OutboxFrame, capability: string | null = null): boolean {
    this.#waiting.push({ frame, capability });
    if (this.#waiting.length + this.#sent.length <= this.#framesMax) return true;
    if (this.#sent.length > 0) this.#sent.shift();
    else this.#waiting.shift();
    this.dropped++;
    return false;
  }

  /**
   * Takes the next frame that a side with these capabilities understands; it counts as sent. The others keep their places: who is
   * connected next may be newer.
   */
  next(capabilities: readonly string[]): OutboxFrame | undefined {
    const at = this.#waiting.findIndex(({ capability }) => capability === null || capabilities.includes(capability));
    if (at < 0) return undefined;
    const kept = at === 0 ? this.#waiting.shift()! : this.#waiting.splice(at, 1)[0]!;
    this.#sent.push(kept);
    return kept.frame;
  }

  /** A mark of what has been sent so far, for `confirm`. */
  mark(): ReadonlySet<unknown> {
    return new Set(this.#sent);
  }

  /** The other side has read these. */
  confirm(mark: ReadonlySet<unknown>): void {
    this.#sent = this.#sent.filter((kept) => !mark.has(kept));
  }

  /** The connection ended: what was not confirmed goes again, before what waits. */
  connectionLost(): void {
    this.#waiting = [...this.#sent, ...this.#waiting];
    this.#sent = [];
  }
}
