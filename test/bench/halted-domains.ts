/**
 * Many real domains that cost nothing by themselves: QEMU with a firmware of four bytes that stops the processor for good,
 * so that a domain may run, and answer its monitor, without a guest. Input: a private libvirtd, how many; output: their
 * process ids; they are paused until resumed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { virsh } from '../support/libvirtd.ts';

/** cli; hlt; jmp -3: where a processor begins, 16 bytes below the end of the firmware. */
const HALT = Buffer.from([0xfa, 0xf4, 0xeb, 0xfd]);
const FIRMWARE_BYTES = 64 * 1024;
const DISK_BYTES = 1024 * 1024;
/** One virsh takes so many; starting a QEMU takes a good part of a second. */
const PER_CALL = 10;

/** Of one length: none begins with another. */
export const haltedName = (index: number): string => `halted-${String(index).padStart(4, '0')}`;

function definition(index: number, folder: string): string {
  return `<domain type='qemu'><name>${haltedName(index)}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><loader readonly='yes' type='rom'>${folder}/halt.bin</loader></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${folder}/disk.raw'/><target dev='vda' bus='virtio'/><readonly/><shareable/></disk>
<controller type='usb' model='none'/><memballoon model='virtio'/></devices></domain>`;
}

/** Starts them paused. Throws with virsh's words when one does not start. */
export function startHaltedDomains(socket: string, runFolder: string, folder: string, count: number): number[] {
  const firmware = Buffer.alloc(FIRMWARE_BYTES);
  HALT.copy(firmware, FIRMWARE_BYTES - 16);
  writeFileSync(join(folder, 'halt.bin'), firmware);
  writeFileSync(join(folder, 'disk.raw'), Buffer.alloc(DISK_BYTES));
  const indices = Array.from({ length: count }, (_, index) => index);
  for (const index of indices) writeFileSync(join(folder, `${haltedName(index)}.xml`), definition(index, folder));
  inGroups(socket, indices, (index) => `create ${join(folder, `${haltedName(index)}.xml`)} --paused`);
  return indices.map((index) => Number(readFileSync(join(runFolder, 'qemu', `${haltedName(index)}.pid`), 'utf8')));
}

export function tellHaltedDomains(socket: string, count: number, verb: 'resume' | 'suspend'): void {
  const indices = Array.from({ length: count }, (_, index) => index);
  inGroups(socket, indices, (index) => `${verb} ${haltedName(index)}`);
}

function inGroups(socket: string, indices: readonly number[], command: (index: number) => string): void {
  for (let from = 0; from < indices.length; from += PER_CALL) {
    virsh(
      socket,
      indices
        .slice(from, from + PER_CALL)
        .map(command)
        .join('; '),
    );
  }
}
