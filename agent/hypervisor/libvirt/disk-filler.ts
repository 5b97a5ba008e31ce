/** The seam to fill a running VM's disk image, over libvirt and QEMU's monitor, by a connection of its own. See `DiskFiller` for what each call means. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import type { DiskFiller } from '../disk-filler.ts';
import type { LibvirtOptions } from './adapter.ts';
import { openOwnSession } from './own-session.ts';
import type { DomainRef, LibvirtApi } from './procedures.ts';
import { LIBVIRT_NO_DOMAIN, LibvirtError } from './rpc-errors.ts';
import { createSnapshotApi, type SnapshotApi } from './snapshot-procedures.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

const POLL_MS = 200;
/** virDomainState. */
const PAUSED = 3;
/** No state, shut off, crashed. */
const OFF: readonly number[] = [0, 5, 6];

export function createDiskFiller(options: LibvirtOptions): DiskFiller {
  const session = openOwnSession(options);
  const on = async (id: VmId): Promise<{ read: LibvirtApi; snapshot: SnapshotApi; domain: DomainRef }> => {
    const read = await session.api();
    const snapshot = createSnapshotApi(read.connection, session.callDeadlineMs);
    return { read, snapshot, domain: await snapshot.domainByUuid(id) };
  };
  /** As the VM has it now. Throws unless it is this image. */
  const diskOf = async (id: VmId, target: string, path: string): Promise<XmlElement> => {
    const { read, domain } = await on(id);
    const disks = childrenOf(at(parseXml(await read.xml(domain, 0)), 'devices'), 'disk');
    const disk = disks.find((one) => attribute(at(one, 'target'), 'dev') === target);
    const found = attribute(at(disk, 'source'), 'file');
    if (disk === undefined || found !== path) throw refused(`disk ${target} of VM ${id} is ${found ?? 'not there'}, not ${path}`);
    return disk;
  };
  return {
    async runOf(id) {
      const known = await on(id).catch((error: unknown) => {
        if (error instanceof LibvirtError && error.libvirtCode === LIBVIRT_NO_DOMAIN) return null;
        throw error;
      });
      if (known === null || OFF.includes((await known.read.info(known.domain)).state)) return null;
      const run = await processOf(id);
      if (run === null) throw refused(`VM ${id} runs, and its process is not to be found`);
      return run;
    },
    async stoppedByDisk(id) {
      const { read, snapshot, domain } = await on(id);
      if ((await read.info(domain)).state !== PAUSED) return false;
      const { status } = (await snapshot.monitor(domain, 'query-status')) as { status?: string };
      return status === 'io-error';
    },
    async fill(id, target, path, cancelled) {
      const { snapshot, domain } = await on(id);
      await diskOf(id, target, path);
      if (!(await snapshot.blockJobActive(domain, target))) await snapshot.blockPull(domain, target);
      while (await snapshot.blockJobActive(domain, target)) {
        if (cancelled()) throw new HeadroomError('CANCELLED', `disk ${target} goes on being made whole`);
        await sleep(options.clock, POLL_MS);
      }
      const below = at(await diskOf(id, target, path), 'backingStore');
      if (at(below, 'source') !== undefined) throw refused(`disk ${target} of VM ${id} still reads from below ${path}: QEMU gave it up`);
    },
    async flush(id, target, path) {
      const { snapshot, domain } = await on(id);
      const index = attribute(at(await diskOf(id, target, path), 'source'), 'index');
      if (index === undefined) throw refused(`disk ${target} of VM ${id} has no name in QEMU`);
      // The one way to have it flushed without stopping the guest; words are what went wrong.
      const line = `qemu-io libvirt-${index}-format flush`;
      const said = await snapshot.monitor(domain, 'human-monitor-command', { 'command-line': line });
      if (said !== '') throw refused(`disk ${target} of VM ${id} could not be flushed: ${String(said).trim()}`);
    },
    close: () => session.close(),
  };
}

/** libvirt's own number of a run may come again after libvirt was restarted; this one does not within a boot. */
async function processOf(id: VmId, procfs = '/proc'): Promise<string | null> {
  for (const pid of await readdir(procfs)) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await readFile(join(procfs, pid, 'cmdline'), 'utf8').catch(() => '');
    if (!words.includes(`\0-uuid\0${id}\0`)) continue;
    // What follows the name, which is in parentheses and may hold anything: the state is the first, the start the twentieth.
    const stat = await readFile(join(procfs, pid, 'stat'), 'utf8').catch(() => '');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    if (started !== undefined) return `${pid}-${started}`;
  }
  return null;
}

const refused = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_REFUSED', message);
