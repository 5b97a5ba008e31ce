/**
 * A domain's one virtio-mem device. Live XML in; what can be plugged and what is, and the device's own XML with another request, as
 * virDomainUpdateDeviceFlags takes it. Only what libvirt wrote itself is read; anything that is not understood is no such device.
 */
import type { PluggedMemory } from '../../core/plugged-memory.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

/** One `<memory model=…>` is one element without others of that name inside; the definition's own `<memory>` has no model. */
const DEVICE = /<memory\s+model=['"]virtio-mem['"][^>]*>[\s\S]*?<\/memory>/g;
const REQUESTED = /<requested\s[^>]*>\s*\d+\s*<\/requested>/;
const CURRENT = /\s*<current\s[^>]*>\s*\d+\s*<\/current>/;
const KIB_PER_UNIT: Record<string, number> = { KiB: 1, MiB: 1024, GiB: 1024 ** 2, TiB: 1024 ** 3 };

export interface MemoryDevice {
  sizeKib: number;
  blockKib: number;
  requestedKib: number;
  /** What the guest has plugged; as much as is requested where the definition is not a live one. */
  pluggedKib: number;
}

/** Null: it has none, several, or one with memory of a kind or in a place of its own. */
export function memoryDeviceOf(domain: XmlElement): MemoryDevice | null {
  const [device, ...others] = childrenOf(at(domain, 'devices'), 'memory');
  if (device === undefined || others.length > 0 || attribute(device, 'model') !== 'virtio-mem') return null;
  if (at(device, 'source') !== undefined || attribute(device, 'access') !== undefined) return null;
  const target = at(device, 'target');
  const sizeKib = kibOf(at(target, 'size'));
  const blockKib = kibOf(at(target, 'block'));
  const requestedKib = kibOf(at(target, 'requested'));
  const current = at(target, 'current');
  const pluggedKib = current === undefined ? requestedKib : kibOf(current);
  const inBlocks = [sizeKib, requestedKib, pluggedKib].every((kib) => kib % blockKib === 0);
  if (!(blockKib > 0 && sizeKib > 0 && inBlocks && requestedKib <= sizeKib && pluggedKib <= sizeKib)) return null;
  return { sizeKib, blockKib, requestedKib, pluggedKib };
}

/** NaN where it cannot be understood: nothing compares with that. */
function kibOf(element: XmlElement | undefined): number {
  const scale = KIB_PER_UNIT[attribute(element, 'unit') ?? 'KiB'];
  return element !== undefined && scale !== undefined && /^\d{1,12}$/.test(element.text) ? Number(element.text) * scale : Number.NaN;
}

/** A live domain with its device, and what its guest boots with; null = it has none that could be used. */
export interface PluggableDomain extends MemoryDevice {
  bootKib: number;
  xmlWith(requestedKib: number): string;
}

export function pluggableDomainOf(domainXml: string): PluggableDomain | null {
  const domain = parseXml(domainXml);
  const device = memoryDeviceOf(domain);
  const [xml] = domainXml.match(DEVICE) ?? [];
  if (device === null || xml === undefined || !REQUESTED.test(xml)) return null;
  const bootKib = kibOf(at(domain, 'memory')) - device.sizeKib;
  if (!(bootKib > 0)) return null;
  const xmlWith = (requestedKib: number): string =>
    xml.replace(CURRENT, '').replace(REQUESTED, `<requested unit='KiB'>${requestedKib}</requested>`);
  return { ...device, bootKib, xmlWith };
}

/** For facts, MiB: the definition's `<memory>` counts what may be plugged, what the guest boots with does not. */
export function pluggedFacts(domain: XmlElement, memoryKib: number): { bootMemoryMiB: number; plugged?: PluggedMemory } {
  const device = memoryDeviceOf(domain);
  if (device === null || !(memoryKib > device.sizeKib)) return { bootMemoryMiB: memoryKib / 1024 };
  const { sizeKib, blockKib, requestedKib } = device;
  return {
    bootMemoryMiB: (memoryKib - sizeKib) / 1024,
    plugged: { sizeMiB: sizeKib / 1024, blockMiB: blockKib / 1024, requestedMiB: requestedKib / 1024 },
  };
}
