/**
 * VMs of this host made ready to come back, and brought back, each step written down before it is taken. Input: what this host has of
 * them, where one comes from that was suspended elsewhere; output: what became of each, with figures. Whatever fails, the VM is suspended
 * as before.
 */
import { join } from 'node:path';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { prepareResume } from '../actuators/resume-vm.ts';
import { NOBODYS, type SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import { hasEnded } from '../hypervisor/snapshotter.ts';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import { clearPlace } from '../snapshot/memory-place.ts';
import type { Origin } from './arrivals.ts';
import { setGuestClock } from './guest-clock.ts';
import { signOfLife } from './sign-of-life.ts';
import type { Done, OnProgress, SuspendState } from './suspend-state.ts';

/** A guest that does nothing at all still takes this much to come back. */
const ALIVE_CPU_MS = 10;
/** A broken chunk stays broken another way, and a host that is away stays away. */
const ENDS_IT: ReadonlySet<string> = new Set(['STORE_CORRUPT', 'CONFLICT', 'UNAVAILABLE', 'CANCELLED']);

export class VmReturning {
  readonly #state: SuspendState;

  constructor(state: SuspendState) {
    this.#state = state;
  }

  /** Fetches what it will touch first and has it wait paused. Throws, with the VM suspended as before. */
  async prepare(vm: VmId, onProgress: OnProgress, cancelled: () => boolean = () => false, whole = false): Promise<Done> {
    const record = this.#state.suspended(vm);
    if (record.lentTo !== null) throw new HeadroomError('CONFLICT', `${record.name}: it is lent to host ${record.lentTo.host}`);
    if (record.phase === 'prepared') return { reason: 'it is ready', measured: {} };
    if (await this.#state.startedElsewhere(vm)) throw new HeadroomError('CONFLICT', `${record.name}: ${NOBODYS}`);
    if (record.recipe === 'managed-save' || record.snapshot === null) {
      return { reason: "the hypervisor's own saving holds it: nothing can be fetched ahead", measured: { recipe: record.recipe } };
    }
    await this.#state.disks.stop(vm);
    let diskBytes = 0;
    await this.#state.arrivals.disks(vm, cancelled, (done, total) => {
      diskBytes = total;
      return onProgress(done, total);
    });
    const { snapshotter, clock, folder, owner } = this.#state.options;
    const model = createTouchModel(record.touches);
    const predicted = whole ? [] : model.predict(PREDICTED_CHUNKS_MAX, this.#state.options.shareOf?.(vm)).map(({ chunk }) => chunk);
    const snapshot = await this.#state.arrivals.open(record);
    const total = whole ? record.memoryBytes : predicted.length * CHUNK_BYTES;
    try {
      this.#state.note(vm, { phase: 'preparing' });
      const prepared = await prepareResume(
        {
          ...{ snapshotter, clock, folder },
          ...(owner === undefined ? {} : { owner }),
          onStuck: (chunk, problem) => this.#state.stuck(vm, chunk, problem),
          onPlaced: ({ identity }) => this.#state.note(vm, { file: identity }),
          machine: (machine) => this.#state.disks.adapted(this.#state.book.find(vm) ?? record, machine),
        },
        snapshot,
        { predicted, cancelled, whole, onProgress: (done) => onProgress(diskBytes + done, diskBytes + total) },
      );
      this.#state.live.set(vm, { prepared, residence: null, predicted, inPlace: prepared.inPlace });
      this.#state.note(vm, { phase: 'prepared' });
      return { reason: '', measured: { bytesFirst: whole ? record.filledBytes : prepared.bytesFirst, bytesFilled: record.filledBytes } };
    } catch (error) {
      snapshot.close();
      await clearPlace(join(folder, vm));
      this.#state.note(vm, { phase: 'suspended', file: null });
      throw error;
    } finally {
      this.#state.options.changed();
    }
  }

  /** The same of one that was suspended on another host. Throws, with nothing left of it here. */
  async prepareFrom(vm: VmId, origin: Origin, onProgress: OnProgress, cancelled: () => boolean): Promise<Done> {
    await this.#state.arrivals.begin(vm, origin);
    try {
      const done = await this.#madeReady(vm, onProgress, cancelled);
      const bytesMoved = this.#state.arrivals.movedBytes(vm);
      return bytesMoved === null ? done : { ...done, measured: { ...done.measured, bytesMoved } };
    } catch (error) {
      await this.letGo(vm);
      throw error;
    }
  }

  /** Not ready any more, and its holder's again if it came from another host; what was lent is not lent any more. */
  async letGo(vm: VmId): Promise<Done> {
    const done = await this.release(vm);
    const record = this.#state.book.find(vm);
    if (record?.phase !== 'suspended') return done;
    if (record.lentTo !== null) this.#state.takeBack(vm);
    // Asked without an answer it may be set going here alone.
    if (record.from !== null && !record.from.asked && !record.from.settled) await this.#state.arrivals.giveUp(vm);
    this.#state.options.changed();
    return done;
  }

  /** It need not wait any more: suspended, as before it was made ready. */
  async release(vm: VmId): Promise<Done> {
    const live = this.#state.live.get(vm);
    if (this.#state.book.phase(vm) !== 'prepared' || live?.prepared == null) return { reason: 'nothing is ready', measured: {} };
    await live.prepared.abandon();
    live.prepared.snapshot.close();
    this.#state.live.delete(vm);
    this.#state.note(vm, { phase: 'suspended', file: null });
    this.#state.options.changed();
    return { reason: '', measured: {} };
  }

  /** Ready, and its QEMU is gone: it ended by itself or by others. Answers whether it was so. */
  async endedReady(vm: VmId): Promise<boolean> {
    const { snapshotter, tell } = this.#state.options;
    if (this.#state.book.phase(vm) !== 'prepared' || !(await hasEnded(snapshotter, vm))) return false;
    await this.release(vm);
    tell(vm, 'it ended while it waited for its resume: it is suspended as before, and not ready any more');
    return true;
  }

  /** Throws, with the VM suspended as before, unless it was set going. `origin`: it was suspended there. */
  async resume(vm: VmId, onProgress: OnProgress, origin: Origin | null = null): Promise<Done> {
    const beganMs = this.#state.options.clock.monotonicMs();
    const phase = this.#state.book.phase(vm);
    if (phase === 'running') return { reason: 'it runs', measured: {} };
    if (phase === 'going') return this.#set(vm, beganMs, { reason: '', measured: {} });
    await this.endedReady(vm);
    if (origin !== null) await this.#state.arrivals.begin(vm, origin);
    const { recipe, lentTo } = this.#state.suspended(vm);
    if (recipe === 'managed-save') return this.#restore(vm, beganMs);
    if (lentTo !== null) this.#state.takeBack(vm);
    return this.#set(vm, beganMs, await this.#allowed(vm, onProgress));
  }

  /** What is ready goes on. One that could not be set going stays so, and is when it is asked for again. */
  async #set(vm: VmId, beganMs: number, before: Done): Promise<Done> {
    const { snapshotter, clock, tell, aliveMs: aliveMsMax } = this.#state.options;
    const live = this.#state.live.get(vm);
    if (live?.prepared == null) throw new HeadroomError('INVARIANT_BROKEN', `VM ${vm} was made ready, and is not`);
    const cpuMs = await snapshotter.cpuMs(vm);
    const { takenAtMs } = live.prepared.snapshot.manifest.facts;
    this.#state.note(vm, { phase: 'going' });
    live.residence = await live.prepared.go().catch((error: unknown) => this.#notSet(vm, error));
    live.prepared = null;
    this.#state.note(vm, { phase: 'running' });
    const ranMs = clock.monotonicMs() - beganMs;
    const aliveMs = await this.#alive(vm, cpuMs, beganMs);
    if (aliveMs === null) tell(vm, `it runs, and gave no sign of life within ${aliveMsMax} ms: its older snapshots are kept`);
    else await this.#retireOlder(vm);
    this.#state.learner.later(vm);
    this.#state.settle(vm);
    this.#setClock(vm, takenAtMs);
    await this.#tellDamage(vm);
    this.#state.options.changed();
    return {
      reason: before.reason,
      measured: { ...before.measured, recipe: 'memory-file', ranMs, ...(aliveMs === null ? {} : { aliveMs }) },
    };
  }

  /** Its QEMU gone, it may have run: nothing of it is needed any more. */
  async #notSet(vm: VmId, error: unknown): Promise<never> {
    const { snapshotter } = this.#state.options;
    const { prepared } = this.#state.live.get(vm) ?? {};
    if (prepared != null && (await snapshotter.power(vm)) === 'off') {
      await prepared.abandon();
      prepared.snapshot.close();
      this.#state.live.delete(vm);
      await this.#state.recovery.recover(vm);
      this.#state.settle(vm);
      this.#state.options.changed();
    }
    throw error;
  }

  /** Ready, and set going nowhere else. What never can be brought back here is not kept here. */
  async #allowed(vm: VmId, onProgress: OnProgress): Promise<Done> {
    try {
      const done = await this.#madeReady(vm, onProgress);
      const movedBytes = this.#state.arrivals.movedBytes(vm);
      await this.#state.arrivals.mayGo(vm);
      return movedBytes === null ? done : { ...done, measured: { ...done.measured, bytesMoved: movedBytes } };
    } catch (error) {
      const { from = null } = this.#state.book.find(vm) ?? {};
      if (from === null) throw error;
      await this.release(vm);
      // Refused, or not asked: it may be brought back by its holder. Asked without an answer, it may be set going here alone.
      if (!from.asked || isHeadroomError(error, 'CONFLICT')) await this.#state.arrivals.giveUp(vm);
      this.#state.options.changed();
      throw error;
    }
  }

  /** Ready, by the quickest way that works. */
  async #madeReady(vm: VmId, onProgress: OnProgress, cancelled?: () => boolean): Promise<Done> {
    try {
      return await this.prepare(vm, onProgress, cancelled);
    } catch (error) {
      // What this host lacks for showing memory lazily it need not have.
      if (isHeadroomError(error) && ENDS_IT.has(error.code)) throw error;
      const done = await this.prepare(vm, onProgress, cancelled, true);
      return { ...done, reason: `all of its memory was fetched first: ${errorText(error)}` };
    }
  }

  async #restore(vm: VmId, beganMs: number): Promise<Done> {
    const { snapshotter, clock } = this.#state.options;
    await snapshotter.restore(vm);
    const { reason, sinceMs } = this.#state.suspended(vm);
    this.#state.book.forget(vm);
    this.#setClock(vm, sinceMs);
    this.#state.options.changed();
    const ranMs = clock.monotonicMs() - beganMs;
    return { reason: `by the hypervisor's own saving: ${reason}`, measured: { recipe: 'managed-save', ranMs } };
  }

  #setClock(vm: VmId, stoodFromMs: number): void {
    const wanted = (): boolean => !this.#state.handedOver && [null, 'running'].includes(this.#state.book.phase(vm));
    void setGuestClock({ ...this.#state.options, wanted }, vm, this.#state.options.clock.wallMs() - stoodFromMs);
  }

  async #alive(vm: VmId, cpuMsBefore: number, beganMs: number): Promise<number | null> {
    const { snapshotter, clock, aliveMs, speaks } = this.#state.options;
    const look = async (): Promise<boolean> => speaks(vm) ?? (await snapshotter.cpuMs(vm)) - cpuMsBefore >= ALIVE_CPU_MS;
    return (await signOfLife(look, clock, aliveMs)) ? clock.monotonicMs() - beganMs : null;
  }

  async #retireOlder(vm: VmId): Promise<void> {
    const { tenant, older } = this.#state.book.find(vm) as SuspendRecord;
    const store = await this.#state.options.store(tenant);
    for (const id of older) await store.remove(id);
    this.#state.note(vm, { older: [] });
  }

  async #tellDamage(vm: VmId): Promise<void> {
    const { tenant } = this.#state.book.find(vm) as SuspendRecord;
    const { damagedFiles } = await this.#state.options.store(tenant);
    if (damagedFiles === 0) return;
    const words = `${damagedFiles} damaged files of the snapshot store were mended as they were read: look after the disk`;
    this.#state.options.tell(vm, `${words}; a collection (headroom snapshot gc) writes them anew`);
  }
}
