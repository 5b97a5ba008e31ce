/**
 * Which addresses a host may ask on a guest's behalf: those that lie in a network this host itself is in, and are neither its own
 * nor anybody's in particular. What a guest makes of its leases can then lead no further than its own wire. Input: addresses as the
 * host has them, the host's interfaces; output: those that may be asked. Pure.
 */
import { BlockList, isIP } from 'node:net';

/** As `os.networkInterfaces()` tells it. */
export interface OwnAddress {
  address: string;
  /** Such as `192.168.122.1/24`; null = it has no network of its own. */
  cidr: string | null;
  internal: boolean;
}

/** A guest has few; more would only be a list to be worked through. */
const ADDRESSES_MAX = 4;
/** Anybody's, link-local ones (which need an interface), groups. */
const NOBODYS: readonly [network: string, prefix: number, family: 'ipv4' | 'ipv6'][] = [
  ['0.0.0.0', 8, 'ipv4'],
  ['127.0.0.0', 8, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['224.0.0.0', 3, 'ipv4'],
  ['::', 127, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
  ['ff00::', 8, 'ipv6'],
];

export function mayBeAsked(addresses: readonly string[], own: readonly OwnAddress[]): string[] {
  const barred = new BlockList();
  const near = new BlockList();
  // Kept apart: the list takes an IPv4 address for its mapped one too.
  const mapped = new BlockList();
  mapped.addSubnet('::ffff:0:0', 96, 'ipv6');
  for (const [network, prefix, family] of NOBODYS) barred.addSubnet(network, prefix, family);
  for (const { address, cidr, internal } of own) {
    const family = familyOf(address);
    const [network, prefix] = cidr?.split('/') ?? [];
    if (family === null) continue;
    barred.addAddress(address, family);
    if (!internal && network !== undefined && prefix !== undefined) near.addSubnet(network, Number(prefix), family);
  }
  const asked = [...new Set(addresses)].filter((address) => {
    const family = familyOf(address);
    if (family === 'ipv6' && mapped.check(address, family)) return false;
    return family !== null && near.check(address, family) && !barred.check(address, family);
  });
  return asked.slice(0, ADDRESSES_MAX);
}

function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : null;
}
