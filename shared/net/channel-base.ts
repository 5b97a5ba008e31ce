/**
 * What all transport adapters have in common: listeners that may come late, pause and resume, and a close that is told
 * once. Input: messages and the end as the adapter sees them. Output: the listener side of Transport.
 */
import { HeadroomError, isHeadroomError } from '../errors.ts';

/** Outgoing bytes above which `send` answers false: a second of a very busy host, small against a process's memory. */
export const HIGH_WATER_BYTES = 1024 * 1024;
/** Below this the sender is called back. */
export const LOW_WATER_BYTES = 256 * 1024;
/** Messages kept while paused or before a listener is there; adapters stop reading long before, so more is a flood. */
const INBOX_MESSAGES_MAX = 4096;

export class ChannelBase {
  #message: ((message: Uint8Array) => void) | undefined;
  #drain: (() => void) | undefined;
  #close: ((error?: Error) => void) | undefined;
  #inbox: Uint8Array[] = [];
  #paused = false;
  #delivering = false;
  #ended: { error: Error | undefined } | undefined;
  #closeTold = false;

  get closed(): boolean {
    return this.#ended !== undefined;
  }

  get paused(): boolean {
    return this.#paused;
  }

  onMessage(listener: (message: Uint8Array) => void): void {
    this.#message = listener;
    queueMicrotask(() => this.#deliver());
  }

  onDrain(listener: () => void): void {
    this.#drain = listener;
  }

  onClose(listener: (error?: Error) => void): void {
    this.#close = listener;
    if (this.#ended) queueMicrotask(() => this.#tellClose());
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  /** False when the inbox overflowed: the adapter should end the connection. */
  received(message: Uint8Array): boolean {
    if (this.#ended) return true;
    this.#inbox.push(message);
    this.#deliver();
    return this.#inbox.length <= INBOX_MESSAGES_MAX;
  }

  drained(): void {
    if (!this.#ended) this.#drain?.();
  }

  /** Ends the connection for the listeners; only the first call counts. Messages that came before are delivered first. */
  ended(error?: Error): void {
    if (this.#ended) return;
    this.#ended = { error };
    this.#deliver();
    if (this.#paused) this.#inbox = [];
    this.#tellClose();
  }

  #deliver(): void {
    if (this.#delivering || !this.#message) return;
    this.#delivering = true;
    try {
      // By index, not by shift: a burst after a pause would cost its square.
      let next = 0;
      while (next < this.#inbox.length && !this.#paused) this.#message(this.#inbox[next++]!);
      this.#inbox.splice(0, next);
    } finally {
      this.#delivering = false;
    }
  }

  #tellClose(): void {
    if (this.#closeTold || !this.#close) return;
    this.#closeTold = true;
    this.#close(this.#ended?.error);
  }
}

/** Wraps what the operating system or a library said about a lost connection. */
export function connectionError(peer: string, cause: unknown): HeadroomError {
  if (isHeadroomError(cause)) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  return new HeadroomError('CONNECTION_CLOSED', `connection to ${peer} failed: ${text}`, { cause });
}
