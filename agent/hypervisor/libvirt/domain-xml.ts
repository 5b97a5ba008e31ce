/**
 * A domain's XML → facts that bear on safety. Live XML (text) and what libvirt knows besides in; VmFacts out, never an
 * exception: what cannot be understood is named in `problems` or stays undefined, and counts as never. Element meanings:
 * libvirt's "Domain XML format" page.
 */
import { errorText } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import type { VmFacts } from '../../core/vm-facts.ts';
import { memoryDevicesOf, passthroughOf } from './domain-devices.ts';
import { labelsOf, osFamilyOfDomain } from './domain-metadata.ts';
import { pluggedFacts } from './memory-device.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

/** KiB per unit of libvirt's scaled integers; `b` and `bytes` are fractions. */
const KIB_PER_UNIT: Record<string, number> = {
  b: 1 / 1024,
  bytes: 1 / 1024,
  KB: 1000 / 1024,
  k: 1,
  KiB: 1,
  MB: 1e6 / 1024,
  M: 1024,
  MiB: 1024,
  GB: 1e9 / 1024,
  G: 1024 ** 2,
  GiB: 1024 ** 2,
  TB: 1e12 / 1024,
  T: 1024 ** 3,
  TiB: 1024 ** 3,
};
const VIRTIO_BALLOONS = ['virtio', 'virtio-transitional', 'virtio-non-transitional'];
/** Schedulers that leave the others their share. */
const FAIR_SCHEDULERS = ['batch', 'idle', 'other'];

/** What is known of a domain apart from its XML. */
export interface DomainIdentity {
  id: VmId;
  name: string;
  persistent: boolean;
}

export function factsFromXml(xml: string, identity: DomainIdentity): VmFacts {
  let domain: XmlElement;
  try {
    domain = parseXml(xml);
  } catch (error) {
    return unknownFacts(identity, errorText(error));
  }
  if (domain.name !== 'domain') return unknownFacts(identity, `its root element is <${domain.name.slice(0, 40)}>, not <domain>`);
  return readFacts(domain, identity);
}

function readFacts(domain: XmlElement, identity: DomainIdentity): VmFacts {
  const problems: string[] = [];
  const devices = at(domain, 'devices');
  const vcpu = at(domain, 'vcpu');
  const vcpusMax = whole(vcpu?.text, 'vcpu', problems);
  const totalKib = memoryKib(at(domain, 'memory'), problems);
  return {
    ...identity,
    problems,
    vcpusMax,
    vcpusOnline: attribute(vcpu, 'current') === undefined ? vcpusMax : whole(attribute(vcpu, 'current'), 'vcpu current', problems),
    ...pluggedFacts(domain, totalKib),
    domainType: attribute(domain, 'type') ?? 'unknown',
    machineType: attribute(at(domain, 'os', 'type'), 'machine') ?? 'unknown',
    ...balloonFacts(devices, problems),
    passthrough: passthroughOf(devices, problems),
    launchSecurity: launchSecurityOf(domain),
    ...memoryFacts(domain),
    memoryDevices: memoryDevicesOf(domain),
    ...schedulingFacts(domain, vcpusMax),
    osFamily: osFamilyOfDomain(domain),
    interfaces: interfacesOf(devices),
    disks: disksOf(devices),
    channels: channelsOf(devices),
    labels: labelsOf(domain),
  };
}

/** Nothing understood: every "never" stands on `problems`. */
function unknownFacts(identity: DomainIdentity, problem: string): VmFacts {
  return {
    ...identity,
    problems: [problem],
    vcpusMax: 0,
    vcpusOnline: 0,
    bootMemoryMiB: 0,
    domainType: 'unknown',
    machineType: 'unknown',
    balloonModel: undefined,
    balloonDeflateOnOom: false,
    statsPeriodSeconds: 0,
    passthrough: [],
    launchSecurity: null,
    hugepages: false,
    lockedMemory: false,
    preallocatedMemory: false,
    numaStrict: false,
    numaNode: null,
    memorySource: undefined,
    memoryDevices: 0,
    dedicatedPinning: false,
    realtimeScheduling: false,
    osFamily: undefined,
    interfaces: [],
    disks: [],
    channels: [],
    labels: {},
  };
}

function whole(text: string | undefined, what: string, problems: string[]): number {
  const value = text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1) return value;
  problems.push(text === undefined ? `it has no <${what}>` : `<${what}> is "${text.slice(0, 40)}", not a number of vCPUs`);
  return 0;
}

/** Size of a `<memory>`-like element, KiB; a problem and 0 when it cannot be understood. */
export function memoryKib(element: XmlElement | undefined, problems: string[]): number {
  const unit = attribute(element, 'unit') ?? 'KiB';
  const scale = Object.hasOwn(KIB_PER_UNIT, unit) ? KIB_PER_UNIT[unit] : undefined;
  const kib = element !== undefined && /^\d{1,16}$/.test(element.text) && scale !== undefined ? Number(element.text) * scale : Number.NaN;
  if (kib > 0) return kib;
  problems.push(element === undefined ? 'it has no <memory>' : `<memory> is "${element.text.slice(0, 40)}" ${unit.slice(0, 10)}`);
  return 0;
}

function balloonFacts(
  devices: XmlElement | undefined,
  problems: string[],
): Pick<VmFacts, 'balloonModel' | 'balloonDeflateOnOom' | 'statsPeriodSeconds'> {
  const balloon = at(devices, 'memballoon');
  const model = attribute(balloon, 'model');
  const period = attribute(at(balloon, 'stats'), 'period');
  if (period !== undefined && !/^\d{1,9}$/.test(period)) problems.push(`the balloon's statistics period is "${period.slice(0, 40)}"`);
  return {
    balloonModel: model === undefined ? undefined : VIRTIO_BALLOONS.includes(model) ? 'virtio' : model === 'none' ? 'none' : 'other',
    balloonDeflateOnOom: attribute(balloon, 'autodeflate') === 'on',
    statsPeriodSeconds: period !== undefined && /^\d{1,9}$/.test(period) ? Number(period) : 0,
  };
}

function launchSecurityOf(domain: XmlElement): string | null {
  const element = at(domain, 'launchSecurity');
  return element === undefined ? null : (attribute(element, 'type') ?? 'of unknown type');
}

function memoryFacts(
  domain: XmlElement,
): Pick<VmFacts, 'hugepages' | 'lockedMemory' | 'preallocatedMemory' | 'numaStrict' | 'numaNode' | 'memorySource'> {
  const backing = at(domain, 'memoryBacking');
  const source = attribute(at(backing, 'source'), 'type');
  const numa = at(domain, 'numatune');
  // libvirt's default mode is strict, so an element without a mode binds.
  const strict = (element: XmlElement): boolean => !['preferred', 'interleave'].includes(attribute(element, 'mode') ?? 'strict');
  return {
    hugepages: at(backing, 'hugepages') !== undefined,
    lockedMemory: at(backing, 'locked') !== undefined,
    preallocatedMemory: attribute(at(backing, 'allocation'), 'mode') === 'immediate',
    numaStrict: [...childrenOf(numa, 'memory'), ...childrenOf(numa, 'memnode')].some(strict),
    numaNode: soleNode([...childrenOf(numa, 'memory'), ...childrenOf(numa, 'memnode')]),
    memorySource:
      source === undefined ? 'anonymous' : source === 'anonymous' || source === 'memfd' || source === 'file' ? source : undefined,
  };
}

/** The one host node that all of its memory is bound to or prefers; null when there are several, or none is named. */
function soleNode(elements: readonly XmlElement[]): number | null {
  const sets = elements.map((element) => cpuSet(attribute(element, 'nodeset') ?? ''));
  const [first] = sets;
  if (first?.size !== 1) return null;
  const [node = null] = first;
  return sets.every((set) => set?.size === 1 && set.has(node!)) ? node : null;
}

/** Host CPUs named by a set like `0-3,8,^2`; null when it cannot be read. */
export function cpuSet(text: string): Set<number> | null {
  const cpus = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^\s*(\^?)(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    if (!match) return null;
    const from = Number(match[2]);
    const to = match[3] === undefined ? from : Number(match[3]);
    for (let cpu = from; cpu <= to; cpu++) {
      if (match[1]) cpus.delete(cpu);
      else cpus.add(cpu);
    }
  }
  return cpus;
}

/**
 * Dedicated means: a vCPU sits on one host CPU of its own, or the pinned vCPUs together have no more host CPUs than they
 * are (nothing to share out). Pinning to a wider set is placement, and harmless.
 */
function schedulingFacts(domain: XmlElement, vcpusMax: number): Pick<VmFacts, 'dedicatedPinning' | 'realtimeScheduling'> {
  const tune = at(domain, 'cputune');
  const sets = childrenOf(tune, 'vcpupin').map((pin) => cpuSet(attribute(pin, 'cpuset') ?? ''));
  const placement = attribute(at(domain, 'vcpu'), 'cpuset');
  const union = new Set(sets.flatMap((set) => [...(set ?? [])]));
  const pinned = sets.some((set) => set === null || set.size <= 1) || (sets.length > 0 && union.size <= sets.length);
  const placed = placement !== undefined && (cpuSet(placement)?.size ?? 0) <= vcpusMax;
  const schedulers = childrenOf(tune, 'vcpusched').map((element) => attribute(element, 'scheduler') ?? 'unknown');
  return { dedicatedPinning: pinned || placed, realtimeScheduling: schedulers.some((name) => !FAIR_SCHEDULERS.includes(name)) };
}

function interfacesOf(devices: XmlElement | undefined): VmFacts['interfaces'] {
  return childrenOf(devices, 'interface').map((element) => ({
    device: attribute(at(element, 'target'), 'dev') ?? '',
    mac: attribute(at(element, 'mac'), 'address') ?? '',
    type: attribute(element, 'type') ?? 'unknown',
  }));
}

/** Disks that limits apply to: not CD-ROM or floppy drives. */
function disksOf(devices: XmlElement | undefined): VmFacts['disks'] {
  return childrenOf(devices, 'disk')
    .filter((element) => ['disk', 'lun'].includes(attribute(element, 'device') ?? 'disk'))
    .map((element) => {
      const source = at(element, 'source');
      const where = ['file', 'dev', 'dir', 'name', 'volume', 'path']
        .map((key) => attribute(source, key))
        .find((value) => value !== undefined);
      return { target: attribute(at(element, 'target'), 'dev') ?? '', source: where ?? null };
    })
    .filter(({ target }) => target !== '');
}

function channelsOf(devices: XmlElement | undefined): VmFacts['channels'] {
  return channelElements(devices).flatMap((element) => {
    const name = attribute(at(element, 'target'), 'name');
    const path = attribute(at(element, 'source'), 'path');
    return name === undefined || path === undefined
      ? []
      : [{ name, path, connected: attribute(at(element, 'target'), 'state') === 'connected' }];
  });
}

function channelElements(devices: XmlElement | undefined): XmlElement[] {
  return childrenOf(devices, 'channel').filter(
    (element) => attribute(element, 'type') === 'unix' && attribute(at(element, 'target'), 'type') === 'virtio',
  );
}

/** The channel a device alias belongs to, as monitor events name it; null when there is none. */
export function channelByAlias(xml: string, alias: string): string | null {
  const found = channelElements(at(parseXml(xml), 'devices')).find((element) => attribute(at(element, 'alias'), 'name') === alias);
  return attribute(at(found, 'target'), 'name') ?? null;
}
