/** A file or folder of this machine's disk, on the disk itself once this resolves: it outlives a power cut from then on. Rejects as the kernel does. */
import { open } from 'node:fs/promises';

export async function synced(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
