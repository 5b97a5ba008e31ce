/**
 * How many requests the kernel has under way at a FUSE mount of which nobody waits for an answer: what it reads ahead and what it writes
 * back. Input: the mount's device; output: one at a time from now on. Throws ENVIRONMENT where the kernel does not let us.
 *
 * QEMU's FUSE export (7.2 does; upstream changed it in 2026) takes the next request into the buffer of a write that is under way while it waits for
 * what lies below: of two pages written back side by side one gets the other's contents, and the guest finds that when the page is read
 * again. One by one, each is right: what else comes meanwhile (a page that a guest waits for) is no longer than what stands before a
 * write's data in the buffer.
 */
import { spawn } from 'node:child_process';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { deviceNumber } from './device-number.ts';

const SWITCHES = '/sys/fs/fuse/connections';
const UNDER_WAY_MAX = 1;
/**
 * QEMU asks huge pages for its memory, so Linux reads four mebibytes around a page that is not there: two, and two ahead. From so many
 * requests on it counts the mount as congested, and leaves out a part of what is ahead.
 */
const CONGESTED_FROM = 1;

export async function oneAtATime(device: number, switches = SWITCHES): Promise<void> {
  // Devices of no hardware are counted by their minor number alone.
  const folder = join(switches, String(deviceNumber(device).minor));
  try {
    if (!(await isThere(folder))) await mountSwitches(switches);
    await writeFile(join(folder, 'max_background'), String(UNDER_WAY_MAX), { flag: 'r+' });
    await writeFile(join(folder, 'congestion_threshold'), String(CONGESTED_FROM), { flag: 'r+' });
  } catch (error) {
    const words = "the kernel's switches for FUSE cannot be used, without which memory shown by it is not safe";
    throw new HeadroomError('ENVIRONMENT', `${words}: ${errorText(error)}`, { cause: error });
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** As systemd does at each start of a host. */
async function mountSwitches(switches: string): Promise<void> {
  const mount = spawn('mount', ['-t', 'fusectl', 'fusectl', switches], { stdio: 'ignore' });
  await new Promise((resolve, reject) => {
    mount.once('error', reject);
    mount.once('close', resolve);
  });
}
