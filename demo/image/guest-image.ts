/**
 * The guest image: kernel, first file system and root disk, made once and kept in the cache under a key of everything that
 * goes into it. Input: the agent's and the workload's bundles; output: paths of the three files.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadroomError } from '../../shared/errors.ts';
import { pruneCache } from './cache.ts';
import { initramfs } from './initramfs.ts';
import { type GuestKernel, guestKernel } from './kernel.ts';
import { makeRootDisk } from './root-disk.ts';

export interface GuestImage {
  kernel: string;
  initrd: string;
  disk: string;
}

export interface ImageInputs {
  cacheDirectory: string;
  /** The pinned Node of this repository. */
  node: string;
  agentBundle: Uint8Array;
  workloadBundle: Uint8Array;
  /** How the guest agent is started. */
  agentArguments: readonly string[];
  say: (line: string) => void;
}

const BUSYBOX = '/bin/busybox';
const here = dirname(fileURLToPath(import.meta.url));

/** Everything that shapes the image: the recipe itself, the kernel, Node, libraries (by Node's and busybox's build), bundles. */
function contentKey(inputs: ImageInputs, kernel: GuestKernel): string {
  const hash = createHash('sha256');
  for (const file of globSync('*.ts', { cwd: here }).sort()) hash.update(readFileSync(join(here, file)));
  hash.update(JSON.stringify([kernel.version, inputs.agentArguments]));
  for (const program of [inputs.node, BUSYBOX]) {
    const { size, mtimeMs } = statSync(program);
    hash.update(`${program} ${size} ${mtimeMs}\n`);
  }
  return hash.update(inputs.agentBundle).update(inputs.workloadBundle).digest('hex').slice(0, 16);
}

export async function guestImage(inputs: ImageInputs): Promise<GuestImage> {
  if (!existsSync(BUSYBOX)) throw new HeadroomError('ENVIRONMENT', `${BUSYBOX} is missing; install the package busybox-static`);
  const kernel = await guestKernel(inputs.cacheDirectory, inputs.say);
  const directory = join(inputs.cacheDirectory, `image-${contentKey(inputs, kernel)}`);
  const image = { kernel: join(directory, 'vmlinuz'), initrd: join(directory, 'initrd'), disk: join(directory, 'root.ext4') };
  if (existsSync(directory)) {
    const now = Date.now() / 1000;
    utimesSync(directory, now, now);
    inputs.say(`guest image from the cache: ${directory}`);
    return image;
  }
  inputs.say('making the guest image (kernel, busybox, Node, agent, workload)');
  const work = mkdtempSync(join(inputs.cacheDirectory, 'work-'));
  try {
    const made = join(work, 'made');
    mkdirSync(made);
    copyFileSync(kernel.image, join(made, 'vmlinuz'));
    writeFileSync(join(made, 'initrd'), initramfs(BUSYBOX, kernel.modules));
    const [agent, workload] = [join(work, 'agent.mjs'), join(work, 'workload.mjs')];
    writeFileSync(agent, inputs.agentBundle);
    writeFileSync(workload, inputs.workloadBundle);
    await makeRootDisk({ busybox: BUSYBOX, node: inputs.node, agent, workload }, inputs.agentArguments, work, join(made, 'root.ext4'));
    renameSync(made, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  pruneCache(inputs.cacheDirectory, Date.now());
  return image;
}
