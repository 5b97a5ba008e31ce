/**
 * Memory or disk space of another host for one VM of this one. Input: the VM, its disks, a way to reach the lender; output: a
 * disk in the live VM, kept truthful until the VM lets go of it, and a state file that tells where the bytes lie. What is done to the VM is written down
 * first; started again, it goes on with the disk that is there, or clears away what is left of it.
 */

import { chmod, chown, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { type BorrowedState, SLICE_NAMES, type SliceKind } from '../core/slice-state.ts';
import type { SliceDisks } from '../hypervisor/slice-disks.ts';
import type { NbdClient } from '../nbd/nbd-client.ts';
import { serveSession } from '../nbd/nbd-session.ts';
import { answer, COMMAND, ERROR, type NbdRequest } from '../nbd/nbd-wire.ts';
import { Mirror } from './mirror.ts';
import { RemoteDisk } from './remote-disk.ts';
import type { ServedDisk } from './served-disk.ts';
import { borrowedName, readState, removeState, startTicks, writeState } from './state-files.ts';
import { openWholeFile, type WholeFile } from './whole-file.ts';

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
/** So long they wait for a lender of storage that is away. */
const LENDER_MS_MAX = 30_000;

export interface BorrowerOptions {
  vm: VmId;
  sizeMiB: number;
  /** Told in the map. */
  lenderAddress: string;
  connectLender(): Promise<NbdClient>;
  kind: SliceKind;
  /** Knows those of this kind. */
  disks: SliceDisks;
  stateFolder: string;
  /** Of the local copy; null = storage, which has none. */
  store: string | null;
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
  const { vm, disks, stateFolder, store, sizeMiB, kind } = options;
  const disk = await disks.look(vm);
  if (!disk.running) throw new HeadroomError('HYPERVISOR_REFUSED', `VM ${vm} does not run: a slice is given to running VMs`);
  const before = readState(stateFolder, borrowedName(vm, kind));
  const kept = disk.target !== null && before?.kind === 'borrowed' && before.store === store && before.sizeMiB === sizeMiB;
  if (disk.target !== null && (!kept || disk.socket !== options.socket)) {
    throw new HeadroomError(
      'CONFLICT',
      `VM ${vm} has a slice (${disk.target}) that was not borrowed with these arguments; return it first`,
    );
  }
  const local =
    store === null ? null : await openWholeFile({ path: store, bytes: sizeMiB * MIB, content: kept ? 'kept' : 'new', durable: false });
  const diskId = kept ? (before.lender.disk ?? null) : null;
  const running = new RunningBorrower(options, { local, target: disk.target ?? disk.freeTarget, kept, diskId });
  await running.begin(disk.target === null);
  return running;
}

/** What is there of the slice when its program starts. */
interface Found {
  local: WholeFile | null;
  target: string;
  /** The VM has it already. */
  kept: boolean;
  diskId: string | null;
}

class RunningBorrower implements Borrower {
  readonly #options: BorrowerOptions;
  readonly #local: WholeFile | null;
  readonly #disk: ServedDisk;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #timers: Timer[] = [];
  #host: string | null = null;
  #diskId: string | null;
  #heardBootMs: number | null = null;
  #awaySinceMs: number | null;
  #over = false;

  constructor(options: BorrowerOptions, { local, target, kept, diskId }: Found) {
    const { clock, deadlineMs, log } = options;
    this.#options = options;
    this.#local = local;
    this.#target = target;
    this.#diskId = diskId;
    this.#awaySinceMs = clock.wallMs();
    const bytes = options.sizeMiB * MIB;
    const onLost = (reason: string): void => {
      this.#awaySinceMs ??= clock.wallMs();
      log.warn('the lender is away', { vm: options.vm, reason, meanwhile: local === null ? 'the guest waits' : 'the local copy serves' });
      this.#tell();
    };
    this.#disk =
      local === null
        ? new RemoteDisk({ bytes, clock, deadlineMs, waitMs: LENDER_MS_MAX, onLost })
        : new Mirror({ bytes, local, filled: kept, clock, deadlineMs, onLost });
  }

  async begin(attach: boolean): Promise<void> {
    const { clock, disks, vm, socket, log } = this.#options;
    try {
      // Written before anything is done to the VM: whoever comes after knows what to undo.
      writeState(this.#options.stateFolder, borrowedName(vm, this.#options.kind), this.#state());
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
    const { socket: path, socketGroupId, sizeMiB, kind } = this.#options;
    await rm(path, { force: true });
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      serveSession(socket, {
        info: { bytes: sizeMiB * MIB, readOnly: false, description: SLICE_NAMES[kind] },
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
      if (command === COMMAND.read) return answer(request, ERROR.none, [await this.#disk.read(offset, length)]);
      if (command === COMMAND.write) await this.#disk.write(offset, data);
      else await this.#disk.flush();
      return answer(request, ERROR.none);
    } catch (error) {
      this.#options.log.error('a request of the guest failed', { vm: this.#options.vm, error: errorText(error) });
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
        this.#known(client);
        told = '';
        await this.#useLender(client);
      } catch (error) {
        if (errorText(error) !== told) log.warn('no lender', { vm, error: errorText(error) });
        told = errorText(error);
      }
      await sleep(clock, RETRY_MS);
    }
  }

  /** Throws when it is not what the VM was given: an empty disk in the place of the one with its data would destroy what it has of it. */
  #known(client: NbdClient): void {
    const [host, disk] = client.info.description.split(' ');
    if (this.#diskId !== null && disk !== this.#diskId) {
      client.destroy();
      throw new HeadroomError('CONFLICT', `the lender has disk ${disk ?? '(none)'}; the VM was given ${this.#diskId}`);
    }
    this.#host = host || null;
    if (this.#diskId === (disk ?? null)) return;
    this.#diskId = disk ?? null;
    // Before the guest writes there: who comes after must take no other for it.
    this.#tell();
  }

  /** Resolves when it is lost. */
  async #useLender(client: NbdClient): Promise<void> {
    const { clock, log, vm } = this.#options;
    const ended = new Promise<void>((resolve) => {
      client.onEnd((reason) => {
        this.#disk.lost(client, reason);
        resolve();
      });
    });
    this.#disk.attach(client);
    this.#heardBootMs = clock.bootMs();
    this.#awaySinceMs = null;
    log.info('the lender is there', { vm, host: this.#host });
    this.#tell();
    void this.#disk.refill();
    await ended;
  }

  async #ask(): Promise<void> {
    if (!(await this.#disk.ask())) return;
    this.#heardBootMs = this.#options.clock.bootMs();
    // A block that was only written in part lies here alone until it is copied whole.
    await this.#disk.refill();
  }

  #tell(): void {
    if (this.#over) return;
    const { stateFolder, vm, log, kind } = this.#options;
    try {
      writeState(stateFolder, borrowedName(vm, kind), this.#state());
    } catch (error) {
      log.error('the map is not told', { error: errorText(error) });
    }
  }

  #state(): BorrowedState {
    const { vm, kind, sizeMiB, socket, store, lenderAddress, clock } = this.#options;
    const { writtenBytes, sameBytes } = this.#disk.view;
    return {
      ...{ kind: 'borrowed', of: kind, pid: process.pid, startTicks: startTicks('self') ?? 0, bootMs: clock.bootMs() },
      ...{ vm, sizeMiB, target: this.#target, socket, store },
      lender: {
        address: lenderAddress,
        host: this.#host,
        heardBootMs: this.#heardBootMs,
        awaySinceMs: this.#awaySinceMs,
        disk: this.#diskId,
      },
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
    await this.#local?.close();
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
  kind,
}: Pick<BorrowerOptions, 'stateFolder' | 'store' | 'socket' | 'vm' | 'kind'>): Promise<void> {
  if (store !== null) await rm(store, { force: true });
  await rm(socket, { force: true });
  removeState(stateFolder, borrowedName(vm, kind));
}
