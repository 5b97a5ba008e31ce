/**
 * The last word before a host makes a VM or takes one away: decides on what this host itself knows and on what its administrator
 * allows. Input: the order, how long ago it came, the highest epoch this host has met and the VM's highest pair, kill switches,
 * limits; output: null to go on, or why not. It trusts nobody. Pure.
 */
import type { ErrorCode } from '../../shared/errors.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { comparePairs, type Pair } from '../../shared/resources.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { matchesAny } from './name-pattern.ts';

export type BuildAsked = FrameOf<'build'>;
export type BuildResult = FrameOf<'build-result'>;

/** What an administrator lets be made on this host. */
export interface BuildLimits {
  /** Storage pools by name: images come from them, disks go into them. None = nothing is made here. */
  pools: readonly string[];
  /** Names of libvirt networks and bridges; `user` = user-mode networks. */
  networks: readonly string[];
  /** Names of VMs made by others that may be handed over to Headroom, `*` for any letters. None unless said. */
  handOver: readonly string[];
  /** The one folder from which kernels may be booted directly; null = none. */
  bootFolder: string | null;
  /** VMs of Headroom's making there may be at once. */
  vmsMax: number;
  /** Memory of one of them. */
  memoryMiBMax: number;
}

export interface BuildGround {
  /** Highest this host has met, 0 = none. */
  epoch: number;
  /** Highest this VM's orders had; null = none came yet. */
  highest: Pair | null;
  /** Since receipt, by the clock leases run on. */
  waitedMs: number;
  /** Why nothing may be done on this host. */
  killed: string | null;
  /** VMs that Headroom made and that are there now, the one asked for not counted. */
  vmsMade: number;
  limits: BuildLimits;
  /** Of the VM, where it is one this agent manages; null = it is not. */
  name: string | null;
}

export interface BuildRefusal {
  code: ErrorCode;
  reason: string;
}

export function refusalOfBuild({ pair, leaseMs, order }: BuildAsked, ground: BuildGround): BuildRefusal | null {
  const { epoch, highest, waitedMs, killed, limits } = ground;
  const late = (reason: string): BuildRefusal => ({ code: 'CONFLICT', reason });
  if (pair.epoch < epoch) return late(`epoch ${pair.epoch} is below ${epoch}, which this host has met`);
  if (highest !== null && comparePairs(pair, highest) < 0) {
    return late(`(${pair.epoch}, ${pair.generation}) is below (${highest.epoch}, ${highest.generation}), which came for this VM before`);
  }
  if (waitedMs > leaseMs || leaseMs <= 0) {
    return { code: 'LEASE_EXPIRED', reason: `its lease of ${leaseMs} ms ran out before it could be carried out` };
  }
  if (killed !== null && order.action !== 'check' && order.action !== 'probe')
    return { code: 'CONFLICT', reason: `kill switch: ${killed}` };
  if (order.action === 'adopt') return objectionToHandOver(ground);
  const pool = 'build' in order ? order.build.disk.pool : 'pool' in order ? order.pool : null;
  if (pool !== null && !limits.pools.includes(pool)) return forbidden(`nothing may be made in pool ${pool} of this host`);
  if (!('build' in order)) return null;
  if (order.action === 'build' && ground.vmsMade >= limits.vmsMax) {
    return forbidden(`this host has ${ground.vmsMade} VMs of Headroom's making, and ${limits.vmsMax} are allowed`);
  }
  return objectionTo(order.build, limits);
}

function objectionToHandOver({ name, limits }: BuildGround): BuildRefusal | null {
  if (name === null) return forbidden('it is not a VM that the agent of this host manages');
  if (matchesAny(name, limits.handOver)) return null;
  return forbidden(`VM ${name} may not be handed over: its host's administrator names those that may with --hand-over`);
}

function objectionTo({ boot, networks, memoryMiB }: VmBuild, limits: BuildLimits): BuildRefusal | null {
  if (memoryMiB > limits.memoryMiBMax) {
    return forbidden(`${memoryMiB} MiB are more than the ${limits.memoryMiBMax} a VM may have on this host`);
  }
  const foreign = networks.map(({ source }) => source ?? 'user').find((source) => !limits.networks.includes(source));
  if (foreign !== undefined) return forbidden(`network ${foreign} is not one that VMs made on this host may use`);
  if (boot === null) return null;
  if (limits.bootFolder === null) {
    return forbidden('this host boots no kernels directly; its administrator names a folder for them with --build-boot-folder');
  }
  const folder = limits.bootFolder;
  const outside = [boot.kernel, boot.initrd].find((path) => !isWithin(path, folder));
  return outside === undefined ? null : forbidden(`${outside} does not lie in ${folder}`);
}

const forbidden = (reason: string): BuildRefusal => ({ code: 'PERMISSION', reason });

/** Plain paths only: nothing that climbs out. Where links lead is looked at on the disk. */
function isWithin(path: string, folder: string): boolean {
  const base = folder.endsWith('/') ? folder : `${folder}/`;
  return path.startsWith(base) && !path.split('/').some((part) => part === '..' || part === '.');
}
