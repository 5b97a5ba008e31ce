/**
 * Disks that lie in files, in a domain's XML. Pure: XML text in, facts or XML text out. Only the disks' own elements are touched.
 */
import { type DefinedDisk, DISK_FORMATS, type DiskFormat, type DiskPolicies } from '../../core/held-disk.ts';
import { xmlText } from './xml-text.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

const DISK = /<disk\b[^>]*>.*?<\/disk>/gs;
const BACKING = /<backingStore\b[^>]*\/>|<backingStore\b.*<\/backingStore>/s;
const SOURCE = /<source\b[^>]*\/>|<source\b[^>]*>.*?<\/source>/s;
const DRIVER_TYPE = /(<driver\b[^>]*\btype=)(?:'[^']*'|"[^"]*")/s;

/** Disks proper that lie in files; what is only read from (a CD) is everybody's. */
export function fileDisksOf(domainXml: string): DefinedDisk[] {
  return childrenOf(at(parseXml(domainXml), 'devices'), 'disk').flatMap((disk) => {
    const path = attribute(at(disk, 'source'), 'file');
    const target = attribute(at(disk, 'target'), 'dev');
    const isDisk = (attribute(disk, 'device') ?? 'disk') === 'disk' && at(disk, 'readonly') === undefined;
    if (!isDisk || path === undefined || target === undefined) return [];
    const format = attribute(at(disk, 'driver'), 'type') ?? 'raw';
    return [{ target, path, format: format as DiskFormat, problem: problemOf(disk, format) }];
  });
}

function problemOf(disk: XmlElement, format: string): string | null {
  if (!(DISK_FORMATS as readonly string[]).includes(format)) return `its format is ${format}, neither qcow2 nor raw`;
  if (at(disk, 'shareable') !== undefined) return 'other VMs may write to it, too';
  if (at(disk, 'transient') !== undefined) return 'what is written to it is not to last';
  if (at(disk, 'encryption') !== undefined || at(disk, 'source', 'encryption') !== undefined)
    return 'it is encrypted with a key that libvirt has';
  if (at(disk, 'mirror') !== undefined) return 'it is being copied';
  return null;
}

/** The same machine with these disks (qcow2 images that stand alone) where the definition has others. */
export function withDisks(domainXml: string, places: ReadonlyMap<string, string>): string {
  return domainXml.replace(DISK, (text) => {
    const disk = parseXml(text);
    const path = places.get(attribute(at(disk, 'target'), 'dev') ?? '');
    if (path === undefined || attribute(at(disk, 'source'), 'file') === path) return text;
    const source = `<source file='${xmlText(path)}'/>`;
    return text
      .replace(BACKING, '')
      .replace(SOURCE, () => source)
      .replace(DRIVER_TYPE, (_all, before: string) => `${before}'qcow2'`);
  });
}

const POLICY = /\s(?:error_policy|rerror_policy)=(?:'[^']*'|"[^"]*")/g;
const DRIVER = /<driver\b[^>]*?(?=\s*\/?>)/;

export function policiesOf(domainXml: string, target: string): DiskPolicies {
  const disk = childrenOf(at(parseXml(domainXml), 'devices'), 'disk').find((one) => attribute(at(one, 'target'), 'dev') === target);
  const driver = disk === undefined ? undefined : at(disk, 'driver');
  return { errorPolicy: attribute(driver, 'error_policy') ?? null, readErrorPolicy: attribute(driver, 'rerror_policy') ?? null };
}

/** The same machine whose disk reads what its image lacks from a socket, and which stands still when it cannot. */
export function withServedDisk(domainXml: string, target: string, socket: string): string {
  const host = `<host transport='unix' socket='${xmlText(socket)}'/>`;
  const below = `<backingStore type='network'><format type='raw'/><source protocol='nbd'>${host}</source><backingStore/></backingStore>`;
  return withDisk(domainXml, target, { errorPolicy: 'stop', readErrorPolicy: 'stop' }, below);
}

/** The same machine whose disk's image stands alone. */
export function withWholeDisk(domainXml: string, target: string, policies: DiskPolicies): string {
  return withDisk(domainXml, target, policies, '');
}

function withDisk(domainXml: string, target: string, { errorPolicy, readErrorPolicy }: DiskPolicies, below: string): string {
  return domainXml.replace(DISK, (text) => {
    if (attribute(at(parseXml(text), 'target'), 'dev') !== target) return text;
    const write = errorPolicy === null ? '' : ` error_policy='${xmlText(errorPolicy)}'`;
    const read = readErrorPolicy === null ? '' : ` rerror_policy='${xmlText(readErrorPolicy)}'`;
    return text
      .replace(BACKING, '')
      .replace(DRIVER, (driver) => `${driver.replaceAll(POLICY, '')}${write}${read}`)
      .replace(SOURCE, (source) => `${source}${below}`);
  });
}
