/**
 * What administrators and tools wrote into a domain's metadata: Headroom's labels, the operating system by libosinfo or by
 * plain signs. Parsed XML in; labels and family out. Headroom reads labels and never writes them; its own state lives in a
 * second element.
 */
import type { OsFamily } from '../../core/vm-facts.ts';
import { at, attribute, childInNamespace, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

export const LABELS_NAMESPACE = 'https://headroom.dev/xmlns/labels/1';
export const STATE_NAMESPACE = 'https://headroom.dev/xmlns/state/1';
const LIBOSINFO_NAMESPACE = 'http://libosinfo.org/xmlns/libvirt/domain/1.0';
/** More than this is not an administrator's labels. */
const LABELS_MAX = 64;
const LABEL_NAME_MAX = 64;
const LABEL_VALUE_MAX = 256;

/** Labels of `<labels xmlns=…><label name= value=/></labels>`. */
export function labelsOf(domain: XmlElement): Record<string, string> {
  const metadata = at(domain, 'metadata');
  return labelsFrom(childInNamespace(metadata, LABELS_NAMESPACE, 'labels', [domain]));
}

/** Labels of the element by itself, as libvirt hands it out; none when it cannot be read. */
export function labelsFromElement(xml: string): Record<string, string> {
  try {
    return labelsFrom(parseXml(xml));
  } catch {
    return {};
  }
}

function labelsFrom(element: XmlElement | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const child of element?.children.slice(0, LABELS_MAX) ?? []) {
    const name = attribute(child, 'name');
    const value = attribute(child, 'value');
    const local = child.name.split(':').at(-1);
    if (local !== 'label' || !name || value === undefined || name === '__proto__') continue;
    if (name.length <= LABEL_NAME_MAX && value.length <= LABEL_VALUE_MAX) labels[name] = value;
  }
  return labels;
}

/** Hosts of libosinfo's identifiers, by family. */
const OS_HOSTS: [RegExp, OsFamily][] = [
  [/^https?:\/\/microsoft\.com\//, 'windows'],
  [/^https?:\/\/(freebsd|openbsd|netbsd|dragonflybsd)\.org\//, 'bsd'],
  [
    /^https?:\/\/([\w-]+\.)*(debian\.org|ubuntu\.com|fedoraproject\.org|redhat\.com|centos\.org|rockylinux\.org|almalinux\.org|oracle\.com\/ol|opensuse\.org|suse\.com|archlinux\.org|gentoo\.org|alpinelinux\.org|amazon\.com|cirros-cloud\.net|libosinfo\.org\/linux|mageia\.org|nixos\.org|guix\.gnu\.org|flatcar-linux\.org|altlinux\.org|voidlinux\.org)/,
    'linux',
  ],
];

/**
 * The guest's operating system as far as the definition tells: libosinfo's word first, then signs that leave no doubt
 * (Hyper-V features are for Windows, a kernel with an initramfs is Linux).
 */
export function osFamilyOfDomain(domain: XmlElement): OsFamily | undefined {
  const info = childInNamespace(at(domain, 'metadata'), LIBOSINFO_NAMESPACE, 'libosinfo', [domain]);
  const id = info?.children.map((child) => attribute(child, 'id')).find((value) => value !== undefined);
  if (id !== undefined) return OS_HOSTS.find(([pattern]) => pattern.test(id))?.[1] ?? 'other';
  if (childrenOf(at(domain, 'features'), 'hyperv').length > 0) return 'windows';
  const os = at(domain, 'os');
  return at(os, 'kernel') !== undefined && at(os, 'initrd') !== undefined ? 'linux' : undefined;
}
