/**
 * Borrowed slices as disks of a live domain, by libvirt: network disks whose NBD server is a Unix socket of this host. See `SliceDisks`
 * for what each call means. A connection of its own, and only the calls that this needs.
 */
import type { VmId } from '../../../shared/ids.ts';
import { SLICE_NAMES, type SliceKind } from '../../core/slice-state.ts';
import type { SliceDisk, SliceDisks } from '../slice-disks.ts';
import type { LibvirtOptions } from './adapter.ts';
import { openOwnSession } from './own-session.ts';
import { type DomainRef, type LibvirtApi, readDomain, uuidBytes } from './procedures.ts';
import { createXdrWriter, type XdrWriter } from './xdr.ts';
import { xmlText } from './xml-text.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

const PROCEDURE = { lookupByUuid: 24, resume: 28, attachDeviceFlags: 160, detachDeviceFlags: 161, getState: 212 } as const;
/** virDomainModificationImpact. */
const LIVE = 1;
/** virDomainState: paused; shut off, crashed. */
const PAUSED = 3;
const OFF = [5, 6];
/** virDomainPausedReason. */
const IO_ERROR = 5;
const CALL_DEADLINE_MS = 10_000;
/** Attaching makes QEMU open the export and the guest find a device. */
const DEVICE_DEADLINE_MS = 30_000;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** Knows disks of one kind alone. */
export function createLibvirtSliceDisks(options: LibvirtOptions, kind: SliceKind): SliceDisks {
  const session = openOwnSession(options);
  const { api } = session;
  const domainOf = async ({ connection }: LibvirtApi, vm: VmId): Promise<DomainRef> => {
    const payload = createXdrWriter().opaque(uuidBytes(vm)).bytes();
    return readDomain(await connection.call({ procedure: PROCEDURE.lookupByUuid, payload, deadlineMs: CALL_DEADLINE_MS }));
  };
  const change = async (procedure: number, vm: VmId, xml: string): Promise<void> => {
    const libvirt = await api();
    const payload = aboutDomain(await domainOf(libvirt, vm))
      .string(xml)
      .u32(LIVE)
      .bytes();
    await libvirt.connection.call({ procedure, payload, deadlineMs: DEVICE_DEADLINE_MS });
  };
  return {
    async look(vm) {
      const libvirt = await api();
      const domain = await domainOf(libvirt, vm);
      const { state, reason } = await stateOf(libvirt, domain);
      const stopped = state === PAUSED && reason === IO_ERROR;
      return { ...sliceDiskOf(await libvirt.xml(domain, 0), kind), running: !OFF.includes(state), stopped };
    },
    attach: (vm, disk) => change(PROCEDURE.attachDeviceFlags, vm, diskXml(disk, kind)),
    detach: (vm, target) => change(PROCEDURE.detachDeviceFlags, vm, diskXml({ target, socket: '/', reconnectSeconds: 1 }, kind)),
    async goOn(vm) {
      const libvirt = await api();
      const payload = aboutDomain(await domainOf(libvirt, vm)).bytes();
      await libvirt.connection.call({ procedure: PROCEDURE.resume, payload, deadlineMs: CALL_DEADLINE_MS });
    },
    close: () => session.close(),
  };
}

const aboutDomain = ({ name, uuid }: DomainRef): XdrWriter => createXdrWriter().string(name).opaque(uuidBytes(uuid)).i32(-1);

async function stateOf({ connection }: LibvirtApi, domain: DomainRef): Promise<{ state: number; reason: number }> {
  const payload = aboutDomain(domain).u32(0).bytes();
  const reader = await connection.call({ procedure: PROCEDURE.getState, payload, deadlineMs: CALL_DEADLINE_MS });
  return { state: reader.i32(), reason: reader.i32() };
}

/**
 * A mirror that is gone pauses the VM instead of failing the guest's reads, which would end the processes whose pages lie there. QEMU's
 * own wait is kept by libvirt from 9.5 on; earlier versions leave it out.
 */
export function diskXml(
  { target, socket, reconnectSeconds }: { target: string; socket: string; reconnectSeconds: number },
  kind: SliceKind,
): string {
  return `<disk type='network' device='disk'>
  <driver name='qemu' type='raw' cache='none' error_policy='stop' rerror_policy='stop'/>
  <source protocol='nbd' name='${SLICE_NAMES[kind]}'>
    <host transport='unix' socket='${xmlText(socket)}'/>
    <reconnect delay='${reconnectSeconds}'/>
  </source>
  <target dev='${xmlText(target)}' bus='virtio'/>
  <serial>${SLICE_NAMES[kind]}</serial>
</disk>`;
}

/** What a live definition says of a slice. Throws when it cannot be read. */
export function sliceDiskOf(xml: string, kind: SliceKind): Omit<SliceDisk, 'running' | 'stopped'> {
  const disks = childrenOf(at(parseXml(xml), 'devices'), 'disk');
  const own = disks.find((disk) => attribute(at(disk, 'source'), 'name') === SLICE_NAMES[kind]);
  const taken = new Set(disks.map(targetOf));
  const free = [...LETTERS].map((letter) => `vd${letter}`).find((name) => !taken.has(name));
  return {
    target: own === undefined ? null : (targetOf(own) ?? null),
    socket: attribute(at(own, 'source', 'host'), 'socket') ?? null,
    freeTarget: free ?? 'vdaa',
  };
}

const targetOf = (disk: XmlElement): string | undefined => attribute(at(disk, 'target'), 'dev');
