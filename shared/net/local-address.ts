/** Which addresses and names do not leave this machine. */

/** No address at all: a Unix socket. */
export function isLoopback(address: string | undefined): boolean {
  return !address || address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** Of an address to listen on or to connect to, IPv6 with or without brackets. */
export function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '[::1]' || (name !== '' && isLoopback(name) && /^[\d.:a-f]+$/i.test(name));
}
