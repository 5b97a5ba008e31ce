/**
 * A domain's network cut off and given back: by its links, or by the packet filter of libvirt's network filter driver that drops
 * everything while links stay up. Input: a connection and a domain; output: links as read back, or an error that says why this host
 * cannot. A filter of our name that is there already is left as it is: an administrator may let something through, such as a scanner.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { type InterfaceFilter, type Link, QUARANTINE, sameFilter } from '../../core/isolation.ts';
import { linksOf, type XmlLink } from './links.ts';
import type { DomainRef, LibvirtApi } from './procedures.ts';
import { LIBVIRT_NO_FILTER, LibvirtError } from './rpc-errors.ts';

/** Of the root chain and before all others: frames of every protocol, both ways. */
const FILTER_XML = `<filter name='${QUARANTINE.name}' chain='root'><rule action='drop' direction='inout' priority='-1000'/></filter>`;

interface Place {
  api: LibvirtApi;
  domain: DomainRef;
}

const xmlLinks = async ({ api, domain }: Place): Promise<XmlLink[]> => linksOf(await api.xml(domain, 0));

/** Without what only this adapter needs. */
export async function readLinks(place: Place): Promise<Link[]> {
  return (await xmlLinks(place)).map(({ mac, up, filter, filterable }) => ({ mac, up, filter, filterable }));
}

export async function setLinks(place: Place, macs: readonly string[], up: boolean): Promise<Link[]> {
  for (const link of await xmlLinks(place)) {
    if (macs.includes(link.mac) && link.up !== up) await place.api.updateDevice(place.domain, link.xmlWith(up));
  }
  return (await readLinks(place)).filter(({ mac }) => macs.includes(mac));
}

export async function setFilters(place: Place, filters: readonly InterfaceFilter[]): Promise<Link[]> {
  const wanted = new Map(filters.map(({ mac, filter }) => [mac, filter]));
  for (const link of await xmlLinks(place)) {
    const filter = wanted.get(link.mac);
    if (filter !== undefined && !sameFilter(filter, link.filter)) await place.api.updateDevice(place.domain, link.xmlWithFilter(filter));
  }
  return (await readLinks(place)).filter(({ mac }) => wanted.has(mac));
}

export async function defineQuarantine(api: LibvirtApi): Promise<void> {
  try {
    await api.lookUpFilter(QUARANTINE.name).catch((error: unknown) => {
      if (!(error instanceof LibvirtError) || error.libvirtCode !== LIBVIRT_NO_FILTER) throw error;
      return api.defineFilter(FILTER_XML);
    });
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    const advice = 'install libvirt with its nwfilter driver (virtnwfilterd), or isolate by link';
    throw new HeadroomError(error.code, `this host has no packet filters for VMs: ${error.message}; ${advice}`, { cause: error });
  }
}
