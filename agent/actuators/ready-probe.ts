/**
 * Asks a guest once whether it serves, from its host: a connection, or one HTTP answer. From the host and not from within, since
 * templates are mostly images without any agent of ours, and since what is asked so is the service as others reach it. Addresses are
 * only those the host itself has for this VM, in a network it is in. Nothing of an answer but its status is read, and no redirection
 * is followed. Input: the guest's addresses, what to ask; output: null = it serves, else why not, in words.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { errorText } from '../../shared/errors.ts';
import type { NetworkProbe } from '../../shared/ready-probe.ts';
import { mayBeAsked, type OwnAddress } from './guest-address.ts';

/** Null: it serves. */
export type AskGuest = (addresses: readonly string[], probe: NetworkProbe) => Promise<string | null>;

const ownAddresses = (): OwnAddress[] => Object.values(networkInterfaces()).flatMap((each) => each ?? []);

/** One address of the guest that serves is enough. */
export const askGuest: AskGuest = async (addresses, probe) => {
  const asked = mayBeAsked(addresses, ownAddresses());
  if (asked.length === 0) {
    return addresses.length === 0
      ? 'the host has no address of it yet (no lease of a libvirt network, no neighbour)'
      : `none of its addresses (${addresses.join(', ')}) lies in a network of this host`;
  }
  const reasons = await Promise.all(asked.map((address) => askAddress(address, probe)));
  return reasons.includes(null) ? null : reasons.join('; ');
};

/** Null: it serves. */
export async function askAddress(address: string, probe: NetworkProbe): Promise<string | null> {
  const at = `${address.includes(':') ? `[${address}]` : address}:${probe.port}`;
  const signal = AbortSignal.timeout(probe.timeoutMs);
  try {
    if (probe.kind === 'tcp') {
      await connected(address, probe.port, signal);
      return null;
    }
    const status = await statusOf(address, probe, signal);
    return status === probe.status ? null : `${at}${probe.path} answers ${status}, not ${probe.status}`;
  } catch (error) {
    return `${at} ${signal.aborted ? `did not answer within ${probe.timeoutMs} ms` : `is not reached: ${errorText(error)}`}`;
  }
}

function connected(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal }, () => {
      resolve();
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

function statusOf(host: string, { port, path }: Extract<NetworkProbe, { kind: 'http' }>, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'user-agent': 'headroom-probe', connection: 'close' };
    const asked = request({ host, port, path, signal, headers, agent: false }, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    asked.once('error', reject);
    asked.end();
  });
}
