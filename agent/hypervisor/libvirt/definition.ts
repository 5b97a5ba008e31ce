/**
 * What a definition grants: a domain's XML → the settings it stands for. Used on the persistent definition for baselines
 * (libvirt offers no call that adds these up), with the same rules as the live readings.
 */
import type { Setting } from '../../../shared/resources.ts';
import { kibToMiB } from '../../../shared/units.ts';
import { type CgroupVersion, capOf, tighter, weightFromShares } from './cpu-tuning.ts';
import { memoryKib } from './domain-xml.ts';
import { diskSettingOf, networkSettingOf } from './io-tuning.ts';
import { pluggedFacts } from './memory-device.ts';
import type { Params } from './typed-params.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

/** Kinds of interfaces libvirt can limit. */
const LIMITABLE_INTERFACES = ['network', 'bridge', 'direct', 'ethernet'];
const WEIGHT_DEFAULT = 100;

/** Settings per resource; a resource whose values the definition does not tell is left out. Throws when it cannot be read. */
export function settingsFromXml(xml: string, version: CgroupVersion): Setting[] {
  const domain = parseXml(xml);
  const problems: string[] = [];
  const settings: Setting[] = [cpuFrom(domain, version)];
  const current = memoryKib(at(domain, 'currentMemory') ?? at(domain, 'memory'), problems);
  if (problems.length === 0) settings.push({ resource: 'memory', memoryMiB: grantedMiB(domain, kibToMiB(current)) });
  const devices = at(domain, 'devices');
  settings.push(
    networkSettingOf(limitableInterfaces(devices).map(bandwidthOf)),
    diskSettingOf(throttleGroups(devices).map(({ params }) => params)),
  );
  return settings;
}

/** With a virtio-mem device `<currentMemory>` stands for the balloon, up to what the guest boots with; what is requested comes on top. */
function grantedMiB(domain: XmlElement, currentMiB: number): number {
  const { bootMemoryMiB, plugged } = pluggedFacts(domain, memoryKib(at(domain, 'memory'), []));
  return plugged === undefined ? currentMiB : Math.min(currentMiB, bootMemoryMiB) + plugged.requestedMiB;
}

const numberIn = (element: XmlElement | undefined): number | undefined =>
  element !== undefined && /^-?\d{1,16}$/.test(element.text) ? Number(element.text) : undefined;

function cpuFrom(domain: XmlElement, version: CgroupVersion): Setting {
  const tune = at(domain, 'cputune');
  const shares = numberIn(at(tune, 'shares'));
  const vcpu = at(domain, 'vcpu');
  const vcpus = Number(attribute(vcpu, 'current') ?? vcpu?.text ?? 1) || 1;
  return {
    resource: 'cpu',
    weight: shares === undefined ? WEIGHT_DEFAULT : weightFromShares(shares, version),
    capCores: tighter(
      capOf(numberIn(at(tune, 'quota')), numberIn(at(tune, 'period')), vcpus),
      capOf(numberIn(at(tune, 'global_quota')), numberIn(at(tune, 'global_period')), 1),
    ),
  };
}

function limitableInterfaces(devices: XmlElement | undefined): XmlElement[] {
  return childrenOf(devices, 'interface').filter((element) => LIMITABLE_INTERFACES.includes(attribute(element, 'type') ?? ''));
}

function bandwidthOf(element: XmlElement): Params {
  const params: Params = {};
  for (const way of ['inbound', 'outbound']) {
    const limit = at(element, 'bandwidth', way);
    for (const name of ['average', 'peak', 'burst', 'floor']) params[`${way}.${name}`] = Number(attribute(limit, name) ?? 0);
  }
  return params;
}

interface ThrottleGroup {
  /** One disk of the group: limits set on it hold for the group. */
  target: string;
  params: Params;
}

/** Throttle groups in the definition's order; disks without a group are one each. Only names in the XML are an administrator's. */
function throttleGroups(devices: XmlElement | undefined): ThrottleGroup[] {
  const groups = new Map<string, ThrottleGroup>();
  for (const disk of childrenOf(devices, 'disk')) {
    const target = attribute(at(disk, 'target'), 'dev');
    if (target === undefined || !['disk', 'lun'].includes(attribute(disk, 'device') ?? 'disk')) continue;
    const tune = at(disk, 'iotune');
    const params: Params = {};
    for (const child of tune?.children ?? []) params[child.name] = numberIn(child) ?? 0;
    const name = at(tune, 'group_name')?.text;
    const key = name === undefined ? `target ${target}` : `group ${name}`;
    if (!groups.has(key)) groups.set(key, { target, params });
  }
  return [...groups.values()];
}

/** One disk of each throttle group of a live domain. */
export function throttledDisks(xml: string): string[] {
  return throttleGroups(at(parseXml(xml), 'devices')).map(({ target }) => target);
}

/** Interfaces of a live domain that libvirt can limit, by device name (or MAC where they have none). */
export function limitableDevices(xml: string): string[] {
  return limitableInterfaces(at(parseXml(xml), 'devices')).map(
    (element) => attribute(at(element, 'target'), 'dev') ?? attribute(at(element, 'mac'), 'address') ?? '',
  );
}
