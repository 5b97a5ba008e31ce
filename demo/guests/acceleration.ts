/**
 * Does KVM really work here? /dev/kvm can exist and yet hang every guest, so a guest is booted for real, with a deadline.
 * Input: kernel and first file system; output: the domain type to use, and why in words.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { PROBE_MARKER } from '../image/initramfs.ts';

export interface Acceleration {
  domainType: 'kvm' | 'qemu';
  why: string;
}

/** A guest this small boots in about a second under KVM, and in four even when emulated. */
const PROBE_MS = 15_000;

function boots(kernel: string, initrd: string): Promise<boolean> {
  const args = ['-accel', 'kvm', '-cpu', 'host', '-m', '128', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'];
  const child = spawn(
    'qemu-system-x86_64',
    [...args, '-serial', 'stdio', '-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1 headroom.probe'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return new Promise((resolve) => {
    let text = '';
    let settled = false;
    const settle = (ok: boolean): void => {
      if (settled) return;
      settled = true;
      clearTimeout(deadline);
      child.kill('SIGKILL');
      // A process stuck in the kernel ignores even SIGKILL for a while: nothing here may wait for it.
      child.unref();
      child.stdout.destroy();
      resolve(ok);
    };
    const deadline = setTimeout(() => settle(false), PROBE_MS);
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes(PROBE_MARKER)) settle(true);
    });
    child.on('error', () => settle(false));
    child.on('exit', () => settle(text.includes(PROBE_MARKER)));
  });
}

export async function probeAcceleration(kernel: string, initrd: string): Promise<Acceleration> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return { domainType: 'qemu', why: 'there is no /dev/kvm here: guests are emulated' };
  }
  if (await boots(kernel, initrd)) return { domainType: 'kvm', why: 'a test guest booted under KVM' };
  return { domainType: 'qemu', why: '/dev/kvm exists, but a test guest did not boot with it: guests are emulated' };
}
