/**
 * The smallest real guest: Debian's cloud kernel and an initramfs of busybox and virtio modules, made from Debian packages
 * only and cached. It boots in a few seconds under emulation, has a balloon driver, and obeys one-line orders on the
 * virtio-serial channel `headroom.test` (see tiny-guest-init.ts). Outputs: kernel and initramfs paths; domain XML; a handle to command a
 * running guest. Needs apt-get, dpkg-deb, cpio and busybox-static; throws with what failed when one is missing.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { cacheDir } from './cache-dir.ts';
import { INIT, MODULES } from './tiny-guest-init.ts';

export interface TinyGuestImage {
  kernel: string;
  initrd: string;
}

function run(program: string, args: string[], cwd: string, input?: string): string {
  const done = spawnSync(program, args, { cwd, encoding: 'utf8', input, maxBuffer: 1 << 26 });
  if (done.error || done.status !== 0) {
    throw new Error(`${program} ${args.join(' ')} failed: ${done.error?.message ?? done.stderr.trim()}`);
  }
  return done.stdout;
}

/** Builds the image once; a change of the recipe makes a new one. */
export function tinyGuestImage(): TinyGuestImage {
  const recipe = createHash('sha256').update(INIT).digest('hex').slice(0, 12);
  const home = join(cacheDir('tiny-guest'), recipe);
  const image = { kernel: join(home, 'vmlinuz'), initrd: join(home, 'initrd.cpio') };
  if (existsSync(image.initrd)) return image;
  const work = mkdtempSync(join(dirname(home), 'build-'));
  try {
    buildImage(work);
    mkdirSync(join(work, 'out'), { recursive: true });
    if (!existsSync(home)) renameSync(join(work, 'out'), home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

function buildImage(work: string): void {
  const depends = run('apt-cache', ['depends', 'linux-image-cloud-amd64'], work);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (!name) throw new Error('apt knows no linux-image-cloud-amd64: run apt-get update');
  run('apt-get', ['download', '-q', name], work);
  const archive = globSync('linux-image-*.deb', { cwd: work })[0];
  run('dpkg-deb', ['-x', String(archive), 'kernel'], work);
  const root = join(work, 'root');
  for (const folder of ['bin', 'lib', 'proc', 'sys', 'dev', 'tmp']) mkdirSync(join(root, folder), { recursive: true });
  cpSync('/bin/busybox', join(root, 'bin/busybox'), { dereference: true });
  for (const module of MODULES) {
    const file = globSync(`kernel/lib/modules/*/kernel/**/${module}.ko`, { cwd: work })[0];
    if (!file) throw new Error(`module ${module} is not in ${archive}`);
    cpSync(join(work, file), join(root, 'lib', `${module}.ko`));
  }
  writeFileSync(join(root, 'init'), INIT);
  chmodSync(join(root, 'init'), 0o755);
  mkdirSync(join(work, 'out'));
  run('sh', ['-c', 'find . | cpio -o -H newc --quiet > ../out/initrd.cpio'], root);
  const kernel = globSync('kernel/boot/vmlinuz-*', { cwd: work })[0];
  cpSync(join(work, String(kernel)), join(work, 'out/vmlinuz'));
}

export interface TinyGuestOptions {
  name: string;
  uuid: string;
  /** Folder of the test: console log, channel socket and disk go there. */
  folder: string;
  /** Where its host has kernel and initramfs, when that is not where they were made. */
  image?: TinyGuestImage;
  memoryMiB?: number;
  /** Beside it a virtio-mem device of so many MiB, nothing of which is requested. */
  pluggableMiB?: number;
  vcpus?: number;
  /** Seconds between balloon statistics; 0 = the element is left out. */
  statsPeriodSeconds?: number;
  /** One disk of 16 MiB, empty, or of so many MiB that nothing else holds. */
  disk?: boolean | number;
  /** XML of interfaces, or other devices. */
  devices?: string;
  /** XML inside <domain>, e.g. <cputune>, <metadata>, <memoryBacking>. */
  extra?: string;
  balloon?: boolean;
  kernelArguments?: string;
}

const channelPath = (options: TinyGuestOptions): string => join(options.folder, `${options.name}.sock`);
const consolePath = (options: TinyGuestOptions): string => join(options.folder, `${options.name}.console`);

/** Domain XML of a tiny guest under plain emulation, run as root so that it may read the caches of root. */
export function tinyGuestXml(options: TinyGuestOptions): string {
  const image = options.image ?? tinyGuestImage();
  const disk = join(options.folder, `${options.name}.img`);
  if (options.disk === true) writeFileSync(disk, Buffer.alloc(16 << 20));
  else if (options.disk) run('dd', ['if=/dev/urandom', `of=${disk}`, 'bs=1M', `count=${options.disk}`], options.folder);
  const period = options.statsPeriodSeconds ? `<stats period='${options.statsPeriodSeconds}'/>` : '';
  const balloon = options.balloon === false ? `<memballoon model='none'/>` : `<memballoon model='virtio'>${period}</memballoon>`;
  const memoryMiB = options.memoryMiB ?? 192;
  const pluggable = options.pluggableMiB === undefined ? null : pluggableXml(memoryMiB, options.pluggableMiB);
  return `<domain type='qemu'>
  <name>${options.name}</name>
  <uuid>${options.uuid}</uuid>
  <memory unit='MiB'>${memoryMiB + (options.pluggableMiB ?? 0)}</memory>
  <vcpu>${options.vcpus ?? 1}</vcpu>
  ${options.extra ?? ''}${pluggable?.cells ?? ''}
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>${image.kernel}</kernel><initrd>${image.initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 ${options.kernelArguments ?? ''}</cmdline></os>
  <features><acpi/></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    ${options.disk ? `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>` : ''}
    <serial type='file'><source path='${consolePath(options)}'/></serial>
    <channel type='unix'><source mode='bind' path='${channelPath(options)}'/><target type='virtio' name='headroom.test'/></channel>
    ${options.devices ?? ''}${pluggable?.device ?? ''}
    ${balloon}
  </devices>
  <seclabel type='static' model='dac' relabel='no'><label>+0:+0</label></seclabel>
</domain>`;
}

/** Memory devices belong to a cell of the guest's own, which has all that it boots with. */
function pluggableXml(bootMiB: number, sizeMiB: number): { cells: string; device: string } {
  const target = `<size unit='MiB'>${sizeMiB}</size><node>0</node><block unit='MiB'>2</block><requested unit='MiB'>0</requested>`;
  return {
    cells: `<maxMemory slots='1' unit='MiB'>${bootMiB + sizeMiB}</maxMemory><cpu><numa><cell id='0' cpus='0' memory='${bootMiB}' unit='MiB'/></numa></cpu>`,
    device: `<memory model='virtio-mem'><target>${target}</target></memory>`,
  };
}

export interface TinyGuest {
  /** Sends one order and waits until the guest has carried it out. */
  order(line: string): Promise<void>;
  /** One order, unanswered as yet. */
  send(line: string): void;
  /** Lines the guest writes to its channel; one listener at a time. */
  onLine(listener: (line: string) => void): void;
  close(): void;
}

const POLL_MS = 100;
const POLLS_PER_GREETING = 5;

async function until(what: string, condition: () => boolean, timeoutMs: number): Promise<void> {
  for (let waitedMs = 0; !condition(); waitedMs += POLL_MS) {
    if (waitedMs > timeoutMs) throw new Error(`gave up after ${timeoutMs} ms waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Waits until a started guest obeys on its channel (emulation on a busy machine can take a minute). */
export async function tinyGuest(options: TinyGuestOptions, timeoutMs = 120_000): Promise<TinyGuest> {
  const log = (): string => (existsSync(consolePath(options)) ? readFileSync(consolePath(options), 'utf8') : '');
  await until(`${options.name} to boot`, () => log().includes('headroom-guest-ready'), timeoutMs);
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect(channelPath(options), () => resolve(opened));
    opened.once('error', reject);
  });
  socket.on('error', () => {});
  let listener: (line: string) => unknown = () => undefined;
  let pending = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (pending + chunk.toString()).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) listener(line.trim());
  });
  // What comes before the guest has opened its end of the channel is lost: it is greeted until it answers.
  let greetings = 0;
  const answers = (): boolean => {
    if (greetings++ % POLLS_PER_GREETING === 0) socket.write('hello\n');
    return log().includes('done hello');
  };
  await until(`${options.name} to listen`, answers, timeoutMs);
  return {
    async order(line) {
      const seen = log().split(`done ${line}`).length;
      socket.write(`${line}\n`);
      await until(`${basename(channelPath(options))} to obey "${line}"`, () => log().split(`done ${line}`).length > seen, timeoutMs);
    },
    send: (line) => void socket.write(`${line}\n`),
    onLine: (next) => {
      listener = next;
    },
    close: () => socket.destroy(),
  };
}
