/**
 * Memory of another host for one VM of this one. Input: the VM, its disks, the mirror's copies, a way to reach the lender; output: a
 * disk in the live VM, kept truthful until the VM lets go of it, and a state file that tells where the bytes lie. What is done to the VM is written down
 * first; started again, it goes on with the disk that is there, or clears away what is left of it.
 */

import { chmod, chown, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { type BorrowedState, SLICE_NAME } from '../core/slice-state.ts';
import type { SliceDisks } from '../hypervisor/slice-disks.ts';
import type { NbdClient } from '../nbd/nbd-client.ts';
import { serveSession } from '../nbd/nbd-session.ts';
import { answer, COMMAND, ERROR, type NbdRequest } from '../nbd/nbd-wire.ts';
import { type LocalCopy, openLocalCopy } from './local-copy.ts';
import { Mirror } from './mirror.ts';
import { borrowedName, readState, removeState, startTicks, writeState } from './state-files.ts';

const MIB = 1024 * 1024;
/** Of the socket: what is read there is a guest's memory. */
const GROUP_TOO = 0o660;
const ASK_MS = 1000;
const TELL_MS = 2000;
const WATCH_MS = 1000;
/** A lender that is away is tried again this often. */
const RETRY_MS = 1000;
/** So long the guest's reads and writes wait for a mirror that is started again, before the VM is paused. */
export const RECONNECT_SECONDS = 30;

export interface BorrowerOptions {
  vm: VmId;
  sizeMiB: number;
  /** Told in the map. */
  lenderAddress: string;
  connectLender(): Promise<NbdClient>;
  disks: SliceDisks;
  stateFolder: string;
  store: string;
  socket: string;
  /** Number of the group that may use the socket; null = as it is made. */
  socketGroupId: number | null;
  deadlineMs: number;
  clock: Clock;
  log: Logger;
  /** The VM has let go of its disk, or is off: nothing is left here. */
  onOver(): void;
}

export interface Borrower {
  /** The process ends; the VM's disk stays, and waits for the next start. */
  stop(): Promise<void>;
}

export async function startBorrower(options: BorrowerOptions): Promise<Borrower> {
  const { vm, disks, stateFolder, store, sizeMiB } = options;
  const disk = await disks.look(vm);
  if (!disk.running) throw new HeadroomError('HYPERVISOR_REFUSED', `VM ${vm} does not run: a slice is given to running VMs`);
  const before = readState(stateFolder, borrowedName(vm));
  const kept = disk.target !== null && before?.kind === 'borrowed' && before.store === store && before.sizeMiB === sizeMiB;
  if (disk.target !== null && (!kept || disk.socket !== options.socket)) {
    throw new HeadroomError(
      'CONFLICT',
      `VM ${vm} has a slice (${disk.target}) that was not borrowed with these arguments; return it first`,
    );
  }
  const local = await openLocalCopy(store, sizeMiB * MIB, kept);
  const running = new RunningBorrower(options, local, disk.target ?? disk.freeTarget, kept);
  await running.begin(disk.target === null);
  return running;
}

class RunningBorrower implements Borrower {
  readonly #options: BorrowerOptions;
  readonly #local: LocalCopy;
  readonly #mirror: Mirror;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #timers: Timer[] = [];
  #host: string | null = null;
  #heardBootMs: number | null = null;
  #awaySinceMs: number | null;
  #over = false;

  constructor(options: BorrowerOptions, local: LocalCopy, target: string, kept: boolean) {
    const { clock, deadlineMs, log } = options;
    this.#options = options;
    this.#local = local;
    this.#target = target;
    this.#awaySinceMs = clock.wallMs();
    this.#mirror = new Mirror({
      bytes: options.sizeMiB * MIB,
      local,
      filled: kept,
      clock,
      deadlineMs,
      onLost: (reason) => {
        this.#awaySinceMs ??= clock.wallMs();
        log.warn('the lender is away; the guest goes on with the local copy', { vm: options.vm, reason });
        this.#tell();
      },
    });
  }

  async begin(attach: boolean): Promise<void> {
    const { clock, disks, vm, socket, log } = this.#options;
    try {
      // Written before anything is done to the VM: whoever comes after knows what to undo.
      writeState(this.#options.stateFolder, borrowedName(vm), this.#state());
      await this.#serve();
      void this.#keepLender();
      if (attach) await disks.attach(vm, { target: this.#target, socket, reconnectSeconds: RECONNECT_SECONDS });
    } catch (error) {
      // A VM that has the disk already still needs what is here.
      await (attach ? this.#clear() : this.#end());
      throw error;
    }
    log.info(attach ? 'the VM has its slice' : 'the VM has its slice again', { vm, target: this.#target });
    this.#timers = [
      clock.setInterval(() => void this.#ask(), ASK_MS),
      clock.setInterval(() => this.#tell(), TELL_MS),
      clock.setInterval(() => void this.#watch(), WATCH_MS),
    ];
  }

  async stop(): Promise<void> {
    if (this.#over) return;
    await this.#end();
    this.#options.log.warn('the VM still has its disk, and is paused when it needs it until this program comes again', {
      vm: this.#options.vm,
    });
  }

  async #serve(): Promise<void> {
    const { socket: path, socketGroupId, sizeMiB } = this.#options;
    await rm(path, { force: true });
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      serveSession(socket, {
        info: { bytes: sizeMiB * MIB, readOnly: false, description: SLICE_NAME },
        respond: (request, data) => this.#respond(request, data),
      });
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    if (socketGroupId === null) return;
    await chown(path, process.getuid!(), socketGroupId);
    await chmod(path, GROUP_TOO);
  }

  async #respond(request: NbdRequest, data: Buffer): Promise<readonly Buffer[]> {
    const { command, offset, length } = request;
    try {
      if (command === COMMAND.read) return answer(request, ERROR.none, [await this.#mirror.read(offset, length)]);
      if (command === COMMAND.write) await this.#mirror.write(offset, data);
      else await this.#mirror.flush();
      return answer(request, ERROR.none);
    } catch (error) {
      this.#options.log.error('the local copy failed', { error: errorText(error) });
      return answer(request, ERROR.io);
    }
  }

  /** Looks for the lender until it is there, and again whenever it is lost. */
  async #keepLender(): Promise<void> {
    const { clock, log, sizeMiB, vm } = this.#options;
    let told = '';
    while (!this.#over) {
      try {
        const client = await this.#options.connectLender();
        if (client.info.bytes < sizeMiB * MIB || client.info.readOnly) {
          client.destroy();
          throw new HeadroomError('UNAVAILABLE', `the lender has ${client.info.bytes / MIB} MiB for us, ${sizeMiB} MiB are wanted`);
        }
        this.#host = client.info.description || null;
        told = '';
        await this.#useLender(client);
      } catch (error) {
        if (errorText(error) !== told) log.warn('no lender', { vm, error: errorText(error) });
        told = errorText(error);
      }
      await sleep(clock, RETRY_MS);
    }
  }

  /** Resolves when it is lost. */
  async #useLender(client: NbdClient): Promise<void> {
    const { clock, log, vm } = this.#options;
    const ended = new Promise<void>((resolve) => {
      client.onEnd((reason) => {
        this.#mirror.lost(client, reason);
        resolve();
      });
    });
    this.#mirror.attach(client);
    this.#heardBootMs = clock.bootMs();
    this.#awaySinceMs = null;
    log.info('the lender is there', { vm, host: this.#host });
    this.#tell();
    void this.#mirror.refill();
    await ended;
  }

  async #ask(): Promise<void> {
    if (!(await this.#mirror.ask())) return;
    this.#heardBootMs = this.#options.clock.bootMs();
    // A block that was only written in part lies here alone until it is copied whole.
    await this.#mirror.refill();
  }

  #tell(): void {
    if (this.#over) return;
    const { stateFolder, vm, log } = this.#options;
    try {
      writeState(stateFolder, borrowedName(vm), this.#state());
    } catch (error) {
      log.error('the map is not told', { error: errorText(error) });
    }
  }

  #state(): BorrowedState {
    const { vm, sizeMiB, socket, store, lenderAddress, clock } = this.#options;
    const { writtenBytes, sameBytes } = this.#mirror.view;
    return {
      ...{ kind: 'borrowed', pid: process.pid, startTicks: startTicks('self') ?? 0, bootMs: clock.bootMs() },
      ...{ vm, sizeMiB, target: this.#target, socket, store },
      lender: { address: lenderAddress, host: this.#host, heardBootMs: this.#heardBootMs, awaySinceMs: this.#awaySinceMs },
      ...{ writtenMiB: writtenBytes / MIB, lenderMiB: sameBytes / MIB },
    };
  }

  /** The VM may let go of the disk, go off, or be gone; a hypervisor that does not answer says nothing. */
  async #watch(): Promise<void> {
    const { disks, vm, log, onOver } = this.#options;
    let gone: boolean;
    try {
      const disk = await disks.look(vm);
      gone = !disk.running || disk.target !== this.#target;
      if (disk.stopped && !gone && !this.#over) {
        log.warn('the VM was paused while nothing served its slice; it goes on', { vm });
        await disks.goOn(vm);
      }
    } catch {
      return;
    }
    if (!gone || this.#over) return;
    log.info('the VM has let go of its slice', { vm });
    await this.#clear();
    onOver();
  }

  async #end(): Promise<void> {
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server?.listening) await new Promise((resolve) => this.#server?.close(resolve));
    await this.#local.close();
  }

  async #clear(): Promise<void> {
    await this.#end();
    await clearAway(this.#options);
  }
}

/** What a slice that no VM uses any more has left on this host. */
export async function clearAway({
  stateFolder,
  store,
  socket,
  vm,
}: Pick<BorrowerOptions, 'stateFolder' | 'store' | 'socket' | 'vm'>): Promise<void> {
  await rm(store, { force: true });
  await rm(socket, { force: true });
  removeState(stateFolder, borrowedName(vm));
}
