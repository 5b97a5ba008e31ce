/**
 * Makes a VM, and takes one away, in steps that are each safe to repeat: after a death at any point the same order, given again,
 * goes on where it was. What a VM consists of is named by its id alone, so that nothing is left that cannot be found. Input: an
 * order, the builder, places for files; output: what became of it, in words. A build that fails cleans up after itself.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { UUID_SOURCE, type VmId } from '../../shared/ids.ts';
import { BYTES_PER_MIB } from '../../shared/units.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import type { BuildMark, VmBuilder, Volume } from '../hypervisor/builder.ts';

export const BUILD_STAGES = ['image', 'disk', 'seed', 'define', 'start'] as const;
export type BuildStage = (typeof BUILD_STAGES)[number];

/** The host's own disk: files to be looked at, and those beside the pools. */
export interface BuildPlaces {
  /** SHA-256 of a file, hexadecimal. */
  digestOf(path: string): Promise<string>;
  /** Where a file leads, if not into this folder; null: it lies there, or is not there. */
  leadsOutside(path: string, folder: string): Promise<string | null>;
  /** The same of an image and all it lies over, which belong in the image's own folder. */
  imageLeadsOutside(path: string): Promise<string | null>;
  /** Writes a VM's seed and answers where; null where there is none to write. */
  writeSeed(id: VmId, name: string, seed: VmBuild['seed']): Promise<string | null>;
  removeSeed(id: VmId): Promise<void>;
  /** Ids of the VMs whose seeds are there. */
  seeds(): Promise<VmId[]>;
}

export interface BuildOrder {
  vm: VmId;
  build: VmBuild;
  mark: BuildMark;
}

/** A pool keeps at least this much, and this share of a new disk's size, or nothing is begun: thin disks grow. */
const POOL_RESERVE_BYTES = 256 * BYTES_PER_MIB;
const DISK_SHARE = 0.05;
const VOLUME = new RegExp(`^headroom-(${UUID_SOURCE})\\.qcow2$`);

const volumeName = (vm: VmId): string => `headroom-${vm}.qcow2`;

/** Null: not a disk of a VM that Headroom made. */
export function vmOfVolume(name: string): VmId | null {
  return (VOLUME.exec(name)?.[1] as VmId | undefined) ?? null;
}

/** What this host lacks for a build, in words; nothing is changed. */
export async function checkBuild(builder: VmBuilder, places: BuildPlaces, build: VmBuild): Promise<string[]> {
  const { pool, image, sha256, sizeMiB } = build.disk;
  const freeBytes = await builder.poolFreeBytes(pool);
  if (freeBytes === null) return [`there is no active storage pool called ${pool}`];
  const problems: string[] = [];
  const needBytes = Math.max(POOL_RESERVE_BYTES, (sizeMiB ?? 0) * BYTES_PER_MIB * DISK_SHARE);
  if (freeBytes < needBytes) {
    problems.push(`pool ${pool} has ${Math.floor(freeBytes / BYTES_PER_MIB)} MiB free; ${Math.ceil(needBytes / BYTES_PER_MIB)} are needed`);
  }
  const found = await builder.volume(pool, image);
  if (found === null) problems.push(`pool ${pool} has no volume called ${image}`);
  else if (sha256 !== null) {
    const digest = await places.digestOf(found.path).catch((error: unknown) => errorText(error));
    if (digest !== sha256) problems.push(`image ${image} is not the one the template names: its SHA-256 is ${digest}, not ${sha256}`);
  }
  const types = await builder.domainTypes();
  if (build.domainType !== 'auto' && !types.includes(build.domainType)) {
    problems.push(`this host runs ${types.join(', ') || 'no guests'}, not ${build.domainType}`);
  }
  return problems;
}

/** Resolves once the VM runs. Rejects with what stood in the way, after everything that was made for it is gone again. */
export async function buildVm(
  builder: VmBuilder,
  places: BuildPlaces,
  { vm, build, mark }: BuildOrder,
  tell: (stage: BuildStage) => void,
): Promise<void> {
  const there = await builder.mark(vm);
  if (there === null ? (await builder.power(vm)) !== null : there.orderId !== mark.orderId) {
    throw new HeadroomError('HYPERVISOR_REFUSED', `VM ${vm} is there already and was not made by order ${mark.orderId}`);
  }
  try {
    if (there === null) await make(builder, places, { vm, build, mark }, tell);
    tell('start');
    await builder.start(vm);
  } catch (error) {
    const left = await removeVm(builder, places, vm, build.disk.pool).then(
      () => '',
      (problem: unknown) => `; what was made could not be removed yet: ${errorText(problem)}`,
    );
    throw new HeadroomError('HYPERVISOR_REFUSED', `${errorText(error)}${left}`, { cause: error });
  }
}

async function make(builder: VmBuilder, places: BuildPlaces, order: BuildOrder, tell: (stage: BuildStage) => void): Promise<void> {
  const { vm, build, mark } = order;
  const { pool, image, format, sizeMiB } = build.disk;
  tell('image');
  const problems = await checkBuild(builder, places, build);
  if (problems.length > 0) throw new HeadroomError('HYPERVISOR_REFUSED', problems.join('; '));
  const from = (await builder.volume(pool, image)) as Volume;
  tell('disk');
  const disk = await builder.createOverlay(pool, volumeName(vm), from, format, sizeMiB);
  tell('seed');
  const seed = await places.writeSeed(vm, build.name, build.seed);
  tell('define');
  await builder.define(vm, build, { disk, seed }, mark);
}

/** Ends it, and removes definition, disk and seed. Only for VMs that Headroom made; what is gone already is no error. */
export async function removeVm(builder: VmBuilder, places: BuildPlaces, vm: VmId, pool: string, keepDisk = false): Promise<void> {
  if ((await builder.power(vm)) !== null) {
    if ((await builder.mark(vm)) === null) throw new HeadroomError('HYPERVISOR_REFUSED', `VM ${vm} was not made by Headroom: it stays`);
    await builder.powerOff(vm);
    await builder.undefine(vm);
  }
  await places.removeSeed(vm);
  if (!keepDisk) await builder.deleteVolume(pool, volumeName(vm));
}

/** VMs of which something is left in this pool or among the seeds, and no definition: what a death in the middle leaves behind. */
export async function leftOvers(builder: VmBuilder, places: BuildPlaces, pool: string): Promise<VmId[]> {
  const named = (await builder.volumes(pool)).flatMap((name) => vmOfVolume(name) ?? []);
  const left: VmId[] = [];
  for (const vm of new Set([...named, ...(await places.seeds())])) if ((await builder.power(vm)) === null) left.push(vm);
  return left;
}
