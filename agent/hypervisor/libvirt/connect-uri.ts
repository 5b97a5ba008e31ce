/**
 * What to connect to. Input: a libvirt URI as administrators write it (`qemu:///system`, `test:///default`,
 * `qemu:///system?socket=/path`); output: the URI for the daemon and the sockets to try, in order. Throws USAGE for what
 * is not served here (other transports, session daemons). Only local Unix sockets: an agent runs on its host.
 */
import { HeadroomError } from '../../../shared/errors.ts';

export interface ConnectTarget {
  uri: string;
  sockets: string[];
}

/** The one daemon first, then the modular one of newer distributions. */
const SOCKETS = ['/var/run/libvirt/libvirt-sock', '/var/run/libvirt/virtqemud-sock'];

export function parseConnectUri(text: string, readOnly: boolean): ConnectTarget {
  const [uri = '', query = ''] = text.split('?', 2);
  if (uri !== 'qemu:///system' && !/^test:\/\/\/[\w./-]+$/.test(uri)) {
    throw new HeadroomError('USAGE', `"${text}" is not a libvirt URI this agent serves; use qemu:///system or qemu:///system?socket=/path`);
  }
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (name !== 'socket') throw new HeadroomError('USAGE', `"${text}": only the parameter socket=/path is understood, not "${name}"`);
  }
  const socket = parameters.get('socket');
  if (socket !== null && !socket.startsWith('/')) throw new HeadroomError('USAGE', `"${text}": socket must be an absolute path`);
  if (socket) return { uri, sockets: [socket] };
  return { uri, sockets: SOCKETS.map((path) => (readOnly ? `${path}-ro` : path)) };
}
