/**
 * VMs of this host suspended: each step written down before it is taken. Input: what this host has of them; output: what became of each, with
 * figures, and what it will touch first where it is read quickest.
 */
import { errorText, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { suspendVm } from '../actuators/suspend-vm.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import { freeOwnMemory } from '../snapshot/own-memory.ts';
import type { SavedSnapshot } from '../snapshot/snapshot-store.ts';
import type { Done, Measured, OnProgress, SuspendState } from './suspend-state.ts';

export class VmSuspending {
  readonly #state: SuspendState;
  #suspending = 0;

  constructor(state: SuspendState) {
    this.#state = state;
  }

  /** Something is being written that no record names yet. */
  get writing(): boolean {
    return this.#suspending > 0 || this.#state.disks.busy;
  }

  /** Throws when neither way worked; the VM then runs as before. */
  async suspend(vm: VmId, name: string, tenant: string, onProgress: OnProgress): Promise<Done> {
    const { snapshotter, clock } = this.#state.options;
    if (this.#state.book.phase(vm) === 'suspended' || this.#state.book.phase(vm) === 'prepared')
      return { reason: 'it is suspended', measured: {} };
    const before = this.#state.book.begin(vm, name, tenant);
    const store = await this.#state.options.store(before.tenant);
    // Of what it lives on all must be here: what it did not touch is taken from there.
    await this.#state.arrivals.complete(vm, onProgress);
    this.#state.learner.cancel(vm);
    const residence = this.#state.live.get(vm)?.residence ?? null;
    this.#state.note(vm, { name, phase: 'suspending', recipe: 'memory-file', reason: '' });
    this.#suspending++;
    try {
      const deps = {
        ...{ snapshotter, store, clock, onProgress },
        onSaved: ({ manifest, filledBytes }: SavedSnapshot, memoryPath: string): void => {
          const older = before.snapshot === null || before.snapshot === manifest.id ? before.older : [...before.older, before.snapshot];
          const { memoryBytes } = manifest.facts;
          const ownMemory = residence?.place.path === memoryPath ? before.ownMemory : memoryPath;
          this.#state.book.note(vm, { phase: 'ending', snapshot: manifest.id, older, memoryBytes, filledBytes, ownMemory, problems: [] });
        },
        // A memory that was read for nothing is of no use to the other way.
        onFallBack: (reason: string): void =>
          this.#state.note(vm, { phase: 'suspending', recipe: 'managed-save', reason, snapshot: before.snapshot }),
      };
      const done = await suspendVm(deps, vm, residence);
      this.#state.live.delete(vm);
      const { phase, ownMemory } = this.#state.book.find(vm) as SuspendRecord;
      if (phase === 'ending' && ownMemory !== null) await freeOwnMemory(ownMemory);
      this.#state.note(vm, { phase: 'suspended', file: null });
      void this.#warm(vm);
      this.#state.disks.start(vm);
      if (done.recipe === 'managed-save')
        return { reason: `by the hypervisor's own saving: ${done.reason}`, measured: { recipe: done.recipe } };
      const { stoppedMs, endedMs, saved } = done;
      const measured: Measured = { recipe: 'memory-file', stoppedMs, endedMs, bytesFilled: saved.filledBytes, bytesNew: saved.newBytes };
      return { reason: '', measured };
    } catch (error) {
      if (this.#state.book.phase(vm) === 'ending' && (await snapshotter.power(vm)) === 'off') {
        await this.#state.recovery.recover(vm);
        this.#state.settle(vm);
        return { reason: `it was ended, though not as it should have been: ${errorText(error)}`, measured: { recipe: 'memory-file' } };
      }
      this.#state.book.revert(before);
      // What was written of it is in the way of the next.
      if (isHeadroomError(error, 'STORE_FULL')) await store.collect().catch(() => undefined);
      throw error;
    } finally {
      this.#suspending--;
      this.#state.options.changed();
    }
  }

  /** What it will touch first lies where it is read quickest. */
  async #warm(vm: VmId): Promise<void> {
    const record = this.#state.book.find(vm);
    if (record?.phase !== 'suspended' || record.snapshot === null || record.recipe !== 'memory-file') return;
    try {
      const chunks = createTouchModel(record.touches).predict(PREDICTED_CHUNKS_MAX);
      const store = await this.#state.options.store(record.tenant);
      await store.warm(
        record.snapshot,
        chunks.map(({ chunk }) => chunk),
      );
    } catch (error) {
      if (!this.#state.handedOver) this.#state.options.tell(vm, `what it will touch first stays where it is: ${errorText(error)}`);
    }
  }
}
