/**
 * What the snapshot store asks of a disk, small enough to be simulated with all its treachery: what was written and not synced
 * may be gone after a power cut, and so may a name that was given or taken away before its folder was synced. Paths are
 * relative to the store, with `/`. Rejects with the system's own errors.
 */
export interface StoreFiles {
  /** Names in a folder, sorted; none when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Bytes of a file, null when there is none. */
  size(path: string): Promise<number | null>;
  /** Fewer bytes than asked for at the end of the file; null when there is none. */
  read(path: string, offset: number, length: number): Promise<Buffer | null>;
  /** It and those around it are there, on the disk, once this resolves. */
  makeFolder(folder: string): Promise<void>;
  /** Creates the file, or replaces what it holds; not durable yet. */
  write(path: string, parts: readonly Uint8Array[]): Promise<void>;
  /** What the file holds is on the disk once this resolves. */
  sync(path: string): Promise<void>;
  /** Within one folder. */
  rename(from: string, to: string): Promise<void>;
  /** Names given and taken away in the folder are on the disk once this resolves. */
  syncFolder(folder: string): Promise<void>;
  /** No error when it is gone already. */
  remove(path: string): Promise<void>;
  /** Where files lie in several places; absent = there is one. */
  readonly near?: {
    /** It lies in the quickest. */
    has(path: string): boolean;
    /** So many bytes that are written next go there. */
    makeRoom(bytes: number): Promise<boolean>;
  };
}

/** Begin of the names of files that are not whole yet. */
const UNFINISHED = '.new-';

export const isUnfinished = (name: string): boolean => name.startsWith(UNFINISHED);

/** After this resolves the file is there, whole, whatever happens; before, there is the old one or none. */
export async function putDurably(files: StoreFiles, folder: string, name: string, parts: readonly Uint8Array[]): Promise<void> {
  const temporary = `${folder}/${UNFINISHED}${name}`;
  await files.write(temporary, parts);
  await files.sync(temporary);
  await files.rename(temporary, `${folder}/${name}`);
  await files.syncFolder(folder);
}

/** The whole of a file, null when there is none. */
export async function readWhole(files: StoreFiles, path: string): Promise<Buffer | null> {
  const bytes = await files.size(path);
  return bytes === null ? null : files.read(path, 0, bytes);
}
