/**
 * A guest's addresses by the neighbour table of its host's kernel, where no libvirt network leased them: IPv4 addresses that its
 * interfaces answered from lately. Read from /proc and not through libvirt, whose own reading of it fails on current kernels
 * ("wrong nlmsg len", 9.0). Input: the domain's XML, the table; output: addresses. Pure but for `readNeighbours`.
 */
import { readFile } from 'node:fs/promises';
import { at, attribute, childrenOf, parseXml } from './xml-tree.ts';

/** ATF_COM of the kernel: the entry has a hardware address that was answered. */
const COMPLETE = 2;

export const readNeighbours = (): Promise<string> => readFile('/proc/net/arp', 'latin1').catch(() => '');

export function macsOf(domainXml: string): string[] {
  const interfaces = childrenOf(at(parseXml(domainXml), 'devices'), 'interface');
  return interfaces.flatMap((one) => attribute(at(one, 'mac'), 'address') ?? []);
}

/** `table`: columns of /proc/net/arp (address, type, flags, hardware address, …), a heading first. */
export function neighboursOf(macs: readonly string[], table: string): string[] {
  const wanted = new Set(macs.map((mac) => mac.toLowerCase()));
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([address, , flags, mac]) =>
      address !== undefined && wanted.has(mac?.toLowerCase() ?? '') && (Number(flags) & COMPLETE) !== 0 ? [address] : [],
    );
}
