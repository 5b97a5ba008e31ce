/**
 * Devices of a domain that hold its memory in place or add memory of their own. Parsed XML in; names in words out. What is
 * not known to be harmless is named: unknown means never.
 */
import { at, attribute, childrenOf, type XmlElement } from './xml-tree.ts';

/** Host devices that QEMU serves itself, without access to guest memory. */
const HARMLESS_HOSTDEVS = ['usb', 'scsi'];
/** Interfaces served by QEMU or the host's kernel through ordinary means. */
const HARMLESS_INTERFACES = ['network', 'bridge', 'direct', 'ethernet', 'user', 'null', 'udp', 'internal', 'client', 'server', 'mcast'];
const HARMLESS_DISKS = ['file', 'block', 'dir', 'network', 'volume'];
const HARMLESS_FILESYSTEMS = ['path', 'handle', 'loop', 'builtin'];
/** All kinds of devices libvirt 9 to 11 knows; the ones that bear on memory are looked into. */
const KNOWN_DEVICES = new Set(
  [
    'emulator disk controller lease filesystem interface smartcard serial parallel console channel input tpm graphics sound audio',
    'video hostdev redirdev redirfilter hub watchdog memballoon rng nvram panic memory iommu vsock shmem crypto pstore',
  ]
    .join(' ')
    .split(' '),
);

/** Devices for which guest memory must stay where it is (VFIO, vDPA) or is shared with another process (vhost-user). */
export function passthroughOf(devices: XmlElement | undefined, problems: string[]): string[] {
  if (devices === undefined) {
    problems.push('it has no <devices>');
    return [];
  }
  const found: string[] = [];
  for (const device of devices.children) {
    if (!KNOWN_DEVICES.has(device.name)) problems.push(`its device <${device.name.slice(0, 40)}> is of an unknown kind`);
    const why = pinning(device);
    if (why !== null) found.push(why);
  }
  return found;
}

function pinning(device: XmlElement): string | null {
  const type = attribute(device, 'type') ?? 'unknown';
  switch (device.name) {
    case 'hostdev':
      return HARMLESS_HOSTDEVS.includes(type) ? null : `host device (${type})`;
    case 'interface':
      if (HARMLESS_INTERFACES.includes(type)) {
        return attribute(at(device, 'driver'), 'name') === 'vfio' ? `interface through VFIO` : null;
      }
      return `interface of type ${type}`;
    case 'disk':
      return HARMLESS_DISKS.includes(type) ? null : `disk of type ${type}`;
    case 'filesystem': {
      const driver = attribute(at(device, 'driver'), 'type') ?? 'path';
      return HARMLESS_FILESYSTEMS.includes(driver) ? null : `file system served by ${driver}`;
    }
    case 'video':
      return attribute(at(device, 'driver'), 'name') === 'vhostuser' ? 'video served by vhost-user' : null;
    case 'crypto':
      return attribute(at(device, 'backend'), 'model') === 'lkcf' || attribute(at(device, 'backend'), 'model') === 'builtin'
        ? null
        : 'crypto device of an unknown back end';
    default:
      return null;
  }
}

/** DIMMs, NVDIMMs, virtio-mem and the like, and slots reserved for them that are in use. */
export function memoryDevicesOf(domain: XmlElement): number {
  return childrenOf(at(domain, 'devices'), 'memory').length;
}
