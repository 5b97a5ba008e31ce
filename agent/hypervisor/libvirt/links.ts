/**
 * The links of a domain's network interfaces. Live XML in; links out, and for each the interface's own XML with its link up or
 * down, as virDomainUpdateDeviceFlags takes it. Only what libvirt wrote itself is read here: one `<interface>` is one element
 * without others of that name inside.
 */
import type { Link } from '../../core/isolation.ts';

const INTERFACE = /<interface\s[^>]*>[\s\S]*?<\/interface>/g;
const MAC = /<mac\s+address=['"]([0-9a-fA-F:]{17})['"]/;
const LINK = /\s*<link\s+state=['"](up|down)['"]\s*\/>/;
/** Passed through to the guest: there is no link of the host's to take down. */
const PASSED_THROUGH = /^<interface\s[^>]*type=['"](?:hostdev|vdpa)['"]/;

export interface XmlLink extends Link {
  /** The interface with its link in the state asked for. */
  xmlWith(up: boolean): string;
}

export function linksOf(domainXml: string): XmlLink[] {
  return (domainXml.match(INTERFACE) ?? []).flatMap((xml) => {
    const mac = MAC.exec(xml)?.[1]?.toLowerCase();
    if (mac === undefined || PASSED_THROUGH.test(xml)) return [];
    const plain = xml.replace(LINK, '');
    return [
      {
        mac,
        up: LINK.exec(xml)?.[1] !== 'down',
        xmlWith: (up: boolean) => plain.replace(/<\/interface>$/, `<link state='${up ? 'up' : 'down'}'/></interface>`),
      },
    ];
  });
}
