/**
 * A VM's disk that its host alone sees, as it is written down beside the VM's suspension: which snapshot of it goes with which snapshot of
 * its memory, and the file that was like it. Pure words, and the one rule on them.
 */

import type { DiskState } from '../../shared/protocol/suspend-frames.ts';
import type { TouchScore } from './touch-model.ts';

/** Which file it was, and how it stood: one that was written to since is another. */
export interface FileStamp {
  dev: number;
  ino: number;
  size: number;
  modifiedMs: number;
}

export interface HeldDisk {
  /** As its definition names it: vda. */
  target: string;
  path: string;
  format: DiskFormat;
  bytes: number;
  /** Its contents in the chunk store. */
  snapshot: string;
  /** The snapshot of the memory that was taken at the same moment, or `BROKEN`. */
  of: string;
  /** Since then the image notes itself under this name what is written to it; null = it does not. */
  bitmap: string | null;
  /** Null: it comes from another host, and its file is not there yet. */
  stamp: FileStamp | null;
  /** Its file does not hold all of it yet, and reads the rest from here; absent = it stands alone. */
  served?: ServedDisk;
  /** How well what it reads first was foretold when it came last; absent = it was not. */
  score?: TouchScore;
}

/** What becomes of its guest when it cannot be written or read, as the definition has it; null = that does not say. */
export interface DiskPolicies {
  errorPolicy: string | null;
  readErrorPolicy: string | null;
}

export interface ServedDisk extends DiskPolicies {
  socket: string;
  /** Who began to make it whole, in words that nobody else has: the boot of the host, the run of its VM; null = nobody did. */
  filledBy: string | null;
}

/** What the store has of it is not all as it was written: it goes with no memory. */
export const BROKEN = '';

export const DISK_FORMATS = ['qcow2', 'raw'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

/** A disk of a definition that lies in a file; a problem in words = it cannot be taken along. */
export interface DefinedDisk {
  target: string;
  path: string;
  format: DiskFormat;
  problem: string | null;
}

export const sameStamp = (a: FileStamp, b: FileStamp): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.modifiedMs === b.modifiedMs;

/** `snapshot`: of the memory that the VM is suspended into. */
export function diskState({ of, stamp, served }: HeldDisk, snapshot: string | null): DiskState {
  if (stamp === null || served !== undefined) return 'arriving';
  return of === snapshot ? 'taken' : 'due';
}
