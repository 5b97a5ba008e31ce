/**
 * What suspends VMs on this machine: one sealed store per tenant on this machine's disk, keys, a journal, the hypervisor's snapshotter.
 * Input: places and the snapshotter; output: the means handed to the host agent. Nothing is opened before it is needed.
 */
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { HeadroomError } from '../shared/errors.ts';
import { parseTiers } from './core/tier-config.ts';
import type { VmSnapshotter } from './hypervisor/snapshotter.ts';
import type { SuspendMeans } from './loops/create-suspension.ts';
import type { DiskMeans } from './loops/local-disks.ts';
import type { SnapshotTiers, TierUse } from './loops/tier-loop.ts';
import { type Address, parseAddress } from './psk-tls.ts';
import { openLocalFiles } from './snapshot/local-files.ts';
import { FOLDER_MODE } from './snapshot/memory-place.ts';
import { type OpenedTiers, openTiers } from './snapshot/open-tiers.ts';
import type { RamCache } from './snapshot/ram-cache.ts';
import { openSnapshotStore } from './snapshot/snapshot-store.ts';
import { createTenantKeys } from './snapshot/tenant-keys.ts';
import { placesIn } from './snapshot/unused-places.ts';
import { openSuspendJournal } from './suspend-journal.ts';

export interface SuspendPlaces {
  stateDir: string;
  /** Snapshots, a folder per tenant. */
  snapshotDir: string;
  /** Places for their chunks, as configured; none = there. */
  tiers: readonly string[];
  keyDir: string;
  /** In RAM. */
  ramDir: string;
  tenantLabel: string;
  learnMs: number;
  aliveMs: number;
  /** HOST:PORT where other hosts ask for snapshots; null = nowhere. */
  listen: string | null;
  /** Null: every disk is taken for one that other hosts see, too. */
  disks: DiskMeans | null;
}

const ANYWHERE: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const KEYS = 'keys';
/** Whom distributions run QEMU as. */
const QEMU_USERS = ['libvirt-qemu', 'qemu'];

export async function openSuspendMeans(places: SuspendPlaces, snapshotter: VmSnapshotter): Promise<SuspendMeans> {
  const { stateDir, snapshotDir, keyDir, ramDir, tenantLabel, learnMs, aliveMs, listen } = places;
  const asked = parseTiers(places.tiers);
  await mkdir(ramDir, { recursive: true, mode: FOLDER_MODE });
  const home = openLocalFiles(snapshotDir);
  const tenants = async (): Promise<string[]> => (await home.list('.')).filter((name) => name !== KEYS && !name.startsWith('.'));
  const homeDir = snapshotDir.replace(/\/+$/, '') || '/';
  const tiers = await openTiers({ homeDir, home, asked, clock: systemClock, tenants: await tenants() });
  const files = tiers?.files ?? home;
  const keyFiles = openLocalFiles(keyDir);
  const keys = createTenantKeys(keyFiles);
  const owner = qemuOwner();
  return {
    ...{ tenantLabel, learnMs, aliveMs, folder: placesIn(ramDir) },
    ...(owner === null ? {} : { owner }),
    ...(places.disks === null ? {} : { disks: places.disks }),
    snapshotter,
    lendAt: listen === null ? null : lendAddress(listen),
    journal: openSuspendJournal(join(stateDir, 'suspended')),
    stores: {
      open: async (tenant) => openSnapshotStore(files, tenant, await keys.obtain(tenant)),
      keyOf: (tenant) => keys.obtain(tenant),
      adoptKey: (tenant, key) => keys.adopt(tenant, key),
      tenants,
      ...(tiers === null ? {} : { tiers: tiersView(tiers) }),
      async close() {
        await tiers?.close();
        await home.close();
        await keyFiles.close();
      },
    },
  };
}

function tiersView({ files, problems }: OpenedTiers): SnapshotTiers {
  return {
    problems,
    balance: () => files.balance(),
    use: () => [
      ...(files.ram === null ? [] : [ramUse(files.ram)]),
      ...files.tiers.map(
        ({ name, capacityBytes, usedBytes, leaving, readBytesPerSecond, writeBytesPerSecond, problem }): TierUse => ({
          ...{ name, kind: leaving ? 'leaving' : 'disk', usedBytes, readBytesPerSecond, writeBytesPerSecond },
          capacityBytes: Number.isFinite(capacityBytes) ? capacityBytes : null,
          problem: problem === null ? null : problem.slice(0, 1024),
        }),
      ),
      ...problems.map((problem): TierUse => ({ ...NOTHING, name: 'not there', kind: 'away', problem: problem.slice(0, 1024) })),
    ],
  };
}

const NOTHING = { capacityBytes: null, usedBytes: 0, readBytesPerSecond: null, writeBytesPerSecond: null } as const;
const ramUse = ({ capacityBytes, usedBytes }: RamCache): TierUse => ({
  ...{ ...NOTHING, name: 'ram', kind: 'ram', capacityBytes, usedBytes, problem: null },
});

/** One that others can reach: they are told it as it stands here. */
function lendAddress(listen: string): Address {
  const address = parseAddress(listen);
  if (isIP(address.host) === 0 || address.port === 0 || ANYWHERE.has(address.host)) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `snapshotListen: "${listen}" must be an IP address of this host that others reach, and a port`,
    );
  }
  return address;
}

/** Null: we are not root and hand nothing to others, or QEMU runs as root. */
function qemuOwner(passwd = '/etc/passwd'): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  for (const line of readFileSync(passwd, 'utf8').split('\n')) {
    const [name = '', , uid, gid] = line.split(':');
    if (QEMU_USERS.includes(name)) return { uid: Number(uid), gid: Number(gid) };
  }
  return null;
}
