/**
 * A real guest whose memory lies in a file, with two vCPUs, a network card and a disk, and the parts that suspend and resume it: a
 * private libvirtd, a snapshotter, a store on this machine's disk. Input: sizes; output: the world, with ways to talk to the guest
 * through whichever QEMU runs it now.
 */
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ResumeDeps } from '../../agent/actuators/resume-vm.ts';
import type { SuspendDeps } from '../../agent/actuators/suspend-vm.ts';
import { memoryFileXml } from '../../agent/hypervisor/libvirt/memory-file-xml.ts';
import { createLibvirtSnapshotter } from '../../agent/hypervisor/libvirt/snapshotter.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { openSnapshotStore, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { type PrivateLibvirtd, privateLibvirtd, sharedFolder, virsh } from './libvirtd.ts';
import { tinyGuest, tinyGuestXml } from './tiny-guest.ts';

const KEY = Buffer.alloc(32, 9);
const MIB = 1024 * 1024;
const ANSWER_MS_MAX = 120_000;
const RETRY_MS = 2;
const GREET_MS = 10;
const GREETED = 'answer hello-';
const AGENT_CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";

export interface SuspendableGuest {
  name: string;
  number: number;
  memoryMiB: number;
  memoryFile?: boolean;
  /** It sets its clock when QEMU's guest agent is asked to. */
  obeysAgent?: boolean;
  /** Of a disk of what nothing else holds; else it is small and empty. */
  diskMiB?: number;
  /** XML of further devices. */
  devices?: string;
}

export interface SuspendWorld {
  daemon: PrivateLibvirtd;
  /** In RAM, with what is shown there seen by guests. */
  folder: string;
  deps: SuspendDeps & ResumeDeps;
  store: SnapshotStore;
  stuck: string[];
  /** Defines, starts and waits until it has booted. */
  boot(options: SuspendableGuest): Promise<WorldGuest>;
  close(): Promise<void>;
}

export interface WorldGuest {
  vm: VmId;
  name: string;
  /** Sends a line that has an answer and resolves to it. */
  ask(line: string): Promise<string>;
  close(): void;
}

export interface SuspendParts {
  deps: SuspendDeps & ResumeDeps;
  store: SnapshotStore;
  stuck: string[];
  close(): Promise<void>;
}

/** What suspends and resumes the guests of a libvirtd, as an agent has it. `disk`: where the snapshot store lies; `ram`: a shared folder. */
export async function openSuspendParts({ socket, ram, disk }: { socket: string; ram: string; disk: string }): Promise<SuspendParts> {
  const files = openLocalFiles(disk);
  const store = await openSnapshotStore(files, 'tenant', KEY);
  const snapshotter = createLibvirtSnapshotter({
    uri: `qemu:///system?socket=${socket}`,
    clock: systemClock,
    prng: createPrng(1),
    socketFolder: ram,
  });
  const stuck: string[] = [];
  const onStuck = (chunk: number, problem: unknown): void => void stuck.push(`${chunk} ${problem === null ? 'came' : 'stuck'}`);
  return {
    deps: { snapshotter, store, clock: systemClock, folder: join(ram, 'resumed'), onStuck },
    store,
    stuck,
    async close() {
      await snapshotter.close();
      await files.close();
    },
  };
}

/** @param diskFolder where the snapshot store is to lie */
export async function suspendWorld(diskFolder: string): Promise<SuspendWorld> {
  const ram = sharedFolder('/dev/shm', 'headroom-guests-');
  const daemon = await privateLibvirtd({ seesMounts: true });
  const { deps, store, stuck, close } = await openSuspendParts({ socket: daemon.socket, ram: ram.path, disk: diskFolder });
  return {
    ...{ daemon, folder: ram.path, deps, store, stuck },
    boot: (options) => bootSuspendable(daemon, ram.path, options),
    async close() {
      await daemon.stop();
      await close();
      ram.remove();
    },
  };
}

/** Defines, starts and waits until it has booted; its files are in the folder. */
export async function bootSuspendable(
  { socket }: PrivateLibvirtd,
  folder: string,
  { name, number, memoryMiB, memoryFile = true, obeysAgent = false, diskMiB, devices = '' }: SuspendableGuest,
): Promise<WorldGuest> {
  const vm = vmId(`6f1b0000-0000-4000-8009-${String(number).padStart(12, '0')}`);
  const options = {
    ...{ name, uuid: vm, folder, memoryMiB, vcpus: 2, disk: diskMiB ?? true },
    devices: `<interface type='user'><model type='virtio'/></interface>${obeysAgent ? AGENT_CHANNEL : ''}${devices}`,
    ...(obeysAgent ? { kernelArguments: 'headroom.qga' } : {}),
  };
  const memory = memoryFile ? memoryFileXml(join(folder, `${name}.ram`), memoryMiB * MIB) : '';
  const xml = tinyGuestXml(options).replace('</domain>', () => `<genid/>${memory}</domain>`);
  writeFileSync(join(folder, `${name}.xml`), xml);
  virsh(socket, 'define', join(folder, `${name}.xml`));
  virsh(socket, 'start', name);
  const guest = await tinyGuest(options);
  // One client at a time.
  guest.close();
  return { vm, name, ...channelTo(join(folder, `${name}.sock`)) };
}

/**
 * Connected to whichever QEMU has its socket at the path: a guest that goes on with nobody at the other end closes its own. What is
 * written while it has that closed is lost, so each connection begins with questions of no consequence until one is answered; none are
 * sent before there is something to ask, as the guest would have to answer them all when it goes on.
 */
function channelTo(path: string): { ask(line: string): Promise<string>; close(): void } {
  let socket: Socket | null = null;
  let closed = false;
  let ready = false;
  let greeted = 0;
  let waiting: { line: string; resolve(answer: string): void } | null = null;
  let text = '';
  const hear = (line: string): void => {
    if (!line.startsWith(GREETED)) {
      waiting?.resolve(line);
      waiting = null;
    } else if (!ready && line === `${GREETED}${greeted}`) {
      ready = true;
      if (waiting !== null) socket?.write(`${waiting.line}\n`);
    }
  };
  const greet = (to: Socket): void => {
    if (ready || socket !== to || waiting === null) return;
    to.write(`req hello-${greeted} 0\n`);
    setTimeout(greet, GREET_MS, to);
  };
  const open = (): void => {
    if (closed) return;
    ready = false;
    greeted++;
    const opened = connect(path, () => {
      socket = opened;
      greet(opened);
    });
    opened.on('data', (bytes: Buffer) => {
      const lines = (text + bytes.toString()).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) hear(line.trim());
    });
    opened.on('error', () => undefined);
    opened.on('close', () => {
      socket = null;
      text = '';
      setTimeout(open, RETRY_MS);
    });
  };
  open();
  return {
    async ask(line) {
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise<string>((resolve, reject) => {
          waiting = { line, resolve };
          if (ready) socket?.write(`${line}\n`);
          else if (socket !== null) greet(socket);
          timer = setTimeout(() => reject(new Error(`the guest did not answer "${line}" within ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX);
        });
      } finally {
        clearTimeout(timer);
      }
    },
    close() {
      closed = true;
      socket?.destroy();
    },
  };
}
