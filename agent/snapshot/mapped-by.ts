/**
 * When the QEMU that is being started has the memory it was told of: only from then on does the kernel keep what is read of a file that
 * FUSE shows, and the hypervisor takes a while yet until it says that the guest is there. Input: the VM's UUID, the file, a root for
 * /proc; output: a question, answered yes once a process begun since has the file mapped.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileIdentity } from './device-number.ts';
import { mappingsIn } from './touched-chunks.ts';

/** To be called before the hypervisor is told to start it. */
export async function mappedSince(uuid: string, file: FileIdentity, procfs = '/proc'): Promise<() => Promise<boolean>> {
  const before = new Set(await readdir(procfs));
  const hasIt = async (pid: string): Promise<boolean> => {
    const words = await readFile(join(procfs, pid, 'cmdline'), 'utf8').catch(() => '');
    // Before it becomes QEMU it is the hypervisor's own.
    if (!words.includes(`\0-uuid\0${uuid}\0`)) return false;
    return (await mappingsIn(Number(pid), file, procfs).catch(() => [])).length > 0;
  };
  return async () => {
    for (const pid of await readdir(procfs)) if (/^\d+$/.test(pid) && !before.has(pid) && (await hasIt(pid))) return true;
    return false;
  };
}
