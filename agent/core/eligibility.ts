/**
 * Which resources of a VM may be changed at all, and in words why not. Pure: facts of the definition, of the host and what
 * the guest agent claims in; allowed or never out. Unknown means never. Shown by `look` and `vm show`, enforced by the
 * lint and by the command guard.
 */
import type { Eligibility, EligibilityMap } from '../../shared/resources.ts';
import type { OsFamily, VmFacts } from './vm-facts.ts';

export interface HostFacts {
  /** Another balloon manager seen on this host (oVirt MOM, Proxmox), null = none. */
  balloonManager: string | null;
}

/** What the guest agent claims of its guest. */
export interface GuestInfo {
  osFamily: OsFamily | undefined;
}

/** Hypervisors whose scheduler, balloon and limits are understood. */
const DOMAIN_TYPES = ['kvm', 'qemu'];
/** Kinds of interfaces libvirt can limit (`virDomainSetInterfaceParameters`); user-mode and vhost-user ones it cannot. */
const LIMITABLE_INTERFACES = ['network', 'bridge', 'direct', 'ethernet'];
const ALLOWED: Eligibility = { allowed: true };

/** Labels of an administrator that bear on eligibility. */
const LABEL_OS = 'os';
const LABEL_MEMORY = 'memory';
const LABEL_VCPUS = 'vcpus';
const LABEL_CLASS = 'class';

export function eligibility(facts: VmFacts, host: HostFacts, guest: GuestInfo | null): EligibilityMap {
  const all = reasonForAll(facts);
  const judge = (reasons: (string | null)[]): Eligibility => {
    const found = [all, ...reasons].filter((reason) => reason !== null);
    return found.length === 0 ? ALLOWED : { allowed: false, reason: found.join('; ') };
  };
  return {
    cpu: judge(cpuReasons(facts)),
    memory: judge(memoryReasons(facts, host, guest)),
    network: judge([networkReason(facts)]),
    disk: judge([facts.disks.length === 0 ? 'it has no disk' : null]),
  };
}

/** Quorum services and the like (`class` label "cluster"): what they have is only ever raised. */
export function isGrowOnly(facts: VmFacts): boolean {
  return facts.labels[LABEL_CLASS] === 'cluster';
}

/** The number of vCPUs is left alone unless an administrator labelled the VM `vcpus` = "allow". */
export function mayChangeVcpus(facts: VmFacts): boolean {
  return facts.problems.length === 0 && facts.labels[LABEL_VCPUS] === 'allow';
}

/** A label outranks the definition, and the definition the guest's own claim. */
export function osFamilyOf(facts: VmFacts, guest: GuestInfo | null): OsFamily | undefined {
  const label = facts.labels[LABEL_OS];
  if (label === 'linux' || label === 'windows' || label === 'bsd' || label === 'other') return label;
  return facts.osFamily ?? guest?.osFamily;
}

function reasonForAll(facts: VmFacts): string | null {
  if (facts.problems.length > 0) return `its definition could not be understood: ${facts.problems.slice(0, 3).join('; ')}`;
  if (!DOMAIN_TYPES.includes(facts.domainType)) return `its hypervisor type "${facts.domainType}" is not one Headroom knows`;
  return null;
}

function cpuReasons(facts: VmFacts): (string | null)[] {
  return [
    facts.dedicatedPinning ? 'its vCPUs are pinned to dedicated host CPUs' : null,
    facts.realtimeScheduling ? 'its vCPUs are scheduled in real time' : null,
    facts.vcpusOnline > 0 ? null : 'the number of its vCPUs is unknown',
  ];
}

function memoryReasons(facts: VmFacts, host: HostFacts, guest: GuestInfo | null): (string | null)[] {
  return [
    facts.passthrough.length > 0 ? `devices hold its memory in place: ${facts.passthrough.join(', ')}` : null,
    facts.launchSecurity === null ? null : `its memory is encrypted (${facts.launchSecurity})`,
    facts.hugepages ? 'its memory is in huge pages' : null,
    facts.lockedMemory ? 'its memory is locked' : null,
    facts.preallocatedMemory ? 'its memory is allocated up front' : null,
    facts.numaStrict ? 'its memory is bound strictly to NUMA nodes' : null,
    facts.memorySource === undefined ? 'what its memory is made of is unknown' : null,
    memoryDevicesReason(facts),
    balloonReason(facts),
    facts.bootMemoryMiB > 0 ? null : 'its memory size is unknown',
    host.balloonManager === null ? null : `${host.balloonManager} manages balloons on this host`,
    osReason(facts, guest),
  ];
}

function memoryDevicesReason({ memoryDevices, plugged }: VmFacts): string | null {
  if (memoryDevices === 0 || plugged !== undefined) return null;
  return `it has ${memoryDevices} memory device(s) that the balloon does not cover`;
}

function balloonReason(facts: VmFacts): string | null {
  switch (facts.balloonModel) {
    case 'virtio':
      return facts.balloonDeflateOnOom ? 'its balloon deflates by itself when the guest runs out of memory, so no target holds' : null;
    case 'none':
      return 'it has no balloon device';
    case 'other':
      return 'its balloon device is of a kind Headroom does not know';
    case undefined:
      return 'whether it has a balloon device is unknown';
  }
}

function osReason(facts: VmFacts, guest: GuestInfo | null): string | null {
  const family = osFamilyOf(facts, guest);
  if (family === 'windows') {
    return facts.labels[LABEL_MEMORY] === 'allow' ? null : 'memory of Windows guests is left alone unless the VM is labelled memory=allow';
  }
  if (family === undefined) {
    return 'its operating system is unknown: name it by libosinfo metadata, the label os=linux, or a guest agent';
  }
  return null;
}

function networkReason(facts: VmFacts): string | null {
  if (facts.interfaces.length === 0) return 'it has no network interface';
  const other = facts.interfaces.find(({ type }) => !LIMITABLE_INTERFACES.includes(type));
  return other ? `its interface ${other.device || other.mac} is of type "${other.type}", which cannot be limited` : null;
}
