/**
 * The links of a domain's network interfaces and the filters they refer to. Live XML in; links out, and for each the interface's own
 * XML with its link or its filter as asked, as virDomainUpdateDeviceFlags takes it. Only what libvirt wrote itself is read here:
 * one `<interface>` is one element without others of that name inside.
 */
import type { FilterRef, Link } from '../../core/isolation.ts';
import { xmlText } from './xml-text.ts';
import { attribute, childrenOf, parseXml } from './xml-tree.ts';

const INTERFACE = /<interface\s[^>]*>[\s\S]*?<\/interface>/g;
const TYPE = /^<interface\s[^>]*type=['"](\w+)['"]/;
const MAC = /<mac\s+address=['"]([0-9a-fA-F:]{17})['"]/;
const LINK = /\s*<link\s+state=['"](up|down)['"]\s*\/>/;
const FILTER = /\s*<filterref\s[^>]*?(?:\/>|>[\s\S]*?<\/filterref>)/;
/** Passed through to the guest: there is no link of the host's to take down. */
const PASSED_THROUGH = ['hostdev', 'vdpa'];
/** Those with a tap device on a bridge of the host: libvirt refuses a filter anywhere else. */
const FILTERABLE = ['network', 'bridge', 'ethernet'];

export interface XmlLink extends Link {
  /** The interface with its link in the state asked for. */
  xmlWith(up: boolean): string;
  /** The interface with this filter and no other. */
  xmlWithFilter(filter: FilterRef | null): string;
}

export function linksOf(domainXml: string): XmlLink[] {
  return (domainXml.match(INTERFACE) ?? []).flatMap((xml) => {
    const mac = MAC.exec(xml)?.[1]?.toLowerCase();
    const type = TYPE.exec(xml)?.[1] ?? '';
    if (mac === undefined || PASSED_THROUGH.includes(type)) return [];
    const ending = (element: string): string => `${element}</interface>`;
    return [
      {
        mac,
        up: LINK.exec(xml)?.[1] !== 'down',
        filter: filterIn(FILTER.exec(xml)?.[0]),
        filterable: FILTERABLE.includes(type),
        xmlWith: (up: boolean) => xml.replace(LINK, '').replace(/<\/interface>$/, ending(`<link state='${up ? 'up' : 'down'}'/>`)),
        xmlWithFilter: (filter) => xml.replace(FILTER, '').replace(/<\/interface>$/, () => ending(filterXml(filter))),
      },
    ];
  });
}

function filterIn(xml: string | undefined): FilterRef | null {
  if (xml === undefined) return null;
  const element = parseXml(xml.trim());
  const parameters = childrenOf(element, 'parameter').map((each) => ({
    name: attribute(each, 'name') ?? '',
    value: attribute(each, 'value') ?? '',
  }));
  return { name: attribute(element, 'filter') ?? '', parameters };
}

function filterXml(filter: FilterRef | null): string {
  if (filter === null) return '';
  const parameters = filter.parameters.map(({ name, value }) => `<parameter name='${xmlText(name)}' value='${xmlText(value)}'/>`);
  return `<filterref filter='${xmlText(filter.name)}'>${parameters.join('')}</filterref>`;
}
