/**
 * The files by which lending and borrowing programs tell of themselves, in a folder that is gone after a reboot, as what they tell of
 * is. Each is replaced as a whole. Readable by all, since the host agent runs as a user of its own: nothing of a guest's memory
 * is in them.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { startTicksIn } from '../core/proc-stat.ts';
import { type FoundSlice, parseSliceState, type SliceKind, type SliceState } from '../core/slice-state.ts';

const FOR_ALL = { folder: 0o755, file: 0o644 };

export const borrowedName = (vm: VmId, kind: SliceKind): string => `borrowed-${kind === 'memory' ? '' : `${kind}-`}${vm}.json`;
export const lentName = (port: number): string => `lent-${port}.json`;

/** Throws ENVIRONMENT. */
export function writeState(folder: string, name: string, state: SliceState): void {
  const path = join(folder, name);
  try {
    mkdirSync(folder, { recursive: true, mode: FOR_ALL.folder });
    writeFileSync(`${path}.new`, JSON.stringify(state), { mode: FOR_ALL.file });
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `could not write ${path}: ${errorText(error)}`, { cause: error });
  }
}

export function removeState(folder: string, name: string): void {
  rmSync(join(folder, name), { force: true });
}

/** Null: there is none, or it cannot be read. */
export function readState(folder: string, name: string): SliceState | null {
  try {
    return parseSliceState(readFileSync(join(folder, name), 'utf8'));
  } catch {
    return null;
  }
}

/** All of a folder; none where there is no such folder. */
export function findSlices(folder: string): FoundSlice[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => readState(folder, name) ?? [])
    .map((state) => ({ state, alive: startTicks(state.pid) === state.startTicks }));
}

/** When a process began, clock ticks after boot; null = there is none. */
export function startTicks(pid: number | 'self'): number | null {
  try {
    return startTicksIn(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}
