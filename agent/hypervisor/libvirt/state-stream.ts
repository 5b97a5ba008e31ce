/**
 * QEMU's migration stream over a Unix socket, both ways: Node cannot hand a descriptor over a socket, but QEMU connects to one by
 * path (outgoing) and listens on one (incoming). Input: where, or what; output: the bytes. Both give up after a deadline.
 */
import { connect, createServer } from 'node:net';
import type { Clock } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';

/** Devices' states are under a megabyte; what comes without end is the guest's memory. */
const STATE_BYTES_MAX = 256 * 1024 * 1024;

/** Listens at `path`, then begins; resolves with all that came once QEMU has closed its end. */
export function receiveState(path: string, clock: Clock, deadlineMs: number, begin: () => Promise<void>): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const end = (problem: Error | null): void => {
      timer.cancel();
      server.close();
      if (problem === null) resolve(Buffer.concat(parts));
      else reject(problem);
    };
    const refuse = (why: string): void => end(new HeadroomError('HYPERVISOR_REFUSED', `the devices' state did not arrive: ${why}`));
    const timer = clock.setTimeout(() => refuse(`not within ${deadlineMs} ms`), deadlineMs);
    const server = createServer((socket) => {
      socket.on('data', (part: Buffer) => {
        parts.push(part);
        bytes += part.length;
        if (bytes <= STATE_BYTES_MAX) return;
        socket.destroy();
        refuse(`more than ${STATE_BYTES_MAX} bytes came`);
      });
      socket.on('end', () => end(null));
      socket.on('error', (error) => refuse(error.message));
    });
    server.on('error', (error) => refuse(error.message));
    server.listen(path, () => void begin().catch((error: Error) => end(error)));
  });
}

/** Resolves once QEMU has read all of it and closed its end. */
export function sendState(path: string, state: Buffer, clock: Clock, deadlineMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => reject(new HeadroomError('HYPERVISOR_REFUSED', `QEMU did not take its devices' state: ${why}`));
    const socket = connect(path, () => socket.end(state));
    const timer = clock.setTimeout(() => {
      socket.destroy();
      refuse(`not within ${deadlineMs} ms`);
    }, deadlineMs);
    socket.on('error', (error) => refuse(error.message));
    socket.on('close', () => {
      timer.cancel();
      resolve();
    });
    socket.resume();
  });
}
