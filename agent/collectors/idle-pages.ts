/**
 * Pages nobody touched since they were last looked at, by the kernel's idle page tracking (/sys/kernel/mm/page_idle/bitmap,
 * one bit a page frame, root only; kernel: admin-guide/mm/idle_page_tracking). Input: the bitmap; output: pages that stayed
 * idle for a whole round. A slice a sample: looking at a page walks its mappings, about a microsecond each, so that a round
 * over 1 GiB takes some four minutes and costs a tenth of a percent of one CPU.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A multiple of 8 bytes, as the kernel wants: 1,024 page frames. */
const SLICE_BYTES = 128;

export interface IdlePages {
  /** Looks at the next slice; answers the idle pages of the last whole round, NaN before there is one or without tracking. */
  next(): number;
  close(): void;
}

/** `root` is `/` on a machine. Kernels without the feature, or not being root, give NaN for ever. */
export function openIdlePages(root: string): IdlePages {
  let descriptor = openBitmap(join(root, 'sys/kernel/mm/page_idle/bitmap'));
  const slice = Buffer.alloc(SLICE_BYTES);
  const marks = Buffer.alloc(SLICE_BYTES, 0xff);
  let at = 0;
  let idle = 0;
  let rounds = 0;
  let told = Number.NaN;

  const close = (): void => {
    if (descriptor !== null) closeSync(descriptor);
    descriptor = null;
  };

  const look = (file: number): void => {
    const got = readSync(file, slice, 0, SLICE_BYTES, at);
    if (got === 0) {
      // The first round only marks.
      if (rounds++ > 0) told = idle;
      idle = 0;
      at = 0;
      return;
    }
    for (let i = 0; i < got; i++) idle += bits(slice[i]!);
    writeSync(file, marks, 0, got, at);
    at += got;
  };

  return {
    next() {
      if (descriptor === null) return Number.NaN;
      try {
        look(descriptor);
      } catch {
        // Not permitted after all, or the memory went away: unknown from now on.
        close();
        told = Number.NaN;
      }
      return told;
    },
    close,
  };
}

function openBitmap(path: string): number | null {
  try {
    return openSync(path, 'r+');
  } catch {
    return null;
  }
}

function bits(byte: number): number {
  let count = 0;
  for (let rest = byte; rest > 0; rest &= rest - 1) count++;
  return count;
}
