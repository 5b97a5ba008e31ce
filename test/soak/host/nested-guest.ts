/**
 * The guest of a machine that is itself emulated: defined in its libvirt, started with it, given work by its channel. Input: the
 * machine; output: what of it Headroom changes, as libvirt and the machine's control groups tell it.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tinyGuestImage, tinyGuestXml } from '../../support/tiny-guest.ts';
import type { EmulatedMachine } from '../machines/emulated-machine.ts';

export const GUEST = 'shop';
export const GUEST_UUID = '6f1b0000-0000-4000-8000-0000000003c1';
export const GUEST_MIB = 384;
const FOLDER = '/srv/guest';
const CONSOLE = `${FOLDER}/${GUEST}.console`;

/** Sends one order and waits for the guest's word that it is done. What comes before it listens is lost, so it is greeted first. */
const ORDER = `import os, socket, sys, time
order, channel, console = sys.argv[1], '${FOLDER}/${GUEST}.sock', '${CONSOLE}'
said = lambda what: open(console, errors='replace').read().count('done ' + what)
until = time.monotonic() + 300
s = socket.socket(socket.AF_UNIX); s.connect(channel)
def tell(line, again):
    before, sent = said(line), 0
    while said(line) == before:
        if time.monotonic() > until: sys.exit('the guest did not obey "%s"' % line)
        if sent == 0 or (again and time.monotonic() - sent > 2): s.sendall((line + '\\n').encode()); sent = time.monotonic()
        time.sleep(0.1)
tell('hello', True); tell(order, False)
`;

/** What of it Headroom changes. */
export interface Truth {
  shares: number;
  /** Cores per vCPU; null = no cap. */
  capFraction: number | null;
  balloonMiB: number;
}

/** Its files, into the folder that is brought to the machine. */
export function bringGuest(brought: string): void {
  const image = tinyGuestImage();
  mkdirSync(join(brought, 'guest'), { recursive: true });
  cpSync(image.kernel, join(brought, 'guest/vmlinuz'));
  cpSync(image.initrd, join(brought, 'guest/initrd.cpio'));
  const there = { kernel: '/srv/brought/guest/vmlinuz', initrd: '/srv/brought/guest/initrd.cpio' };
  const xml = tinyGuestXml({ name: GUEST, uuid: GUEST_UUID, folder: FOLDER, memoryMiB: GUEST_MIB, vcpus: 2, image: there });
  writeFileSync(join(brought, 'guest/domain.xml'), xml);
  writeFileSync(join(brought, 'guest/order.py'), ORDER);
}

export class NestedGuest {
  readonly #machine: EmulatedMachine;

  constructor(machine: EmulatedMachine) {
    this.#machine = machine;
  }

  define(): void {
    this.#machine.ok(`mkdir -p ${FOLDER} && virsh -q define /srv/brought/guest/domain.xml && virsh -q autostart ${GUEST}`);
  }

  start(): void {
    this.#machine.ok(`rm -f ${CONSOLE}; virsh -q start ${GUEST}`);
  }

  /** Once it has booted and listens. */
  order(line: string): void {
    this.#machine.ok(`while ! grep -q headroom-guest-ready ${CONSOLE}; do sleep 1; done; python3 /srv/brought/guest/order.py '${line}'`);
  }

  processId(): string {
    return this.#machine.ok(`cat /run/libvirt/qemu/${GUEST}.pid`);
  }

  truth(): Truth {
    const text = this.#machine.ok(`virsh -q schedinfo ${GUEST}; virsh -q dommemstat ${GUEST}`);
    const of = (what: RegExp): number => Number(what.exec(text)?.[1]);
    const quota = of(/^vcpu_quota\s*:\s*(-?\d+)/m);
    const capFraction = quota < 0 || quota > 1e12 ? null : quota / of(/^vcpu_period\s*:\s*(\d+)/m);
    return { shares: of(/^cpu_shares\s*:\s*(\d+)/m), capFraction, balloonMiB: of(/^actual (\d+)/m) / 1024 };
  }

  /** The cap of its first vCPU, as the kernel enforces it: version 2's own file. */
  capInForce(): number | null {
    const [quota, period] = this.#machine.ok('cat $(find /sys/fs/cgroup/machine.slice -path "*vcpu0/cpu.max")').split(' ');
    return quota === 'max' ? null : Number(quota) / Number(period);
  }
}
