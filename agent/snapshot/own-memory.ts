/**
 * The file in which a VM's own definition puts its memory. Taken away at the end of a suspension: it would hold its memory in RAM all the
 * while, and one that is there again tells that somebody else started the VM. Input: its path; output: whether it is there, or gone.
 */
import { rm, stat } from 'node:fs/promises';

export async function ownMemoryExists(path: string): Promise<boolean> {
  return (await orNull(stat(path)))?.isFile() === true;
}

/** Only a plain file: what else a definition may name as memory is not ours to take away. */
export async function freeOwnMemory(path: string): Promise<void> {
  if (await ownMemoryExists(path)) await rm(path);
}

const orNull = <T>(answer: Promise<T>): Promise<T | null> => answer.catch(() => null);
