/**
 * The guest's kernel, from the distribution's own package: downloaded and unpacked, never installed. Input: cache
 * directory; output: the kernel image and the modules a guest needs, kept in the cache under the package's version.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadroomError } from '../../shared/errors.ts';
import { runChecked, runCommand } from '../machine/run-command.ts';
import { collectModules, type KernelModule } from './kernel-modules.ts';

/** Small kernels made for virtual machines: Debian's name, then Ubuntu's. */
const META_PACKAGES = ['linux-image-cloud-amd64', 'linux-image-virtual'];
/** Everything a guest drives: its bus, memory balloon, disk, agent channel and network, and its root file system. */
const MODULES = ['virtio_pci', 'virtio_balloon', 'virtio_blk', 'virtio_console', 'virtio_net', 'ext4'];

export interface GuestKernel {
  /** Package names with versions: part of the image's key. */
  version: string;
  image: string;
  modules: KernelModule[];
}

interface KernelPackages {
  names: string[];
  version: string;
}

/** The package that carries the kernel (and, where modules are apart, theirs), as the meta package of today names it. */
async function candidate(): Promise<KernelPackages | null> {
  for (const meta of META_PACKAGES) {
    const shown = await runCommand('apt-cache', ['show', '--no-all-versions', meta]);
    const image = /\b(linux-image-[\w.+-]*\d[\w.+-]*)/.exec(/^Depends: .*$/m.exec(shown.stdout)?.[0] ?? '')?.[1];
    if (image === undefined) continue;
    const details = await runChecked('apt-cache', ['show', '--no-all-versions', image]);
    const modules = /\b(linux-modules-[\w.+-]+)/.exec(/^Depends: .*$/m.exec(details)?.[0] ?? '')?.[1];
    const version = /^Version: (.+)$/m.exec(details)?.[1] ?? 'unknown';
    return { names: modules === undefined ? [image] : [image, modules], version: `${image}_${version}`.replace(/[^\w.+-]/g, '_') };
  }
  return null;
}

async function unpack(packages: KernelPackages, directory: string): Promise<void> {
  let got = await runCommand('apt-get', ['download', '-q', ...packages.names], { cwd: directory, timeoutMs: 600_000 });
  if (got.status !== 0) {
    // The usual cause is a package list older than the archive.
    await runCommand('apt-get', ['update', '-q'], { timeoutMs: 600_000 });
    got = await runCommand('apt-get', ['download', '-q', ...packages.names], { cwd: directory, timeoutMs: 600_000 });
  }
  if (got.status !== 0) {
    throw new HeadroomError('ENVIRONMENT', `the kernel ${packages.names.join(' ')} could not be downloaded: ${got.stderr.trim()}`);
  }
  for (const file of readdirSync(directory).filter((name) => name.endsWith('.deb'))) {
    await runChecked('dpkg-deb', ['-x', join(directory, file), join(directory, 'root')], { timeoutMs: 300_000 });
  }
}

function modulesDirectory(root: string): string {
  for (const base of ['lib/modules', 'usr/lib/modules']) {
    try {
      const [version] = readdirSync(join(root, base));
      if (version !== undefined) return join(root, base, version);
    } catch {
      // Not laid out this way; the next layout may be.
    }
  }
  throw new HeadroomError('ENVIRONMENT', `the unpacked kernel package in ${root} holds no modules`);
}

function readCached(directory: string, version: string): GuestKernel {
  const order = readFileSync(join(directory, 'order'), 'utf8').split('\n').filter(Boolean);
  const modules = order.map((name) => ({ name, bytes: readFileSync(join(directory, `${name}.ko`)) }));
  return { version, image: join(directory, 'vmlinuz'), modules };
}

export async function guestKernel(cacheDirectory: string, say: (line: string) => void): Promise<GuestKernel> {
  let packages = await candidate();
  if (packages === null) {
    await runCommand('apt-get', ['update', '-q'], { timeoutMs: 600_000 });
    packages = await candidate();
  }
  if (packages === null) {
    throw new HeadroomError('ENVIRONMENT', `apt knows none of ${META_PACKAGES.join(', ')}: run "apt-get update", or use Debian or Ubuntu`);
  }
  const kept = join(cacheDirectory, `kernel-${packages.version}`);
  try {
    return readCached(kept, packages.version);
  } catch {
    // Not in the cache yet: fetch it below.
  }
  say(`fetching the guests' kernel (${packages.names.join(', ')}; unpacked into the cache, not installed)`);
  const work = mkdtempSync(join(cacheDirectory, 'work-'));
  try {
    await unpack(packages, work);
    const made = join(work, 'made');
    mkdirSync(made);
    const modules = collectModules(modulesDirectory(join(work, 'root')), MODULES);
    for (const { name, bytes } of modules) writeFileSync(join(made, `${name}.ko`), bytes);
    writeFileSync(join(made, 'order'), modules.map(({ name }) => `${name}\n`).join(''));
    const boot = join(work, 'root/boot');
    const image = readdirSync(boot).find((name) => name.startsWith('vmlinuz'));
    if (image === undefined) throw new HeadroomError('ENVIRONMENT', `the kernel package ${packages.version} holds no vmlinuz`);
    renameSync(join(boot, image), join(made, 'vmlinuz'));
    rmSync(kept, { recursive: true, force: true });
    renameSync(made, kept);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return readCached(kept, packages.version);
}
