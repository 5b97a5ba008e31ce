/**
 * Where a webhook must not go: this machine, its link, the metadata services of clouds, and what no server has. A user who
 * may name a target could otherwise make the aggregator speak to what trusts it (server-side request forgery). Address in;
 * why not out. Input addresses are literal: names are resolved before, and each address is looked at.
 */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { HeadroomError } from '../../shared/errors.ts';

type Refused = readonly [address: string, prefix: number, why: string];

const REFUSED: readonly Refused[] = [
  ['127.0.0.0', 8, 'loopback'],
  ['::1', 128, 'loopback'],
  ['0.0.0.0', 8, 'this machine'],
  ['::', 128, 'this machine'],
  ['169.254.0.0', 16, 'link-local, where clouds keep their metadata'],
  ['fe80::', 10, 'link-local'],
  // Metadata services outside of the link-local range: EC2 by IPv6, Alibaba, Oracle.
  ['fd00:ec2::', 32, 'a metadata service'],
  ['100.100.100.200', 32, 'a metadata service'],
  ['192.0.0.192', 32, 'a metadata service'],
  ['224.0.0.0', 4, 'multicast'],
  ['ff00::', 8, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
  // These carry an IPv4 address inside: any of the above may hide there.
  ['64:ff9b::', 96, 'an address translated to IPv4'],
  ['64:ff9b:1::', 48, 'an address translated to IPv4'],
  ['2002::', 16, 'an address tunnelled to IPv4'],
  ['2001::', 32, 'an address tunnelled to IPv4'],
];

const family = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4');

const LISTS = REFUSED.map(([address, prefix, why]) => {
  const list = new BlockList();
  list.addSubnet(address, prefix, family(address));
  return { list, why };
});

/** Configured exceptions, such as `127.0.0.1` or `169.254.7.0/24`. Throws CONFIG_INVALID. */
export function allowedTargets(texts: readonly string[]): BlockList {
  const allowed = new BlockList();
  for (const text of texts) {
    const [address = '', prefix] = text.split('/');
    const bits = prefix === undefined ? (isIPv6(address) ? 128 : 32) : Number(prefix);
    if (isIP(address) === 0 || !Number.isInteger(bits) || bits < 0 || bits > (isIPv6(address) ? 128 : 32)) {
      throw new HeadroomError('CONFIG_INVALID', `"${text}" in webhookTargets is neither an address nor a network such as 127.0.0.0/8`);
    }
    allowed.addSubnet(address, bits, family(address));
  }
  return allowed;
}

/** `::ffff:127.0.0.1` and its hexadecimal form stand for an IPv4 address. */
function unmapped(address: string): string {
  if (!isIPv6(address)) return address;
  const canonical = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Null: it may be spoken to. */
export function targetRefusal(address: string, allowed: BlockList): string | null {
  if (isIP(address) === 0) return 'no address';
  const plain = unmapped(address);
  if (allowed.check(plain, family(plain))) return null;
  return LISTS.find(({ list }) => list.check(plain, family(plain)))?.why ?? null;
}
