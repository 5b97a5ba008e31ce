/**
 * A stream of bytes as a place to take exactly so many from. Input: a duplex stream; output: a function for one caller at a time,
 * which rejects when the stream ends before. What nobody has asked for yet is not read beyond a little: the sender waits.
 */
import type { Duplex } from 'node:stream';

/** Held without being asked for: a few of the largest records of TLS. */
const HELD_BYTES_MAX = 256 * 1024;

export function createTaker(stream: Duplex): (bytes: number) => Promise<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  let wanted = 0;
  let wake: (() => void) | null = null;
  let ended = false;
  stream.on('data', (bytes: Buffer) => {
    parts.push(bytes);
    held += bytes.length;
    if (held >= wanted) wake?.();
    if (held > Math.max(wanted, HELD_BYTES_MAX)) stream.pause();
  });
  stream.on('close', () => {
    ended = true;
    wake?.();
  });
  return async (bytes) => {
    wanted = bytes;
    while (held < bytes) {
      if (ended || stream.destroyed) throw new Error('the other side is gone');
      stream.resume();
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    wanted = 0;
    wake = null;
    // Joined only when it takes more than one part, and then once.
    const [first] = parts;
    const whole = first !== undefined && first.length >= bytes ? first : Buffer.concat(parts);
    if (whole !== first) parts = [whole];
    if (parts.length > 0) parts[0] = whole.subarray(bytes);
    if (parts[0]?.length === 0) parts.shift();
    held -= bytes;
    return whole.subarray(0, bytes);
  };
}
