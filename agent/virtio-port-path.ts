/**
 * Where the guest's virtio-serial port of a name is. Input: root, name; output: the device's path; throws UNAVAILABLE when
 * there is none (yet). udev makes links below /dev/virtio-ports; small guests have only the kernel's own list.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadroomError } from '../shared/errors.ts';

export function virtioPortPath(root: string, name: string): string {
  const link = join(root, 'dev/virtio-ports', name);
  if (existsSync(link)) return link;
  const list = join(root, 'sys/class/virtio-ports');
  for (const port of existsSync(list) ? readdirSync(list) : []) {
    const file = join(list, port, 'name');
    if (existsSync(file) && readFileSync(file, 'utf8').trim() === name) return join(root, 'dev', port);
  }
  throw new HeadroomError(
    'UNAVAILABLE',
    `this guest has no virtio-serial port "${name}": is the channel in the VM's definition, virtio_console loaded?`,
  );
}
