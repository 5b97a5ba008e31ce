/**
 * Seeds and checksums of VMs that are built, on the host's disk. Input: a folder of the agent's own; output: files by the VM's
 * id. A cloud-init seed is an ISO image made by `genisoimage` or `xorriso`, whichever the host has; Ignition's is the text itself.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { UUID_SOURCE, type VmId } from '../../shared/ids.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { imageLeadsOutside, leadsOutside } from './build-confinement.ts';
import type { BuildPlaces } from './build-vm.ts';
import { runProgram } from './run-program.ts';

type CloudInit = Extract<NonNullable<VmBuild['seed']>, { kind: 'cloud-init' }>;

/** Makers of ISO images, in order of preference, and the arguments both understand (of mkisofs). */
const MAKERS: readonly (readonly [program: string, ...args: string[]])[] = [['genisoimage'], ['xorriso', '-as', 'mkisofs']];
const SEED = new RegExp(`^(${UUID_SOURCE})\\.(iso|ign)$`);
/** An image of a few kilobytes. */
const MAKE_TIMEOUT_MS = 30_000;
/** libvirt's QEMU runs as another user, which must read it; a seed may hold secrets, so nobody else may list the folder. */
const FOLDER_MODE = 0o711;
const SEED_MODE = 0o644;

export function createBuildPlaces(folder: string): BuildPlaces {
  const digests = new Map<string, { size: number; mtimeMs: number; digest: string }>();
  const seedPath = (vm: VmId, kind: 'iso' | 'ign'): string => join(folder, `${vm}.${kind}`);
  return {
    ...{ leadsOutside, imageLeadsOutside },
    async digestOf(path) {
      const { size, mtimeMs } = await stat(path);
      const known = digests.get(path);
      if (known?.size === size && known.mtimeMs === mtimeMs) return known.digest;
      const hash = createHash('sha256');
      await pipeline(createReadStream(path), hash);
      const digest = hash.digest('hex');
      digests.set(path, { size, mtimeMs, digest });
      return digest;
    },
    async writeSeed(vm, name, seed) {
      if (seed === null) return null;
      await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
      const path = seedPath(vm, seed.kind === 'ignition' ? 'ign' : 'iso');
      const making = await mkdtemp(join(folder, 'making-'));
      try {
        const made = join(making, 'seed');
        if (seed.kind === 'ignition') await writeFile(made, seed.config, { mode: SEED_MODE });
        else await makeIso(making, made, { vm, name, seed });
        // Whole or not at all.
        await rename(made, path);
      } finally {
        await rm(making, { recursive: true, force: true });
      }
      return path;
    },
    async removeSeed(vm) {
      for (const kind of ['iso', 'ign'] as const) await rm(seedPath(vm, kind), { force: true });
    },
    async seeds() {
      const files = await readdir(folder).catch(() => []);
      return files.flatMap((file) => (SEED.exec(file)?.[1] as VmId | undefined) ?? []);
    },
  };
}

/** cloud-init's NoCloud source: a volume labelled `cidata` with `meta-data`, `user-data` and, where given, `network-config`. */
async function makeIso(making: string, target: string, of: { vm: VmId; name: string; seed: CloudInit }): Promise<void> {
  const { vm, name, seed } = of;
  const files: Record<string, string> = {
    // JSON is YAML.
    'meta-data': JSON.stringify({ 'instance-id': vm, 'local-hostname': name }),
    'user-data': seed.userData,
    ...(seed.networkConfig === null ? {} : { 'network-config': seed.networkConfig }),
  };
  const paths = Object.keys(files).map((file) => join(making, file));
  for (const [file, text] of Object.entries(files)) await writeFile(join(making, file), text);
  for (const [program, ...first] of MAKERS) {
    const args = [...first, '-quiet', '-output', target, '-volid', 'cidata', '-joliet', '-rock', ...paths];
    try {
      return await runProgram({ program, args, input: '', timeoutMs: MAKE_TIMEOUT_MS });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  throw new HeadroomError('ENVIRONMENT', 'a cloud-init seed needs genisoimage or xorriso on this host; install one of them');
}

/** There is no such program here. */
function isMissing(error: unknown): boolean {
  return isHeadroomError(error) && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}
